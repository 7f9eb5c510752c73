"""The lock that keeps a folder to one process (rule 9.5); the kernel releases it when the process ends, however."""

import os
import sys
from pathlib import Path
from typing import Final

from vectorkit.errors import BackendError, BackendPermissionError, BackendUnavailableError
from vectorkit.paths import lock_file, make_folder

__all__ = ["FolderLock"]

_NAME: Final = "vectorkit.lock"


class FolderLock:
    """An exclusive lock on a folder, which is made if there is none.

    Args:
        folder: The folder.
        place: What it is called in messages.

    Raises:
        BackendUnavailableError: Another process holds the lock.
        BackendPermissionError: The folder, or the file in it, cannot be written.
        BackendError: There is a file where the folder should be, or the system fails.
    """

    def __init__(self, folder: Path, place: str) -> None:
        try:
            make_folder(folder)
            file = lock_file(folder / _NAME)
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
            _lock(file)
        except OSError as error:
            os.close(file)
            raise BackendUnavailableError(
                f"{place} is open in another process, and Chroma's files would be damaged by two; close it there, "
                f"or serve it to both: run `chroma run --path {folder}` and connect to chroma+http://localhost:8000"
            ) from error
        self._file: int | None = file

    def release(self) -> None:
        """Let the folder go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
