"""Who answers the questions of the core: the modules that the world holds, in a sandbox.

Rule 1. A question names its module by hash; the bytes of that hash are what is asked.
Rule 2. An answer is bytes or the class of a fault. What it means is read in the core (`abi.py`).
Rule 3. Whether a receipt's signature holds is asked here, too, because the core knows no cryptography.
"""

from collections.abc import Callable
from importlib import import_module

from splittally.core.abi import Fault, Question
from splittally.core.commands import Admitted, Judged, Settle, Verified
from splittally.core.errors import NotAdmitted
from splittally.core.hashing import hash_module
from splittally.core.signatures import message_of
from splittally.core.state import State
from splittally.sandbox import Sandbox, admit

_SIGNATURES = "splittally.edge.receipt_signatures"  # loaded with the first of them: most worlds have none


class Judge:
    """Answers questions by asking the pinned modules; audit has one that reads what was recorded.

    `admission` is how a module is admitted; audit asks every check of every module.
    """

    def __init__(self, sandbox: Sandbox, admission: Callable[[bytes], None] = admit) -> None:
        self.sandbox = sandbox
        self._admission = admission

    def twin(self) -> "Judge":
        """One with a sandbox of its own, for a kernel that is used in another thread."""
        return Judge(Sandbox(), self._admission)

    def answer(self, state: State, question: Question) -> Judged:
        """The answer of the pinned module, or the class of its fault."""
        module = question.module
        if not self.sandbox.knows(module):
            loaded = self.sandbox.load(state.caps.blobs[module])
            assert loaded == module
        answer = self.sandbox.judge(module, question.data)
        if isinstance(answer, Fault):
            return Judged(question.hash, b"", answer.cls)
        return Judged(question.hash, answer, "")

    def verify(self, key: bytes, command: Settle) -> Verified:
        """Whether a receipt's signature holds under this public key."""
        signatures = import_module(_SIGNATURES)
        return Verified(key, signatures.is_signature(key, command.signature, message_of(command)))

    def admit(self, wasm: bytes) -> Admitted:
        """Whether a module is admitted, and if not, by which check."""
        try:
            self._admission(wasm)
        except NotAdmitted as error:
            return Admitted(hash_module(wasm), str(error.facts.get("check", "unknown")))
        return Admitted(hash_module(wasm), "")
