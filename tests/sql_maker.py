"""Makes statements of SQL together with what they do, known because they were made so.

A statement is a list of tokens; blanks and comments of all kinds are put between them at the end. Names are
spelt in every way that means the same, and strings and quoted names hold what would do harm elsewhere.
"""

from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

words = str.split
LENGTH_MAX = 4_000

GAPS = [
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\t",
    "\r\n",
    "  ",
    " /* a; ' */ ",
    " /**/ ",
    " -- it's; DROP TABLE x\n",
    " --\n",
]
NAMES = {
    "orders": ["orders", "ORDERS", "Orders", '"orders"', "[orders]", "`orders`"],
    "public.items": ["public.items", "Public . Items", '"public"."items"', "PUBLIC.[items]"],
    "users": ["users", "USERS", '"users"'],
    "db.public.log": ["db.public.log", "db . public . LOG"],
    "Mixed": ['"Mixed"', "[Mixed]"],
    "delete": ['"delete"', "[delete]", "`delete`"],
    "a b": ['"a b"', "[a b]"],
}
FUNCTIONS = {
    "count": ["count", "COUNT"],
    "lower": ["lower", "Lower"],
    "app.f": ["app.f", "App . F"],
    "replace": ["REPLACE"],
}
COLUMNS = [
    "id",
    "o.total",
    "x . y",
    '"select"',
    "t.update",
    "T.FROM",
    "[group]",
    "`order`",
    "created_at",
    "a$b",
]
VALUES = [
    "1", "0x1F", "1.5e+3", ".5", "?", "$1", ":name", "@name", "NULL", "''", "'it''s'", "'; DROP TABLE x --'",
    "E'a'", "'/* '", "'FROM users'", "'\\\\'", "'a\\b'", "'é'", "[a,b]",
]  # fmt: skip
ALIASES: list[list[str]] = [[], ["x1"], ["AS", "x2"], ["as", '"from"'], ["[x y]"]]


@dataclass
class Truth:
    """What a text does."""

    needs: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    lacks_where: bool = False


class Maker:
    """One statement being made, by chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.truth = Truth()
        self.depth = 0
        self.ctes: list[str] = []

    def one(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def is_chosen(self, percent: int = 50) -> bool:
        return self.chance.randrange(100) < percent

    def keyword(self, text: str) -> str:
        return self.one(text.upper(), text.lower(), text.title())

    def say(self, text: str) -> list[str]:
        """Keywords and symbols."""
        return [self.keyword(word) if word.isalpha() else word for word in text.split()]

    # --- names and expressions ---------------------------------------------------------------------------

    def table(self, is_target: bool = False) -> list[str]:
        if self.ctes and not is_target and self.is_chosen():
            return [self.one(*self.ctes)]
        name = self.one(*NAMES)
        self.truth.tables.add(name)
        return [self.one(*NAMES[name])]

    def call(self) -> list[str]:
        name = self.one(*FUNCTIONS)
        self.truth.functions.add(name)
        return [self.one(*FUNCTIONS[name]), "(", *self.expression(), ",", *self.expression(), ")"]

    def expression(self) -> list[str]:
        kinds = ["column", "column", "value", "value"]
        if self.depth < 3:
            kinds += ["call", "nested", "in", "exists", "extract", "distinct", "case"]
        kind = self.one(*kinds)
        if kind == "column":
            return [self.one(*COLUMNS)]
        if kind == "value":
            return [self.one(*VALUES)]
        self.depth += 1
        found = self.compound(str(kind))
        self.depth -= 1
        return found

    def compound(self, kind: str) -> list[str]:
        column = [self.one(*COLUMNS)]
        match kind:
            case "call":
                return self.call()
            case "nested":
                return ["(", *self.select(), ")"]
            case "in":
                return [*column, *self.say("in ("), *self.select(), ")"]
            case "exists":
                return [*self.say("not exists ("), *self.select(), ")"]
            case "extract":
                self.truth.functions.add("extract")
                return [*self.say("extract ( year from"), *column, ")"]
            case "distinct":
                return [
                    *column,
                    *self.say(self.one("is distinct from", "is not distinct from")),
                    *self.value(),
                ]
            case _:
                return [*self.say("case when"), *column, *self.say("then"), *self.value(), *self.say("end")]

    def value(self) -> list[str]:
        return [self.one(*VALUES)]

    def where(self) -> list[str]:
        return [*self.say("where"), *self.expression(), "=", *self.expression()]

    # --- tables ------------------------------------------------------------------------------------------

    def source(self) -> list[str]:
        kind = self.one("table", "table", "table", *(["select", "joined"] if self.depth < 2 else []))
        self.depth += 1
        match kind:
            case "select":
                found = ["(", *self.select(), ")", "sub"]
            case "joined":
                found = ["(", *self.sources(), ")"]
            case _:
                found = [*self.table(), *self.chance.choice(ALIASES)]
        self.depth -= 1
        return found

    def sources(self) -> list[str]:
        found = self.source()
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            if self.is_chosen():
                found += [",", *self.source()]
            else:
                join = self.one("join", "left outer join", "cross join", "natural join", "straight_join")
                found += [*(word.upper() for word in join.split()), *self.source()]
                found += [*self.say("on"), *self.value(), "=", *self.value()] if self.is_chosen() else []
        return found

    # --- statements --------------------------------------------------------------------------------------

    def select(self) -> list[str]:
        self.truth.needs.add("select")
        found = [*self.say("select"), *self.expression(), ",", *self.expression()]
        if self.is_chosen():
            found += [*self.say("from"), *self.sources()]
            found += self.where() if self.is_chosen() else []
            found += self.say("group by 1 , 2") if self.is_chosen() else []
            found += [*self.say("order by"), *self.value(), ",", *self.value()] if self.is_chosen() else []
        if self.depth < 2 and self.is_chosen(33):
            self.depth += 1
            found += [*self.say("union all"), *self.select()]
            self.depth -= 1
        return found

    def insert(self) -> list[str]:
        self.truth.needs.add("insert")
        found = [*self.say("insert into"), *self.table(is_target=True)]
        found += ["(", "id", ",", '"values"', ")"] if self.is_chosen() else []
        if self.is_chosen():
            found += [
                *self.say("values ("),
                *self.value(),
                ",",
                *self.expression(),
                ")",
                ",",
                "(",
                *self.value(),
                ")",
            ]
        else:
            found += self.select()
        if self.is_chosen():
            self.truth.needs.add("update")
            action = self.one("on conflict ( id ) do update set a =", "on duplicate key update a =")
            if action.startswith("on conflict"):
                self.truth.functions.add("conflict")
            found += [*self.say(action), *self.value()]
        return found

    def update(self) -> list[str]:
        self.truth.needs.add("update")
        found = [
            *self.say("update"),
            *self.table(is_target=True),
            *self.say("set"),
            "a",
            "=",
            *self.expression(),
        ]
        found += [",", "b", "=", *self.value()]
        found += [*self.say("from"), *self.sources()] if self.is_chosen() else []
        return found + self.where_or_not()

    def delete(self) -> list[str]:
        self.truth.needs.add("delete")
        found = [*self.say("delete from"), *self.table(is_target=True)]
        found += [*self.say("using"), *self.source()] if self.is_chosen() else []
        return found + self.where_or_not()

    def where_or_not(self) -> list[str]:
        if self.is_chosen():
            return self.where()
        self.truth.lacks_where = True
        return []

    def merge(self) -> list[str]:
        self.truth.needs |= {"update", "insert"}
        found = [*self.say("merge into"), *self.table(is_target=True), *self.say("using"), *self.table()]
        found += self.say("on 1 = 1 when matched then update set a = 1")
        return found + self.say("when not matched then insert ( id ) values ( 1 )")

    def with_ctes(self) -> list[str]:
        found = self.say("with")
        for name in ("recent", '"Old"')[: self.chance.choice((1, 2))]:
            found += [] if len(found) == 1 else [","]
            body = self.delete() if self.is_chosen(33) else self.select()
            found += [
                name,
                *(["(", "id", ",", "n", ")"] if self.is_chosen() else []),
                *self.say("as ("),
                *body,
                ")",
            ]
            self.ctes.append(name)
        return found + self.plain()

    def plain(self) -> list[str]:
        return getattr(self, self.one("select", "select", "insert", "update", "delete", "merge"))()

    def statement(self) -> list[str]:
        kind = self.one("plain", "plain", "plain", "with", "explain", "ddl", "transaction", "other")
        match kind:
            case "with":
                return self.with_ctes()
            case "explain":
                return [
                    *self.say(self.one("explain", "explain analyze", "explain ( verbose )")),
                    *self.plain(),
                ]
            case "ddl" | "transaction" | "other":
                self.truth.needs.add(str(kind))
                return self.say(self.one(*FIXED[str(kind)]))
            case _:
                return self.plain()


FIXED = {
    "ddl": [
        "drop table orders",
        "alter table orders add column a int",
        "truncate orders",
        "create schema s",
        "comment on table orders is 'x'",
        "revoke all on orders from bob",
    ],
    "transaction": [
        "begin",
        "start transaction read only",
        "commit",
        "rollback to savepoint s1",
        "savepoint s1",
        "begin isolation level serializable , read write",
        "release s1",
        "end",
    ],
    "other": [
        "copy orders to stdout",
        "call f",
        "set role admin",
        "show tables",
        "pragma table_info",
        "vacuum",
        "lock orders",
        "use master",
        "do 'x'",
        "exec f",
        "attach 'x' as y",
    ],
}


def made(seed: int) -> tuple[str, Truth]:
    """A text of one statement, and what it does."""
    chance = Random(seed)
    maker = Maker(chance)
    tokens = maker.statement()
    text = chance.choice(["", "", " ", "-- first\n"])
    for token in tokens:
        text += token + chance.choice(GAPS)
    return text + chance.choice(["", ";", " ; ", ";;"]), maker.truth


# A seed and not its choices are drawn: few large examples find more here than many small ones.
statements = st.integers(0, 2**64).map(made).filter(lambda one: len(one[0]) < LENGTH_MAX)
