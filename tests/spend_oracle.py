"""Who spent what, the slow and obvious way: every intent that a journal ever decided is kept, and looked at.

It reads frames as the export of NDJSON has them, by name, and shares nothing with `runtime/spend.py`. What
accounts paid is what their balances and what was in flight say before and after each frame.
"""

from datetime import UTC, datetime

from splittally.runtime.frame_documents import frame_json


def frames_of(reader):
    return [frame_json(record, brief=False) for record in reader.records()]


def spend(frames, by, wanted, start=0, stop=None, under=None):
    """{group: {resource: [charges, charged, refunded]}}; days are of UTC."""
    asked, sums = {}, {}
    for frame in frames:
        for event in frame["events"]:
            if event["type"] == "decided" and event["intent_hash"] not in held(asked):
                members = {x["intent_hash"]: x for x in frame["command"]["members"]}
                member = members[event["intent_hash"]]
                asked[event["intent_hash"]] = {
                    "principal": frame["by"], "kind": member["kind"], "outcome": event["outcome"],
                    "labels": member.get("labels", {}),
                }  # fmt: skip
            if event["type"] not in ("settled", "refunded"):
                continue
            if frame["seq"] < start or (stop is not None and frame["seq"] >= stop):
                continue
            intent, legs = asked[event["intent_hash"]], event["legs"]
            told = {**intent, "grant": legs[0]["grant"]}
            told["window:day"] = datetime.fromtimestamp(int(frame["at_ns"]) // 10**9, UTC).date().isoformat()
            told |= {f"label:{name}": text for name, text in intent["labels"].items()}
            if any(
                told[name] != value for name, value in wanted.items() if name not in ("labels", "resource")
            ):
                continue
            if not wanted.get("labels", {}).items() <= intent["labels"].items():
                continue
            chosen = [leg for leg in legs if leg["grant"] == (under or legs[0]["grant"])]
            for leg in chosen[:1]:
                amounts = leg["charged"] if event["type"] == "settled" else leg["amounts"]
                for dim, amount in amounts.items():
                    if wanted.get("resource") in (None, dim):
                        group = tuple(told.get(name, "") for name in by if name != "resource")
                        row = sums.setdefault((*group, dim), [0, 0, 0])
                        row[0] += event["type"] == "settled"
                        row[1 if event["type"] == "settled" else 2] += int(amount)
    return sums


def held(asked):
    """Intents whose answer holds: what was put off may be decided again."""
    return {digest for digest, x in asked.items() if x["outcome"] not in ("escalate", "defer")}
