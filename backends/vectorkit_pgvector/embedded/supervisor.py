"""The process that keeps the embedded server of one folder running, and stops it when its last user is gone.

`vectorkit_pgvector.embedded.server` starts it, under an interpreter without site-packages: it uses the standard library
only, so that it is up within milliseconds and light enough to stay.

Who is there is told by locks (`flock`), which the kernel gives back however a process ends, and never by process ids:

- ``vectorkit.lock``: every user holds it shared. The supervisor waits for it exclusively: then the last user is gone.
  It keeps it until the server has stopped, so that a user who comes meanwhile waits, and starts the next one.
- ``supervisor.lock``: held by the supervisor, from whoever started it, so that there is never a second one.
- ``server.lock``: held by the processes of the server and by nobody else, so by those that outlive a killed
  supervisor or a killed postmaster too. The supervisor waits for it to learn that the server died, then restarts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from vectorkit_pgvector.embedded.account import Failure, become, let_in_owners

USERS_LOCK = "vectorkit.lock"
SUPERVISOR_LOCK = "supervisor.lock"
SERVER_LOCK = "server.lock"
DATA = "data"
LOG = "server.log"
SOCKET_LINK = "socket"  # to the socket's folder, where it is another
PORT = 5432  # only part of the socket's name: the server listens on no network
ROLE = "postgres"
ANSWER = "vectorkit: "  # begins the line that tells the starter how it went

_SOCKET = f".s.PGSQL.{PORT}"
_SOCKET_NAME_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes of sun_path, without the closing NUL
_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)  # the shortest that a server answers, with one letter
_ANSWER_TIMEOUT = 1.0  # seconds
_STOP_TIMEOUT = 60.0  # seconds for each step from a clean stop to a hard one; the wait of pg_ctl
_LOG_LIMIT = 1 << 20  # bytes after which the next start sets the log aside
_LOG_TAIL = 10  # lines shown of a log


class Postmaster(NamedTuple):
    """What ``postmaster.pid`` says of a server that runs, or ran until it was killed."""

    pid: int
    socket_folder: Path
    status: str

    def accepts(self) -> bool:
        """Whether a server is there and ready to take a connection.

        It must answer: a child that a killed server had just forked keeps its socket open for a moment.
        """
        if self.status != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.settimeout(_ANSWER_TIMEOUT)
            connection.connect(str(self.socket_folder / _SOCKET))
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) != b""
        return False


def read_postmaster(root: Path) -> Postmaster | None:
    """Read the state file of the server under `root`; None if there is none, or it is being written."""
    try:
        lines = os.fsdecode((root / DATA / "postmaster.pid").read_bytes()).split("\n")
        return Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip())
    except (OSError, IndexError, ValueError):
        return None


class Supervisor:
    """Runs the server of one folder."""

    def __init__(self, root: Path, binaries: Path) -> None:
        self._root = root
        self._data = root / DATA
        self._binaries = binaries
        self._folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)  # the very one, also if it is moved away
        self._log = root / LOG
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._socket_folder = root
        self._stopping = False
        self._turn = threading.Lock()  # held while the server is being started, or told to stop

    def start(self) -> None:
        """Take over the server that a killed supervisor left, or start one; return when it is ready."""
        deadline = time.monotonic() + _STOP_TIMEOUT
        while True:
            lock = self._open(SERVER_LOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return self._launch(lock)
            postmaster = read_postmaster(self._root)
            if postmaster is not None and postmaster.accepts():
                self._pid, self._socket_folder = postmaster.pid, postmaster.socket_folder
                return None
            if time.monotonic() > deadline:
                raise Failure("unavailable", "processes of a killed server still run on it; wait for them, or end them")
            time.sleep(0.02)

    def run(self) -> None:
        """Keep the server running until its last user is gone, then stop it."""
        keeper = threading.Thread(target=self._keep_running, daemon=True)
        keeper.start()
        fcntl.flock(self._open(USERS_LOCK), fcntl.LOCK_EX)
        with self._turn:
            self._stopping = True
        for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast; immediate, recovered at the next start
            with contextlib.suppress(OSError):
                os.kill(self._pid, step)
            keeper.join(_STOP_TIMEOUT)
            if not keeper.is_alive():
                break
        if self._socket_folder != self._root:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def _keep_running(self) -> None:
        while True:
            lock = self._open(SERVER_LOCK)
            fcntl.flock(lock, fcntl.LOCK_EX)  # granted when the last process of the server is gone
            with self._turn:
                if self._process is not None:
                    self._process.wait()
                if self._stopping:
                    return
                try:
                    self._launch(lock)
                except Exception:
                    os._exit(1)  # the next user starts another supervisor, and is told what is wrong

    def _launch(self, lock: int) -> None:
        """Start the server, which inherits `lock`, and wait until it is ready. There is none now."""
        if not os.path.samestat(os.fstat(self._folder), self._root.stat()):
            raise Failure("unavailable", "the folder was moved away meanwhile")
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as output:
            self._log_start = output.tell()
            self._make_cluster(output.fileno())
            self._socket_folder = self._choose_socket_folder()
            self._forget_killed_server()
            let_in_owners(self._data)
            # On the command line, so that no setting in the cluster opens what is closed here.
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": '"{}"'.format(str(self._socket_folder).replace('"', '""')),
                "unix_socket_permissions": "0700",
                "port": str(PORT),
                "hba_file": str(self._data / "pg_hba.conf"),
                "ident_file": str(self._data / "pg_ident.conf"),
                "fsync": "on",
                "logging_collector": "off",
                "log_destination": "stderr",
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            command = [str(self._binaries / "postgres"), "-D", str(self._data), *options]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[lock]
            )
        os.close(lock)
        self._pid = self._process.pid
        while True:
            state = read_postmaster(self._root)
            if state is not None and state.pid == self._pid and state.status == "ready":
                return
            if self._process.poll() is not None:
                raise self._failure("the server ended at its start")
            time.sleep(0.005)

    def _make_cluster(self, output: int) -> None:
        """Make the data folder if there is none, whole or not at all; refuse one of another major version."""
        if self._data.exists():
            version = subprocess.run([self._binaries / "postgres", "-V"], capture_output=True, text=True, check=True)
            ours = version.stdout.split()[2]
            with contextlib.suppress(FileNotFoundError):  # a damaged cluster: the server says what is wrong with it
                theirs = (self._data / "PG_VERSION").read_text().strip()
                if theirs != ours.partition(".")[0]:
                    raise Failure("version", f"the data is of PostgreSQL {theirs}, the server installed is {ours}")
            return
        new = self._root / f"{DATA}.new"
        shutil.rmtree(new, ignore_errors=True)
        command = [str(self._binaries / "initdb"), "-D", str(new), "-U", ROLE]
        command += ["--auth-local=peer", "--auth-host=reject", "--encoding=UTF8"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]  # ordered by code point
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise self._failure("initdb failed")
        new.rename(self._data)
        os.fsync(self._folder)  # else the name may be lost in a crash, and all that was written with it

    def _choose_socket_folder(self) -> Path:
        """The folder itself where a socket's name is short enough for that, else a private one in the temporary folder.

        That one is kept by a link, to be the same after a crash: users keep its name to connect again.
        """
        if _takes_socket(self._root):
            return self._root
        link = self._root / SOCKET_LINK
        with contextlib.suppress(OSError):
            if _is_private(folder := link.readlink()):
                return folder
        parents = [Path(tempfile.gettempdir()), Path("/tmp")]
        parent = next(parent for parent in parents if _takes_socket(parent / "vectorkit-12345678"))
        folder = Path(tempfile.mkdtemp(prefix="vectorkit-", dir=parent))
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        return folder

    def _forget_killed_server(self) -> None:
        """Remove files of a killed server whose process id now belongs to another program: they would be believed."""
        file = self._data / "postmaster.pid"
        try:
            pid = int(file.read_bytes().split(b"\n")[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return  # no such file or process; the server sees that itself
        if pid <= 0 or _runs_on(pid, self._data):
            return  # a server that somebody else started here: ours will say so, and end
        file.unlink()
        (self._socket_folder / f"{_SOCKET}.lock").unlink(missing_ok=True)

    def _failure(self, what: str) -> Failure:
        lines = self._log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()
        return Failure("unavailable", "\n".join([f"{what}; the last lines of {self._log}:", *lines[-_LOG_TAIL:]]))

    def _open(self, name: str) -> int:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._folder)


def _takes_socket(folder: Path) -> bool:
    """Whether a socket in `folder` has a name that fits; libpq would take a comma for the end of the name."""
    return len(os.fsencode(folder / _SOCKET)) <= _SOCKET_NAME_LIMIT and "," not in str(folder)


def _is_private(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        status = folder.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return False


def _runs_on(pid: int, data: Path) -> bool:
    """Whether the process is, or may be, a PostgreSQL server on this data folder: that is its working folder."""
    if sys.platform != "linux":
        command = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True).stdout
        return "postgres" in command
    try:
        process = Path(f"/proc/{pid}")
        return (process / "comm").read_text() == "postgres\n" and (process / "cwd").samefile(data)
    except OSError as error:
        return isinstance(error, PermissionError)


def main(root: Path, binaries: Path, uid: int) -> None:
    """Become a daemon of the user `uid`, start the server, tell the starter on standard output, and keep it running."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a starter may ignore it, and that is inherited
    os.umask(0o077)
    if os.fork() != 0:
        os._exit(0)  # the starter waits for this process, and is not left with a child
    try:
        needed = [path for name in ("lib", "share") for path in (binaries.parent / name).iterdir()]
        become(pwd.getpwuid(uid), [root, *needed], programs=[binaries / "postgres", binaries / "initdb"])
        supervisor = Supervisor(root, binaries)
        supervisor.start()
    except Failure as failure:
        _answer({"failure": failure.kind, "message": str(failure)})
    except Exception as error:  # whatever it is, the starter waits for it
        kind = "permission" if isinstance(error, PermissionError) else "unavailable"
        _answer({"failure": kind, "message": f"{type(error).__name__}: {error}"})
    else:
        _answer({})
        supervisor.run()
    os._exit(0)


def _answer(answer: dict[str, str]) -> None:
    """Tell the starter how it went, and let go of its pipe."""
    with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
        sys.stdout.write(f"{ANSWER}{json.dumps(answer)}\n")
        sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
