"""A world for rules that act, and short words for what their plans say."""

from splittally.core.events import Measured

from tests.rows.budgets import DAY, LOG, MARKET, B, done
from tests.rows.worlds import applied, recorded

USD, BONUS, POOL = "USD", "accounts/bonus", "accounts/pool"
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05


def world(*resources, **scales):
    units = {USD: 0, **dict.fromkeys(resources, 0), **scales}
    accounts = {name: {} for name in (LOG, MARKET, BONUS, POOL)}
    return applied({"resources": units, "accounts": accounts})


def create(kernel, plan, resources, budget=B, metrics=(), **more):
    schema = {"resources": resources, "metrics": {x: metric() for x in metrics}, **plan}
    return done(kernel, "budget.create", budget=budget, schema=schema, **more)


def metric(**terms):
    return {"description": "what is counted", "nature": "output", **terms}


def rule(name, on, of, *actions, **more):
    return {"name": name, "on": on, "of": of, "do": list(actions), **more}


def pays(amount, to=LOG, resource=USD):
    return {"kind": "transfer", "to": to, "amount": amount, "resource": resource}


def issues(resource, amount):
    return {"kind": "issue", "resource": resource, "amount": amount}


def records(name, value):
    return {"kind": "record", "metric": name, "value": value}


def measure(kernel, name, value, budget=B, **more):
    return done(kernel, "metric.record", budget=budget, metric=name, value=value, **more)


def measured(kernel):
    return [(x.metric, x.value) for x in recorded(kernel, Measured)]


def value(kernel, name, budget=B):
    return kernel.state.budgets[budget].metrics[name]["value"]
