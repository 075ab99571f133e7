"""The main job: a fleet of agents' LLM calls, driven through the kernel from a trace."""
