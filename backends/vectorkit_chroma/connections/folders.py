"""Stores on disk: a folder is opened once in a process, whoever asks, and its lock held meanwhile."""

import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chromadb.config import System

from vectorkit.errors import VectorKitError
from vectorkit.paths import local_path
from vectorkit_chroma._errors import mapped
from vectorkit_chroma.connections.client import Connection, Server
from vectorkit_chroma.connections.gate import Gate, GatedServer
from vectorkit_chroma.connections.lock import FolderLock
from vectorkit_chroma.connections.systems import NEVER, RUST, server_of, started, stop, sync_threshold_of
from vectorkit_chroma.graphs.database import require_chroma
from vectorkit_chroma.graphs.folder import GraphFolder

__all__ = ["open_folder"]

_FILES_OF_A_GRAPH: Final = 5
_FILES_OF_OTHERS: Final = 128
"""Files of the process that are left to everything but graphs."""


class _Folder:
    """A folder that is open in this process, its lock held and Chroma running on it.

    Args:
        path: The folder.
        place: What it is called in messages.
    """

    def __init__(self, path: Path, place: str) -> None:
        require_chroma(path, place)
        self.lock = FolderLock(path, place)
        self.users: set[object] = set()
        self.shared: dict[str, Any] = {}
        self.guard = threading.RLock()
        self._path = path
        self._graphs = GraphFolder(path, place)
        try:
            self.lock.acquire()
            if self._graphs.is_new():  # Chroma makes its tables, and the setting that the log is to be kept has a place
                self._start().stop()
            prepared = self._graphs.prepare()
            self._system = self._start()
            self.sync_threshold = sync_threshold_of(self._system) if prepared.saves else NEVER
            self._gate = Gate(self._restart, _most_graphs, prepared.torn)
            self.server: Any = GatedServer(server_of(self._system), self._gate)
        except BaseException:
            self.lock.release()
            raise

    def _start(self) -> System:
        with mapped("opening", f"chroma:{self._path}"):
            return started(is_persistent=True, persist_directory=str(self._path), chroma_api_impl=RUST)

    def _restart(self) -> Mapping[str, str]:
        """Stop Chroma, look at the folder and start it again, while no call is under way."""
        self._stop()
        _give_memory_back()
        torn = self._graphs.prepare().torn
        with mapped("opening", f"chroma:{self._path} again"):
            self._system.start()
        return torn

    def _stop(self) -> None:
        if stop(self._system) and self._gate.all_succeeded:
            # Nothing but the record of whole graphs is written here: without it, the next opening looks at them all.
            with suppress(VectorKitError):
                self._graphs.stopped()

    def close(self) -> None:
        """Stop Chroma and let the folder go. An interrupt leaves the lock held, and the call can be repeated."""
        try:
            self._stop()
        except Exception:
            self.lock.release()
            raise
        self.lock.release()


_folders: dict[Path, _Folder] = {}
_folders_lock = threading.Lock()


def open_folder(path: str, tenant: str, database: str) -> Connection:
    """Open a store on disk; several in one process share the folder's lock, its Chroma and its state.

    Raises:
        BackendUnavailableError: Another process has it open.
        BackendPermissionError: It cannot be written.
        BackendError: It is no folder, another program's or damaged, or Chroma cannot open it.
    """
    folder = local_path(path, "the folder of chroma:PATH").resolve()
    place = f"chroma:{path}"
    user = object()  # a count would be wrong once an interrupt comes beside it, or a release is repeated

    def release() -> None:
        with _folders_lock:
            if entry := _folders.get(folder):
                entry.users.discard(user)
                _close_unused(folder, entry)

    try:
        with _folders_lock:
            entry = _folders.get(folder)
            if entry is not None and _close_unused(folder, entry):
                entry = None
            if entry is None:
                entry = _folders[folder] = _Folder(folder, place)
            entry.users.add(user)
        with mapped("opening", f"{place}"):
            client = Server(entry.server, tenant, database)
            client.check()
        return Connection(
            client,
            "on disk",
            place,
            exclusive=True,
            persistent=True,
            release=release,
            lock=entry.guard,
            shared=entry.shared,
            sync_threshold=entry.sync_threshold,
        )
    except BaseException:
        release()
        raise


def _close_unused(folder: Path, entry: _Folder) -> bool:
    """Close a folder that nobody uses, also one whose closing was interrupted; whether it is closed."""
    if entry.users:
        return False
    try:
        entry.close()
    finally:
        if not entry.lock.held:
            _folders.pop(folder, None)
    return True


def _forget_folders() -> None:
    """In a forked child: the parent's stores are the parent's, so the child must open its own (rule 9.3)."""
    for entry in _folders.values():
        entry.lock.release()  # the child's copy; the parent goes on holding the lock
    _folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_folders)


if sys.platform == "win32":

    def _open_files() -> int:
        return int(ctypes.cdll.msvcrt._getmaxstdio())

    def _give_memory_back() -> None:
        pass

else:
    import resource

    def _open_files() -> int:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def _give_memory_back() -> None:
        """Have the C library return what the stopped Chroma freed: else the process grows with every restart."""
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _most_graphs() -> int:
    """How many graphs the process has files for."""
    return max(1, (_open_files() - _FILES_OF_OTHERS) // _FILES_OF_A_GRAPH)
