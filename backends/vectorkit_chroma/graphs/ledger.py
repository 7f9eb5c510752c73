"""What is known of a folder's saved graphs from the last time: the file `vectorkit.graphs`.

While Chroma runs, it says so, and under which boot of the machine. Only what was flushed to the medium is recorded.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from vectorkit_chroma.graphs.files import Stats

__all__ = ["Ledger", "boot_id"]

_NAME: Final = "vectorkit.graphs"
_VERSION: Final = 1


@dataclass
class Ledger:
    """The record.

    Attributes:
        whole: What the files of each graph that is known to be whole looked like, by segment.
        reduced: The highest number in the log when it was last reduced.
        boot: Under which boot of the machine Chroma was started, None if it was stopped in order, or if not known.
        running: Whether Chroma was started and not stopped in order.
    """

    whole: dict[str, Stats] = field(default_factory=dict[str, Stats])
    reduced: int = 0
    boot: str | None = None
    running: bool = False

    @classmethod
    def of(cls, folder: Path) -> "Ledger | None":
        """The record of a folder; None if there is none that can be used."""
        try:
            found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
            if found.pop("version") == _VERSION:
                return cls(**found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # without it, everything is looked at
        return None

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all; if that fails, there is none, and everything will be looked at."""
        temporary = folder / f"{_NAME}.new"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"version": _VERSION, **asdict(self)}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / _NAME)
            flush_names(folder)
        except OSError:  # such as a full disk
            # Nothing acknowledged is in this file. An old one must not stay: it would call graphs whole that are not.
            with suppress(FileNotFoundError):
                temporary.unlink()
            (folder / _NAME).unlink(missing_ok=True)


def flush_names(folder: Path) -> None:
    """Have the names in a folder on the medium; Windows has no way to."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def boot_id() -> str | None:
    """What identifies this boot of the machine; None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
