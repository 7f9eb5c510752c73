"""The lock that keeps a journal to one mirror; the kernel releases it when the process ends, however."""

import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Final

from vectorkit.errors import BackendError, BackendPermissionError, BackendUnavailableError
from vectorkit.paths import lock_file

__all__ = ["FileLock"]

_held: Final[set[tuple[int, str]]] = set()
"""By process and path: the kernel's locks of one process do not exclude each other, and a fork inherits none."""

_changing: Final = threading.Lock()


class FileLock:
    """An exclusive lock on a file, which is made if there is none.

    Args:
        path: The file, which nothing else opens.
        what: What is locked, for messages.

    Raises:
        BackendUnavailableError: It is locked.
        BackendPermissionError: The file cannot be written.
        BackendError: The system fails otherwise.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._key = os.getpid(), os.path.realpath(path)
        taken = BackendUnavailableError(
            f"{what} is in use by another mirror; let all of an application write through one process, or close that "
            "mirror first"
        )
        with _changing:
            if self._key in _held:
                raise taken
            try:
                file = lock_file(path)
            except PermissionError as error:
                raise BackendPermissionError(
                    f"{what} cannot be written ({error.strerror}); give another path"
                ) from error
            except OSError as error:
                raise BackendError(f"{what} cannot be made ({error.strerror}); give another path") from error
            try:
                _held.add(self._key)
                _lock(file)
                # Called too when nobody has this any more, as after an interrupt in the opening of a journal.
                self._release = weakref.finalize(self, _release, self._key, file)
            except BaseException as error:
                _release(self._key, file)
                if isinstance(error, OSError):
                    raise taken from error
                raise

    def release(self) -> None:
        """Let others have it; again: nothing."""
        self._release()


def _release(key: tuple[int, str], file: int) -> None:
    # Without `_changing`: the garbage collector may call this while this thread holds it.
    _held.discard(key)
    os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
