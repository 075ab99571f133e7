"""`budgets export`: the plan of a budget as a file.

Rule 1. A plan that is exported and created elsewhere has the same hash: that is its identity.
"""

from pathlib import Path

import click
from splittally.edge.moments import Moment
from splittally.edge.wording import short_hash

from splittally_tools.cli.budgets.show import row_of
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.moments import at_option, queries_at
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import emit, say, to_line
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of


@click.command()
@shared
@click.argument("name")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@at_option
@click.pass_obj
def export(session: Session, name: str, file: Path | None, at: Moment | None) -> int:
    """Write the plan of the budget NAME to FILE as JSON, or print it.

    `tally budgets import NEW FILE` makes a budget by it.
    """
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        row, head = row_of(state.budgets, name), head_of(state)
    plan = to_line(row["schema"])
    document = {**head, "budget": name, "schema_hash": row["schema_hash"], "schema": row["schema"]}
    if file is None:
        emit(session, document, lambda out: say(out, plan))
        return DONE
    file.write_text(plan + "\n", "utf-8")
    said = f"wrote plan {row['version']} of {name} ({short_hash(row['schema_hash'])}) to {file}"
    emit(session, {**document, "file": str(file)}, lambda out: say(out, said))
    return DONE
