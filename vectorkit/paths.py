"""Paths that users give, and files that are made for the user of this process alone.

Where others may write, such as the temporary folder of the machine, they may have put a link in the place of a file:
opened as it is, it would have a file elsewhere made, or overwritten, with the rights of this process.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from vectorkit.errors import InvalidArgumentError
from vectorkit.validation import short

__all__ = ["local_path", "lock_file", "make_folder", "make_private", "new_file", "own_folder", "write_private"]

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 4095
"""Bytes, of Linux (`NAME_MAX`, `PATH_MAX`); other systems take as many or fewer."""


def local_path(path: object, what: str) -> Path:
    """The path that a user gave, with `~` as the home folder.

    Args:
        path: A `str` or a path.
        what: What it is, for the message.

    Raises:
        InvalidArgumentError: It is neither, empty, or none that a file system takes.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgumentError(f"{what} is a path, not {type(path).__name__}")
    text: Any = _text(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgumentError(f"{what} is a path without NUL, not empty, not {short(text)}")
    try:
        found = Path(text).expanduser()
        longest = max((len(os.fsencode(part)) for part in found.parts), default=0)
        whole = len(os.fsencode(found))
    except RuntimeError:
        raise InvalidArgumentError(f"{what} {short(text)} is in a home folder that is not known") from None
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{what} {short(text)} holds a character that no file name can have") from None
    if longest > _LONGEST_NAME or whole > _LONGEST_PATH:
        raise InvalidArgumentError(
            f"{what} {short(text)} is too long: a name in it may have {_LONGEST_NAME} bytes, and all {_LONGEST_PATH:,}"
        )
    return found


def make_folder(folder: Path) -> None:
    """Make a folder for the owner alone, with those above it; one that is there stays as it is.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_private(file: Path) -> None:
    """Make an empty file for the owner alone if there is none; a link that leads nowhere is not followed.

    Raises:
        OSError: It cannot be made.
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600))
    except FileExistsError:
        if not file.exists():
            raise


def lock_file(file: Path) -> int:
    """Open a file to lock it, made for the owner alone if there is none; returns its descriptor.

    Raises:
        OSError: It cannot be opened, or is a link or no plain file.
    """
    opened = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(None, "it is not a plain file")
    return opened


def new_file(file: Path) -> int:
    """Make a file for the owner alone, in the place of whatever is there; returns its descriptor, to be written to.

    Raises:
        OSError: It cannot be made.
    """
    file.unlink(missing_ok=True)
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0), 0o600)


def write_private(file: Path, content: bytes) -> None:
    """Write a file, made for the owner alone if there is none.

    Raises:
        OSError: It cannot be written.
    """
    make_private(file)
    file.write_bytes(content)


def own_folder() -> Path:
    """The folder of this user in the temporary folder of the machine, which nobody else can write to.

    Raises:
        OSError: It cannot be made, or somebody else made it.
    """
    user = getattr(os, "getuid", lambda: "user")()
    folder = Path(tempfile.gettempdir()) / f"vectorkit-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if os.name == "posix" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022):
        raise PermissionError(None, f"{folder} is not a folder of yours alone")
    return folder


def _text(path: Any) -> Any:
    return os.fspath(path)  # pyright: ignore[reportUnknownVariableType]
