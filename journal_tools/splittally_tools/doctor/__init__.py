"""What is wrong with a machine, a world or a queue, and the command that mends it (spec/09-command-line.md).

    for found in [*check_machine(folder), *check_world(folder)]:
        print(found.severity, found.text, found.mend)

Rule 1. Nothing is written: no world is opened for writing, no lock is kept, and a file to measure with has no
        name. Nothing is decided: each finding names a command, and people run it.
Rule 2. A check that cannot be made says so as a finding of its own; the others go on.
"""

from splittally_tools.doctor.finding import DAMAGE, GOOD, NOTE, WARNING, Finding
from splittally_tools.doctor.machine import check_machine
from splittally_tools.doctor.queues import check_queue
from splittally_tools.doctor.worlds import check_world

__all__ = ["DAMAGE", "GOOD", "NOTE", "WARNING", "Finding", "check_machine", "check_queue", "check_world"]
