"""The lock that keeps a folder to one process (rule 9.5); the kernel releases it when the process ends, however."""

import sys
from io import FileIO
from pathlib import Path
from typing import Final

from vectorkit.errors import BackendError, BackendPermissionError, BackendUnavailableError
from vectorkit.paths import lock_file, make_folder

__all__ = ["FolderLock"]

_NAME: Final = "vectorkit.lock"


class FolderLock:
    """An exclusive lock on a folder; `acquire` takes it.

    Args:
        folder: The folder.
        place: What it is called in messages.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._folder = folder
        self._place = place
        self._file: FileIO | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None and not self._file.closed

    def acquire(self) -> None:
        """Lock the folder, which is made if there is none. If it raises, whatever it raises, `release` cleans up.

        Raises:
            BackendUnavailableError: Another process holds the lock.
            BackendPermissionError: The folder, or the file in it, cannot be written.
            BackendError: There is a file where the folder should be, or the system fails.
        """
        folder, place = self._folder, self._place
        try:
            make_folder(folder)
            self._file = FileIO(lock_file(folder / _NAME), "r+")
        except PermissionError as error:
            raise BackendPermissionError(
                f"{place} cannot be written ({error.strerror}); choose another folder, or change its permissions"
            ) from error
        except (FileExistsError, NotADirectoryError) as error:
            raise BackendError(f"{place}: there is a file where a folder is needed; choose another path") from error
        except OSError as error:
            read_only = BackendPermissionError if "ead-only" in str(error) else BackendError
            raise read_only(f"{place} cannot be made ({error.strerror}); choose another folder") from error
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self.release()
            raise BackendUnavailableError(
                f"{place} is open in another process, and Chroma's files would be damaged by two; close it there, "
                f"or serve it to both: run `chroma run --path {folder}` and connect to chroma+http://localhost:8000"
            ) from error

    def release(self) -> None:
        """Let the folder go, if it is held."""
        if self._file is not None:
            self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
