"""A durable queue of jobs, and one unattended pass over it (spec/13-drain.md).

    with Queue("jobs.sqlite") as queue:
        queue.enqueue("local-30b", {"prompt": "..."}, est_cost_usd="0.05")
        report = drain_jobs(queue, runner, governor)
        print(display(standup(queue)))

Rule 1. Nothing here waits for a time, keeps a schedule, or calls a model: the runner is the caller's.
"""

from splittally.host.drain.costs import cost_ledger, public_figures
from splittally.host.drain.cycle import Report, drain_jobs, run_drain_cycle
from splittally.host.drain.gate import KernelGate
from splittally.host.drain.jobs import Job, QueueError, StaleClaim
from splittally.host.drain.prices import Price, Prices
from splittally.host.drain.queue import Queue
from splittally.host.drain.run import Run, RunAborted
from splittally.host.drain.settings import Setting, Settings, resolve_settings
from splittally.host.drain.standup import standup
from splittally.host.drain.standup_text import display
from splittally.host.drain.watchdog import Watchdog, memory_available_gb

__all__ = [
    "Job",
    "KernelGate",
    "Price",
    "Prices",
    "Queue",
    "QueueError",
    "Report",
    "Run",
    "RunAborted",
    "Setting",
    "Settings",
    "StaleClaim",
    "Watchdog",
    "cost_ledger",
    "display",
    "drain_jobs",
    "memory_available_gb",
    "public_figures",
    "resolve_settings",
    "run_drain_cycle",
    "standup",
]
