"""What the conformance suite cannot know of: processes, forks, kill -9, and what SQLite raises."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vectorkit as vk
from vectorkit_sqlite import SqliteBackend
from vectorkit_sqlite._errors import translate, translated

PUBLIC = [kind for kind in vars(sqlite3).values() if isinstance(kind, type) and issubclass(kind, sqlite3.Error)]


def run(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_a_url_finds_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the entry point; a relative path is that of the moment."""
    monkeypatch.chdir(tmp_path)
    with vk.connect("sqlite:store.db") as store:
        assert isinstance(store.backend, SqliteBackend)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 0]])
    with vk.connect(f"sqlite:{tmp_path}/store.db") as store:
        assert store.get_collection("docs").count() == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_processes_that_make_one_store_at_once_share_it(tmp_path: Path) -> None:
    """9.5 Four processes open a file that is not there, create one collection, and add the same ids: each id once."""
    code = """
import sys
import vectorkit as vk

docs = vk.connect(sys.argv[1]).get_or_create_collection("docs", dimension=2)
for at in range(60):
    try:
        docs.add(ids=[f"{at:02}"], embeddings=[[1, at]])
        print(at)
    except vk.DuplicateIdError:
        pass
"""
    url = f"sqlite:{tmp_path / 'store.db'}"
    command = [sys.executable, "-c", code, url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    added = [at for process in processes for at in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(added, key=int) == [str(at) for at in range(60)]
    with vk.connect(url) as store:
        assert store.get_collection("docs").count() == 60


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    """9.4 Every batch that was acknowledged is there, and the one under way is there whole or not at all."""
    code = """
import sys
import vectorkit as vk

docs = vk.connect(sys.argv[1]).get_or_create_collection("docs", dimension=64)
first = docs.count()
while True:
    docs.add(ids=[f"{first + at:06}" for at in range(100)], embeddings=[[1.0] * 64] * 100)
    first += 100
    print(first, flush=True)
"""
    url = f"sqlite:{tmp_path / 'store.db'}"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(5)]
            writer.kill()
            acknowledged += map(int, writer.stdout.read().split())
        with vk.connect(url) as store:
            ids = [record.id for record in store.get_collection("docs").get()]
        assert ids == [f"{at:06}" for at in range(len(ids))]
        assert len(ids) in (acknowledged[-1], acknowledged[-1] + 100)


def test_a_forked_child_opens_its_own_and_its_writes_are_safe(tmp_path: Path) -> None:
    """9.3 The parent closes its store, as the only one that it knows of, and what the child writes then is kept."""
    code = """
import os, signal, sys
import vectorkit as vk

store = vk.connect(sys.argv[1])
docs = store.create_collection("docs", dimension=2)
docs.add(ids=["before"], embeddings=[[1, 0]])
to_parent, to_child = os.pipe(), os.pipe()
if os.fork() == 0:
    try:
        docs.count()
    except vk.BackendError as error:
        assert "connect again in the child" in str(error)
        mine = vk.connect(sys.argv[1]).get_collection("docs")
        mine.add(ids=["opened"], embeddings=[[0, 1]])
        os.write(to_parent[1], b"x")
        os.read(to_child[0], 1)
        mine.add(ids=["after"], embeddings=[[1, 1]])
    os.kill(os.getpid(), signal.SIGKILL)
os.read(to_parent[0], 1)
store.close()
os.write(to_child[1], b"x")
os.wait()
print(*(record.id for record in vk.connect(sys.argv[1]).get_collection("docs").get()))
"""
    done = run(code, f"sqlite:{tmp_path / 'store.db'}")
    assert done.stdout == "after before opened\n", done.stderr


def test_a_stream_may_use_the_store_it_is_written_to(tmp_path: Path) -> None:
    """3.1 While an iterable is read nothing is locked; what it raises passes through, sqlite3's own errors too."""
    with vk.connect(f"sqlite:{tmp_path / 'store.db'}") as store:
        docs = store.create_collection("docs", dimension=2)

        def records(error: Exception | None) -> Iterator[vk.Record]:
            for at in range(1500):
                yield vk.Record(f"{at:04}", embedding=[at, 1])
            docs.upsert(ids=["another"], embeddings=[[1, docs.count() + 1]])
            if error is not None:
                raise error

        theirs = sqlite3.OperationalError("no such table: theirs")
        with pytest.raises(sqlite3.OperationalError) as caught:
            docs.add(records=records(theirs))
        assert caught.value is theirs
        assert docs.count() == 1
        docs.add(records=records(None))
        assert docs.count() == 1501


@pytest.mark.parametrize("kind", PUBLIC, ids=[kind.__name__ for kind in PUBLIC])
def test_every_exception_of_sqlite3_is_mapped(kind: type[sqlite3.Error]) -> None:
    """8.2 Each becomes a typed error with the original as its cause."""
    with pytest.raises(vk.BackendError, match="what sqlite3 says") as caught, translated():
        raise kind("what sqlite3 says")
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, vk.BackendTimeoutError),
        (sqlite3.SQLITE_CANTOPEN, vk.BackendUnavailableError),
        (sqlite3.SQLITE_FULL, vk.BackendError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, vk.BackendPermissionError),
    ],
)
def test_conditions_are_told_apart(code: int, expected: type[vk.BackendError]) -> None:
    """8.1 The class says what is the matter, also where SQLite gives an extended code."""
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    assert type(translate(error)) is expected


def test_a_writer_waits_for_another_one_and_says_when_it_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8.1 Reading does not wait; what could not be written was not."""
    monkeypatch.setattr("vectorkit_sqlite._sessions.PATIENCE", 0.05)
    path = tmp_path / "store.db"
    with vk.connect(f"sqlite:{path}") as store, contextlib.closing(sqlite3.connect(path)) as other:
        docs = store.create_collection("docs", dimension=2)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(vk.BackendTimeoutError, match="another process is writing"):
            docs.add(ids=["a"], embeddings=[[1, 0]])
        assert docs.count() == 0
        other.rollback()
        docs.add(ids=["a"], embeddings=[[1, 0]])
        assert docs.count() == 1


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """8.3 The message says what to do, and the file stays as it was."""
    (tmp_path / "notes.txt").write_text("no database " * 100)
    with pytest.raises(vk.BackendError, match="choose another path"):
        SqliteBackend(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "no database " * 100
    with pytest.raises(vk.BackendUnavailableError, match="is there such a folder"):
        SqliteBackend(tmp_path / "missing" / "store.db")
    for url in ("sqlite:", "sqlite:a\0b"):
        with pytest.raises(vk.InvalidArgumentError):
            vk.connect(url)


def test_a_collection_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """8.3 It names both layouts."""
    path = tmp_path / "store.db"
    with vk.connect(f"sqlite:{path}") as store:
        store.create_collection("docs", dimension=2)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE vectorkit_collections SET layout = 2")
            connection.commit()
        with pytest.raises(vk.BackendError, match="layout 2, this release of vectorkit-sqlite reads 1"):
            store.get_collection("docs")


def test_a_damaged_file_is_reported_as_such(tmp_path: Path) -> None:
    """8.2 In the middle of reading, too."""
    path = tmp_path / "store.db"
    with vk.connect(f"sqlite:{path}") as store:
        store.create_collection("docs", dimension=64).add(
            ids=[f"{at}" for at in range(500)], embeddings=[[1.0] * 64] * 500
        )
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    with vk.connect(f"sqlite:{path}") as store, pytest.raises(vk.BackendError, match="restore it from a backup"):
        store.get_collection("docs").get()
