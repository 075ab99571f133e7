"""Plans in files: JSON, as `budgets export` writes them; amounts in minor units, or text with units."""

from pathlib import Path
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.limits import NATIVE_PARAMS_BYTES_MAX
from splittally.edge.json_values import parse_json


def plan_in(file: Path) -> dict[str, Any]:
    """The plan in a file, as it is written there; `InvalidInput` says what is no plan."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"`{file}` cannot be read: {error.strerror}", field="file") from error
    if len(data) > NATIVE_PARAMS_BYTES_MAX:
        raise InvalidInput(f"`{file}` has more than {NATIVE_PARAMS_BYTES_MAX} bytes", field="file")
    plan = parse_json(data)
    if not isinstance(plan, dict):
        raise InvalidInput(f"`{file}` holds no plan: a plan is a JSON object", field="file")
    return plan
