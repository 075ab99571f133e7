"""Errors that a caller can catch. A refusal is a value (`Finding`); an error means nothing was done.

Every class carries a `code`, stable for programs, and a text for people that says what to do next.
"""


class SplittallyError(Exception):
    """Base of every public error; `code` is stable, the text is for people."""

    code = "error"

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts


class CanonicalError(SplittallyError):
    """A value or bytes outside the data model or not in canonical form (spec/01)."""

    code = "not_canonical"


class InvalidInput(SplittallyError):
    """What a caller sent cannot be understood; `facts` names the field."""

    code = "invalid_input"


class InvalidManifest(InvalidInput):
    """A manifest that cannot be applied; nothing was changed."""

    code = "invalid_manifest"


class InvalidSchema(InvalidInput):
    """A JSON Schema that is refused when it is loaded."""

    code = "invalid_schema"


class ExpressionError(InvalidInput):
    """An expression that does not parse or type-check."""

    code = "invalid_expression"


class NotAdmitted(InvalidInput):
    """A module that fails an admission check; `facts["check"]` names it."""

    code = "not_admitted"


class BudgetError(SplittallyError):
    """The governor cannot answer: a setting, a job or the spend cannot be read (spec/12)."""

    code = "budget_error"


class WorldError(SplittallyError):
    """The environment refuses: no world, locked, disk full, stopped kernel."""

    code = "world"


class NoWorld(WorldError):
    """There is no world at this path."""

    code = "no_world"


class WorldExists(WorldError):
    """There is already a world at this path."""

    code = "world_exists"


class WorldLocked(WorldError):
    """Another process writes this world; `facts` names it."""

    code = "locked"


class DiskFull(WorldError):
    """The journal could not be written because the disk is full; nothing was answered."""

    code = "disk_full"


class KernelStopped(WorldError):
    """The kernel stopped after a failed commit or was closed; open the world again."""

    code = "stopped"


class ModuleNotCompiled(WorldError):
    """The engine of this installation does not compile a module; nothing was decided, so ask again."""

    code = "module_not_compiled"


class JournalDamaged(SplittallyError):
    """The journal or a projection is damaged; `facts["seq"]` is the first bad sequence."""

    code = "damaged"


class JournalOlder(JournalDamaged):
    """The journal ends before what lies beside it: frames are missing; `facts` has both sequences."""

    code = "journal_older"


class FormatTooNew(WorldError):
    """The world was written by a later release; it is left untouched."""

    code = "format_too_new"
