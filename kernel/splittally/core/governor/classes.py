"""The failures after which a local model has given up: data, so that a world or a scheduler may add its own.

The boundary is that of local models of the 30B-A3B class. On the measured workload they solved 8 of 12
tasks and a frontier model 12 of 12; a third of it, the ceiling of 33 %, needs the frontier. What failed
in one of these ways lies beyond the boundary: trying again locally gives the same failure.
"""

BOUNDARY = "local models of the 30B-A3B class: 8 of 12 tasks solved locally, 12 of 12 by a frontier model"

GIVE_UP = {
    "context_overflow": "what must be read at once is larger than the local model's context",
    "kv_cache_derivation": "the local model could not derive the layout of a key-value cache",
    "local_low_confidence": "the local model doubts its own answer",
    "multi_step_planning": "the local model lost the thread of a plan of several steps",
}
