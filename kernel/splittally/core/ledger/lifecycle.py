"""The life of a hold, as a table: from where, by which event, to where. `spec/04-pipeline.md` shows it.

A hold is *reserved* in one of four phases: `open` (the effect may be started), `approval` (it waits for an
answer), `running` (an attempt started it) and `unknown` (nobody knows whether it happened). It ends once:
`settled` (usage was charged) or `released` (nothing was). Only a receipt may still come for what was
released: it is *late*. What runs is released by nobody but the attempt that started it: neither by expiry, at
which it becomes unknown, nor by order.

      ""  --Held-->  open  <--HoldChanged-->  approval, running, unknown       reserved
                       |
                       +--Settled-->  settled
                       +--Released--> released  --Settled(late)-->  released

Rule 1. What has no row here does not happen: `evolve` refuses it, so neither the kernel nor a journal can
        take a hold another way.
Rule 2. A row is named by its event and what the event says of itself: the phase of `Held` and `HoldChanged`,
        how it was `Settled`, the cause for which it was `Released`.
"""

from splittally.core.types import APPROVAL, OPEN, RELEASED, RUNNING, SETTLED, UNKNOWN

NOTHING = ""  # before the first event
HELD, CHANGED, SETTLE, RELEASE = "Held", "HoldChanged", "Settled", "Released"
Transition = tuple[str, str, str]  # where the hold is, the event, what it says of itself

HOLD: dict[Transition, str] = {
    (NOTHING, HELD, OPEN): OPEN,
    (NOTHING, HELD, APPROVAL): APPROVAL,
    (APPROVAL, CHANGED, OPEN): OPEN,
    (APPROVAL, CHANGED, APPROVAL): APPROVAL,
    (OPEN, CHANGED, OPEN): OPEN,
    (OPEN, CHANGED, RUNNING): RUNNING,
    (OPEN, CHANGED, UNKNOWN): UNKNOWN,
    (RUNNING, CHANGED, RUNNING): RUNNING,
    (RUNNING, CHANGED, UNKNOWN): UNKNOWN,
    (OPEN, SETTLE, "receipt"): SETTLED,
    (APPROVAL, SETTLE, "receipt"): SETTLED,
    (RUNNING, SETTLE, "receipt"): SETTLED,
    (UNKNOWN, SETTLE, "receipt"): SETTLED,
    (UNKNOWN, SETTLE, "attested"): SETTLED,
    (UNKNOWN, SETTLE, "unknown"): SETTLED,
    (OPEN, RELEASE, "cancel"): RELEASED,
    (OPEN, RELEASE, "not_dispatched"): RELEASED,
    (OPEN, RELEASE, "governance"): RELEASED,
    (OPEN, RELEASE, "expiry"): RELEASED,
    (APPROVAL, RELEASE, "cancel"): RELEASED,
    (APPROVAL, RELEASE, "not_dispatched"): RELEASED,
    (APPROVAL, RELEASE, "rejected"): RELEASED,
    (APPROVAL, RELEASE, "approval_timeout"): RELEASED,
    (APPROVAL, RELEASE, "governance"): RELEASED,
    (RUNNING, RELEASE, "cancel"): RELEASED,
    (RUNNING, RELEASE, "not_dispatched"): RELEASED,
    (UNKNOWN, RELEASE, "cancel"): RELEASED,
    (UNKNOWN, RELEASE, "governance"): RELEASED,
    (UNKNOWN, RELEASE, "not_dispatched"): RELEASED,
    (RELEASED, SETTLE, "late"): RELEASED,
    (NOTHING, SETTLE, "native"): SETTLED,  # a native effect is charged in the record that decides it
    (NOTHING, SETTLE, "recorded"): SETTLED,  # spend that happened without a hold is booked by one
}
UNHELD = {
    "late": RELEASED,
    "native": NOTHING,
    "recorded": NOTHING,
}  # how something is settled that is not held
