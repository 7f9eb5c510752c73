"""One copy at a time into one target: a lock that the system gives back when its process ends, however."""

import hashlib
import os
import sys

from vectorkit.errors import BackendError
from vectorkit.paths import lock_file, own_folder

__all__ = ["TargetLock"]


class TargetLock:
    """An exclusive lock among the processes and threads of one user on one machine.

    Copies from several machines into one target are not kept apart by it; there the ids do it: `add` refuses what
    another copy of the same collection has written, so that one of the two fails, and the other one is complete.

    Args:
        identity: What tells the target from all others.
        what: What the target is called in messages.

    Raises:
        BackendError: It is held already.
    """

    def __init__(self, identity: str, what: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
        try:
            file = lock_file(own_folder() / f"copy-{digest}.lock")
        except OSError as error:
            raise BackendError(
                f"the lock for {what} cannot be made ({error.strerror}); set TMPDIR to a folder that can be written"
            ) from error
        try:
            _lock(file)
        except OSError as error:
            os.close(file)
            raise BackendError(
                f"another copy is writing to {what}; wait until it has ended, or stop it and run this one again"
            ) from error
        self._file: int | None = file

    def release(self) -> None:
        """Let it go; again: nothing."""
        if self._file is not None:
            os.close(self._file)  # the file stays: deleted, it could be locked by one who had opened it before
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
