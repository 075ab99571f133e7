"""What is joined into one write arrives whole and in order, whatever comes after it."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.host.service.writing import HELD_BYTES_MAX, Joining


class Taking:
    """A transport that keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def write(self, data):
        self.asked.append(bytes(data))

    def is_closing(self):
        return not {"closed", "aborted"}.isdisjoint(self.asked)

    def close(self):
        self.asked.append("closed")

    def abort(self):
        self.asked.append("aborted")


@settings(deadline=None)
@given(st.lists(st.lists(st.binary(min_size=1, max_size=8), max_size=4), max_size=6))
def test_each_step_of_the_loop_is_one_write_of_all_its_parts(steps):
    async def written():
        taking = Taking()
        joining = Joining(taking, asyncio.get_running_loop())
        for parts in steps:
            for part in parts:
                joining.write(part)
            await asyncio.sleep(0)
        return taking.asked

    assert asyncio.run(written()) == [b"".join(parts) for parts in steps if parts]


def test_what_was_written_before_a_connection_is_closed_is_sent_first():
    async def written():
        taking = Taking()
        joining = Joining(taking, asyncio.get_running_loop())
        joining.write(b"head")
        joining.write(b"body")
        joining.close()
        await asyncio.sleep(0)
        joining.abort()  # a method that is the transport's own
        return taking.asked

    assert asyncio.run(written()) == [b"headbody", "closed", "aborted"]


def test_nothing_is_written_to_a_connection_that_was_cut_off_meanwhile():
    async def written():
        taking = Taking()
        joining = Joining(taking, asyncio.get_running_loop())
        joining.write(b"head")
        joining.abort()
        await asyncio.sleep(0)
        return taking.asked

    assert asyncio.run(written()) == ["aborted"]


@given(st.lists(st.integers(1, HELD_BYTES_MAX).map(bytes), max_size=12))
def test_what_is_much_is_written_before_the_step_ends(parts):
    """Else who writes without end would never hear that nobody takes it."""

    async def written():
        taking = Taking()
        joining = Joining(taking, asyncio.get_running_loop())
        for at, part in enumerate(parts, 1):
            joining.write(part)
            assert sum(map(len, parts[:at])) - sum(map(len, taking.asked)) <= HELD_BYTES_MAX
        await asyncio.sleep(0)
        return b"".join(taking.asked)

    assert asyncio.run(written()) == b"".join(parts)
