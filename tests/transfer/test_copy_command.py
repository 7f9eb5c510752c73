"""`vectorkit copy` on the command line."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Thread

import chromadb
import numpy as np
import psycopg
import pytest
from chromadb.config import Settings
from psycopg import sql
from typer.testing import CliRunner, Result

import vectorkit as vk
from vectorkit.cli import app


@pytest.fixture
def kb(tmp_path: Path) -> str:
    """The URL of a store with two collections."""
    url = f"chroma:{tmp_path / 'kb'}"
    with vk.connect(url) as store:
        for name in ("docs", "others"):
            store.create_collection(name, dimension=3, metric="l2").upsert(
                ids=[f"{name}-{n}" for n in range(40)],
                documents=[f"text {n}" for n in range(40)],
                embeddings=np.random.default_rng(0).normal(size=(40, 3)),
                metadatas=[{"n": n} for n in range(40)],
            )
    return url


def vectorkit(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), terminal_width=200)


def test_it_copies_verifies_and_then_finds_nothing_to_do(kb: str, make_postgres: Callable[[], str]) -> None:
    url = make_postgres()
    first = vectorkit("copy", kb, url, "--verify")
    assert first.exit_code == 0, first.output
    assert "docs: 40 records copied" in first.output
    assert "agree" in first.output
    again = vectorkit("copy", kb, url)
    assert again.exit_code == 0
    assert "docs: all 40 records were there" in again.output
    with vk.connect(url) as store:
        assert [info.name for info in store.list_collections()] == ["docs", "others"]


def test_json_says_what_was_done(kb: str, tmp_path: Path) -> None:
    target = f"chroma:{tmp_path / 'target'}"
    done = vectorkit("copy", kb, target, "--collection", "docs", "--as", "papers", "--verify", "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["complete"] is True
    (copied,) = said["collections"]
    assert (copied["name"], copied["target_name"], copied["written"]) == ("docs", "papers", 40)
    assert said["verification"]["agrees"] is True


def test_a_way_through_files_comes_back_equal(kb: str, tmp_path: Path, make_postgres: Callable[[], str]) -> None:
    way = [
        kb,
        make_postgres(),
        f"file:{tmp_path / 'a.parquet'}",
        f"chroma:{tmp_path / 'b'}",
        f"file:{tmp_path / 'c.jsonl'}",
        make_postgres(),
    ]
    for here, there in pairwise(way):
        done = vectorkit("copy", here, there, "--collection", "docs", "--verify")
        assert done.exit_code == 0, done.output
    assert vectorkit("verify", kb, way[-1], "--collection", "docs").exit_code == 0


def test_mistakes_are_a_line_and_exit_code_2(kb: str, make_postgres: Callable[[], str]) -> None:
    url = make_postgres()
    with vk.connect(url) as store:
        store.create_collection("docs", dimension=4, metric="l2")
    for arguments, said in (
        ((kb, url), "dimension 4"),
        ((kb, url, "--as", "x"), "--collection"),
        ((kb, url, "--collection", "none"), "'none'"),
        ((kb, "nowhere:"), "no backend"),
        ((kb, "postgresql://me:secret@127.0.0.1:1/db"), "127.0.0.1"),
    ):
        done = vectorkit("copy", *arguments)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert "Traceback" not in done.output
        assert "secret" not in done.output


def test_what_cannot_be_copied_is_put_aside_and_exit_code_1(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path / "raw"), settings=Settings(anonymized_telemetry=False))
    raw = client.create_collection("my.docs", embedding_function=None)
    raw.add(
        ids=["a", "b", "c"], embeddings=np.ones((3, 2), dtype=np.float32), metadatas=[{"n": 1}, {"_vk": 1}, {"n": 3}]
    )
    source, target, aside = f"chroma:{tmp_path / 'raw'}", f"chroma:{tmp_path / 'target'}", tmp_path / "bad.jsonl"
    refused = vectorkit("copy", source, target)
    assert refused.exit_code == 2
    assert "'b'" in refused.output
    assert "--skip-bad" in refused.output
    done = vectorkit("copy", source, target, "--skip-bad", str(aside))
    assert done.exit_code == 1
    assert "my.docs as my-docs: 2 records copied" in done.output
    assert "1 record(s) could not be copied" in done.output
    assert json.loads(aside.read_text())["id"] == "b"


def test_ctrl_c_is_130_and_the_same_command_goes_on(tmp_path: Path, make_postgres: Callable[[], str]) -> None:
    count, url, source = 60_000, make_postgres(), f"file:{tmp_path / 'docs.jsonl'}"
    with vk.connect("memory:") as store:
        store.create_collection("docs", dimension=4, index="none").add(
            ids=[f"{n:05}" for n in range(count)], embeddings=np.random.default_rng(0).normal(size=(count, 4))
        )
        vk.copy(store, source)
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def watch() -> None:
        try:
            while said := os.read(ours, 4096):
                shown.append(said)
        except OSError:  # the terminal is closed
            pass

    command = [sys.executable, "-m", "vectorkit", "copy", source, url]
    with subprocess.Popen(
        command,
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores the key
    ) as run:
        os.close(theirs)
        watcher = Thread(target=watch)
        watcher.start()
        while not records(url) > 5000:
            assert run.poll() is None, "it ended before it was stopped"
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
    watcher.join()
    os.close(ours)
    said = b"".join(shown).decode()
    assert "interrupted" in said
    assert "Traceback" not in said
    assert "/60000" in said, "a bar was shown"
    assert "/s" in said, "with the rate"
    done = vectorkit("copy", source, url, "--json")
    assert done.exit_code == 0
    (copied,) = json.loads(done.stdout)["collections"]
    assert copied["count"] == count
    assert copied["written"] < count


def records(url: str) -> int:
    """How many records of the collection are there."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^vk_docs_[0-9]+$'").fetchall()
        for (table,) in tables:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            assert row is not None
            return int(row[0])
    return 0
