"""sqlite3's exceptions become vectorkit's: the one place where they are mapped (rule 8.2)."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from vectorkit.errors import BackendError, BackendPermissionError, BackendTimeoutError, BackendUnavailableError

__all__ = ["translate", "translated"]

# Primary result codes (https://www.sqlite.org/rescode.html); any other is a plain BackendError.
_BY_CODE: Final[dict[int, type[BackendError]]] = {
    sqlite3.SQLITE_AUTH: BackendPermissionError,
    sqlite3.SQLITE_BUSY: BackendTimeoutError,
    sqlite3.SQLITE_CANTOPEN: BackendUnavailableError,
    sqlite3.SQLITE_LOCKED: BackendTimeoutError,
    sqlite3.SQLITE_PERM: BackendPermissionError,
    sqlite3.SQLITE_READONLY: BackendPermissionError,
}

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process is writing: call again when it is done",
    sqlite3.SQLITE_CANTOPEN: "is there such a folder, and may this user write to it?",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup",
    sqlite3.SQLITE_FULL: "the disk is full: free space there; the call wrote nothing",
    sqlite3.SQLITE_NOTADB: "choose another path",
    sqlite3.SQLITE_PERM: "make the file and its folder writable for this user",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user",
}


def translate(error: sqlite3.Error) -> BackendError:
    """The library's error for one of sqlite3."""
    # Errors of the module itself have no code; the lowest byte of an extended code is the primary one.
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    return _BY_CODE.get(code, BackendError)(f"SQLite: {error}{advice}")


@contextmanager
def translated() -> Generator[None]:
    """Whatever sqlite3 raises within leaves as one of vectorkit's errors, with sqlite3's as its cause."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error) from error
