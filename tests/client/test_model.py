"""Generated calls against an obvious model: after each of them the ledger says what the model says.

The model knows keys and two numbers. What a key stands for has ended, is unknown, or is paused, which alone
goes on. A key whose effect is known not to have happened, refused or not done, is as good as new.
"""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from splittally.client import AlreadyDone, NotDone, NotYours, Refused

from tests.client.worlds import FORMS, STREAMS, abandon, act, client_of, raiser, used, world

LIMIT = 4


class Pause(BaseException):
    """As a framework stops a run."""


BODIES = {
    "raised": lambda: raiser(ValueError()),
    "not_done": lambda: raiser(NotDone()),
    "timed_out": lambda: raiser(TimeoutError()),
    "cancelled": lambda: raiser(asyncio.CancelledError()),
    "paused": lambda: raiser(Pause()),
    "said_unknown": lambda: lambda call: call.unknown(),
    "misreported": lambda: lambda call: call.used({"mails": object()}),
}
UNKNOWNS = ("timed_out", "cancelled", "said_unknown", "misreported")


class Model:
    """What must be true of a grant that reserves one mail for each call."""

    def __init__(self) -> None:
        self.reserved = self.spent = 0
        self.keys: dict[str, str] = {}

    def act(self, key: str | None, ending: str, mails: int) -> type[BaseException] | None:
        """What the host gets where the body does not run; else None, and the effect has ended so."""
        known = self.keys.get(key) if key is not None else None
        if known in ("ended", "unknown"):
            return AlreadyDone if known == "ended" else NotYours
        if known is None:
            if self.spent + self.reserved + 1 > LIMIT:
                return Refused
            self.reserved += 1
        state = "paused" if ending == "paused" else "unknown" if ending in UNKNOWNS else "ended"
        if state == "ended":
            self.reserved -= 1
            self.spent += {"returned": mails, "abandoned": 1}.get(ending, 0)
        if key is not None:
            self.keys[key] = state
        if ending == "not_done":
            self.keys.pop(key, None)
        return None


CALLS = st.tuples(
    st.sampled_from(sorted(FORMS)),
    st.none() | st.sampled_from("abc"),
    st.sampled_from(["returned", "returned", "abandoned", *BODIES]),
    st.integers(0, 2),
)


@given(st.lists(CALLS, max_size=12), st.booleans())
def test_after_any_calls_the_ledger_says_what_the_model_says(calls, dispatch):
    model = Model()
    with world(LIMIT) as kernel, client_of(kernel, pauses=(Pause,), dispatch=dispatch) as (client, _):
        for form, key, ending, mails in calls:
            if ending == "abandoned" and form not in STREAMS:
                ending = "returned"
            expected = model.act(key, ending, mails)
            if ending == "abandoned":
                try:
                    abandon(form, client, key=key)
                    error = None
                except (AlreadyDone, NotYours, Refused) as refused:
                    error = refused
                ended = ending
            else:
                body = used(mails) if ending == "returned" else BODIES[ending]()
                got = act(form, client, body, key=key)
                error = None if got.call is not None else got.error
                ended = got.call.ending if got.call is not None else ""
            assert (type(error) if error else None) is expected
            assert ended == ("" if expected and ending != "abandoned" else ending)
            found = kernel.state.counters["mail"]["mails"]
            assert (found["reserved"], found["spent"]) == (model.reserved, model.spent)
            assert len(kernel.state.reservations) == model.reserved
        assert client.unsettled == ()
