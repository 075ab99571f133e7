"""Stores of spend as schedulers keep them, for tests of the governor."""

import sqlite3
from datetime import UTC, datetime

TODAY = datetime(2026, 4, 22, 12, tzinfo=UTC)
NOON, YESTERDAY = "2026-04-22 12:00:00", "2026-04-21 23:59:59"
RUNS = (("claude-opus", 4.5, NOON), ("gpt-4o-mini", 0.25, NOON))
OPUS = {"lane_id": "claude-opus", "cost_usd": 4.5}
MINI = {"lane_id": "gpt-4o-mini", "cost_usd": 0.25}


def today() -> datetime:
    return TODAY


def store(runs=RUNS, turns=(), path=":memory:") -> sqlite3.Connection:
    """A store with both tables: runs of (lane, cost, time), turns of (cost, time)."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE compare_responses (lane_id TEXT, cost_usd REAL, created_at TEXT)")
    connection.execute("CREATE TABLE chat_turns (cost_usd REAL, created_at TEXT)")
    connection.executemany("INSERT INTO compare_responses VALUES (?, ?, ?)", runs)
    connection.executemany("INSERT INTO chat_turns VALUES (?, ?)", turns)
    connection.commit()
    return connection


def old_store() -> sqlite3.Connection:
    """A store from before there were costs."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE compare_responses (lane_id TEXT, created_at TEXT)")
    connection.execute("CREATE TABLE chat_turns (created_at TEXT)")
    connection.execute("INSERT INTO compare_responses VALUES ('claude-opus', ?)", (NOON,))
    return connection


class ArenaStore:
    """An object that holds a connection."""

    def __init__(self, connection):
        self._conn = connection


class CostLedger:
    """A ledger over a store. What it says of a session is another sum than today's."""

    def __init__(self, arena):
        self.store = arena

    def session_spend(self):
        return 0.0


class Told:
    """A ledger that tells a sum and holds no connection."""

    def __init__(self, spend):
        self.spend = spend

    def session_spend(self):
        if isinstance(self.spend, Exception):
            raise self.spend
        return self.spend
