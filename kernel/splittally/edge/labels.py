"""Labels of an intent: what it belongs to, by name, such as a trace, a run, a session, a user.

Rule 1. They are recorded and stand in no hash: the same key with another trace id is the same intent.
Rule 2. A name holds no `=`, because people write `--label run=7`; a text is never empty, so that a label that
        is there says something.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.limits import LABEL_BYTES_MAX, LABEL_NAME_BYTES_MAX, LABELS_MAX
from splittally.core.names import is_seen
from splittally.edge.host_values import plain
from splittally.edge.sizes import require_size

NO_LABELS: dict[str, str] = {}


def sealed_labels(labels: Any) -> dict[str, str]:
    """The labels as they are recorded, by name in order; `InvalidInput` says which is none and why."""
    if labels is None:
        return NO_LABELS
    if not isinstance(labels, Mapping):
        raise InvalidInput('`labels` is a map of texts, such as {"run": "7"}', field="labels")
    require_size("labels", len(labels), LABELS_MAX, "labels")
    sealed = [_label(name, text) for name, text in labels.items()]
    return dict(sorted(sealed, key=_canonical_place))


def _label(name: Any, text: Any) -> tuple[str, str]:
    if type(name) is not str or not name or "=" in name or not is_seen(name):
        shown = name if type(name) is str else type(name).__name__
        raise InvalidInput(
            f"`{shown[:LABEL_NAME_BYTES_MAX]!a}` is no name of a label: printable text without `=`",
            field="labels",
        )
    where = f"labels.{name[:LABEL_NAME_BYTES_MAX]}"
    require_size(where, len(name.encode()), LABEL_NAME_BYTES_MAX, "bytes in the name")
    text = text if type(text) is str else plain(text, where)
    if type(text) is not str or not text or not _is_utf8(text):
        raise InvalidInput(f'`{where}` is a text that is not empty: write "7" for 7', field=where)
    require_size(where, len(text.encode()), LABEL_BYTES_MAX)
    return name, text


def _canonical_place(label: tuple[str, str]) -> tuple[int, bytes]:
    """Where canonical bytes have a label, so that it comes back from its frame in this order."""
    name = label[0].encode()
    return len(name), name


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def parse_labels(pairs: Iterable[str]) -> dict[str, str]:
    """The labels that people wrote as `name=text`; `InvalidInput` where one is written otherwise."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, is_pair, text = pair.partition("=")
        if not is_pair:
            raise InvalidInput(f"a label is written `name=text`, not `{pair}`", field="labels")
        if found.setdefault(name, text) != text:
            raise InvalidInput(f"the label `{name}` is named twice, with two texts", field="labels")
    return sealed_labels(found)


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether an intent with these labels has all that are wanted."""
    return wanted.items() <= labels.items()
