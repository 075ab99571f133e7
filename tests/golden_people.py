"""A scene of the tour: what people and budgets ask of each other."""

from tests.golden_teller import Tour

TOP, KID = "budgets/coop", "budgets/coop-shop"
BOARD = {"agree": 2, "of": ["operator", "ann", "bob"]}
FLOOR = {"name": "rent", "resource": "USD", "minimum": 60, "description": "a month of rent"}
LIMITS = [{"when": "metric.complaints >= 5", "percent": 50}]
OUTPUT = {"nature": "output"}
PLAN = {
    "resources": {"USD": 2},
    "constraints": [FLOOR],
    "metrics": {
        "price": {"description": "cents for an article", **OUTPUT},
        "complaints": {"description": "complaints", **OUTPUT},
    },
    "formulas": {"needed": {"value": "5 * metric.price", "unit": "USD"}},
    "funding_limits": LIMITS,
    "quorum": BOARD,
}
PART = {"what": "spend", "resource": "USD", "holder": "bob"}


def people(t: Tour) -> None:
    """Budgets ask for funds and people answer, vote, and merge drafts of plans"""
    t.native("coop", "budget.create", budget=TOP, schema={"resources": {"USD": 2}})
    t.native("coop-fund", "ledger.issue", resource="USD", amount=1_000, to=TOP)
    t.native("shop", "budget.create", budget=KID, parent=TOP, schema=PLAN)
    for name, params in (("ann", {}), ("bob", {"operations": ["budget.*"], "rank": "tactical"})):
        terms = {"cap": "sys/native@1", "holder": name, "params": params}
        t.native(f"{name}/native", "grant.issue", name=f"{name}/native", terms=terms)
    requests(t)
    votes(t)
    drafts(t)


def requests(t: Tour) -> None:
    """A request follows from a gap or a projection, and its dialogue ends once."""
    t.native("rent", "budget.request", "ann", budget=KID, name="rent", constraint="rent", title="rent")
    say(t, "rent-comment", "bob", name="rent", act="comment", note="how much is it?")
    say(t, "rent-much", "ann", name="rent", act="offer", amount=61)
    say(t, "rent-bob", "bob", name="rent", act="grant")
    say(t, "rent-withdraw", "bob", name="rent", act="withdraw")
    say(t, "rent-early", "ann", name="rent", act="accept")
    say(t, "rent-grant", "ann", name="rent", act="grant")
    say(t, "rent-again", "ann", name="rent", act="grant")
    t.native("rent-none", "budget.request", "ann", budget=KID, name="more", constraint="rent")
    t.native("complaints", "metric.record", budget=KID, metric="complaints", value=5)
    t.native("price-low", "metric.record", budget=KID, metric="price", value=1)
    t.native("articles-none", "budget.request", "ann", budget=KID, name="articles", formula="needed")
    t.native("price", "metric.record", budget=KID, metric="price", value=52)
    t.native("articles", "budget.request", "ann", budget=KID, name="articles", formula="needed")
    say(t, "articles-offer", "ann", name="articles", act="offer", amount=150, note="what is left")
    say(t, "articles-accept", "ann", name="articles", act="accept")


def votes(t: Tour) -> None:
    """A part is issued by the vote that reaches the quorum."""
    vote = {"budget": KID, "name": "sign", "vote": "agree"}
    t.native("sign", "budget.propose", "bob", budget=KID, name="sign", part="sign", amount=20, **PART)
    t.native("sign-alice", "budget.vote", "alice", **vote)
    for label, by in (("sign-ann", "ann"), ("sign-twice", "ann"), ("sign-bob", "bob"), ("sign-late", "bob")):
        t.native(label, "budget.vote", by, **vote)
    t.native("plan-object", "budget.vote", "bob", budget=KID, vote="object", note="too dear")
    t.native("coop-sign", "budget.propose", budget=TOP, name="sign", part="sign", amount=20, **PART)
    t.native("look", "budget.propose", "ann", budget=KID, name="look", what="review", title="look at it")
    terms = {"cap": "sys/native@1", "holder": "carl"}
    t.native("carl/native", "grant.issue", name="carl/native", terms=terms)
    t.native("sign-carl", "budget.vote", "carl", budget=KID, vote="agree")
    for at in range(31):
        say(t, f"look-{at}", "bob", name="look", act="comment")
    say(t, "look-full", "bob", name="look", act="comment")
    say(t, "look-done", "ann", name="look", act="accept", note="looked")


def drafts(t: Tour) -> None:
    """A draft is merged into what changed since, where that is another part."""
    title = {**PLAN, "title": "The shop"}
    fork = {"budget": KID, "what": "amend"}
    t.native("title", "budget.propose", "bob", name="title", schema=title, **fork)
    t.native("other", "budget.propose", "bob", name="other", schema={**PLAN, "title": "Ours"}, **fork)
    say(t, "title-bob", "bob", name="title", act="accept")
    say(t, "title-merge", "ann", name="title", act="accept")
    say(t, "other-merge", "ann", name="other", act="accept")


def say(t: Tour, label: str, by: str, **params: object) -> None:
    """Answer a proposal of the child."""
    t.native(label, "budget.reply", by, budget=KID, **params)
