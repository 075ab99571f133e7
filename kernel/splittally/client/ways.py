"""Which way leads to a kernel: a folder, an open kernel, the address of a service, a link.

Rule 1. Who opens a world closes it: a folder is opened and closed here, a kernel that was handed over is
        left as it was. A link is closed with its client.
Rule 2. A folder is not made: a name that is misspelt must not become an empty world.
Rule 3. A folder whose world is being served is asked by its service. `to_service` gives a `Link`, and nothing
        else here knows of addresses.
"""

from pathlib import Path

from splittally.aio import AsyncKernel
from splittally.client.connection import Link
from splittally.client.embedded import Embedded
from splittally.client.errors import Unreachable
from splittally.client.served import Served
from splittally.core.errors import InvalidInput
from splittally.runtime import Kernel, open_world
from splittally.runtime.served import is_served
from splittally.wire.calls import calls_to
from splittally.wire.errors import ConnectionLost, NotServed
from splittally.wire.http_calls import HttpCalls
from splittally.wire.tasks import task_calls_to

Target = str | Path | Kernel | AsyncKernel | Link
UNIX = "unix:"
ADDRESSES = (UNIX, "http:", "https:")


def link_to(target: Target, principal: str | None, token: str | None) -> Link:
    """A link to the kernel that `target` names; `Unreachable`, `NoWorld` or `WorldLocked` where there is
    none.
    """
    if isinstance(target, str) and target.startswith(ADDRESSES):
        return to_service(target, principal, token)
    if token is not None:
        raise InvalidInput(
            "a token is for a service: say `principal` for a world of this process", field="token"
        )
    match target:
        case AsyncKernel():
            tasks = target if principal is None else target.as_principal(principal)
            return Embedded(tasks.sync, tasks)
        case Kernel():
            return Embedded(_as(target, principal))
        case str() | Path():
            if is_served(Path(target)):
                return to_service(f"{UNIX}{target}", principal, None)
            kernel = open_world(target, create=False)
            try:
                return Embedded(_as(kernel, principal), closes=True)
            except BaseException:
                kernel.close()
                raise
        case Link() if principal is None:
            return target
    raise InvalidInput(
        f"a client connects to a folder, an open kernel or an address, not {type(target).__name__}",
        field="target",
    )


def to_service(address: str, principal: str | None, token: str | None) -> Link:
    """A link to the service at an address: `unix:` with a world's folder or socket file, or `http`."""
    try:
        if address.startswith(UNIX):
            path = Path(address.removeprefix(UNIX))
            return Served(
                lambda: calls_to(path, principal, token), lambda: task_calls_to(path, principal, token)
            )
        return Served(lambda: HttpCalls(address, principal, token))
    except (NotServed, ConnectionLost) as error:
        raise Unreachable(f"`{address}`: {error}", address=address) from error


def _as(kernel: Kernel, principal: str | None) -> Kernel:
    return kernel if principal is None else kernel.as_principal(principal)
