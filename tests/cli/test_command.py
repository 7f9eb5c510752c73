"""What holds for every command: help that teaches, exit codes, errors in a line, no password, completion."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import Result

from vectorkit.registry import schemes
from vectorkit_pgvector.embedded.server import EmbeddedServer

Run = Callable[..., Result]
RunProcess = Callable[..., "subprocess.CompletedProcess[str]"]

SECRET = "s3cret-horse"
READ = (("info",), ("search", "docs", "a"), ("recall", "docs"), ("bench",))


def with_url(command: tuple[str, ...], url: str) -> list[str]:
    return [command[0], url, *command[1:]]


def test_the_help_names_every_command_and_what_a_url_is(run: Run) -> None:
    shown = run("--help").stdout
    for name in ("info", "ingest", "search", "recall", "bench", "evaluate", "conformance"):
        assert f"│ {name} " in shown
    for url in ("chroma:PATH", "postgresql://user@host/db", "postgresql+embedded:PATH"):
        assert url in shown


@pytest.mark.parametrize("name", ["info", "ingest", "search", "recall", "bench", "evaluate", "conformance"])
def test_the_help_of_each_command_has_an_example_and_json(run: Run, name: str) -> None:
    shown = run(name, "--help").stdout
    assert f" vectorkit {name} " in shown.partition("Arguments")[0].replace("Usage: vectorkit", "")
    assert "--json" in shown


@pytest.fixture
def locked_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with a role whose password is another one than the one in the URL."""
    with EmbeddedServer.start(tmp_path / "data") as server:
        with psycopg.connect(server.conninfo, autocommit=True) as admin:
            admin.execute("CREATE ROLE locked LOGIN PASSWORD 'the right one'")
            rules = server.path / "data" / "pg_hba.conf"
            rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
            admin.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + 10
            while admin.execute("SELECT count(*) FROM pg_hba_file_rules").fetchone() != (2,):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        kept = {key: value for key, value in conninfo_to_dict(server.conninfo).items() if key in ("host", "port")}
        yield f"postgresql://locked:{SECRET}@/postgres?{urlencode(kept)}"


def test_a_wrong_password_is_a_line_that_does_not_show_it(
    locked_url: str, tmp_path: Path, run: Run, run_process: RunProcess
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("Some words.")
    for command in (*READ, ("ingest", "docs", str(text))):
        done = run(*with_url(command, locked_url))
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert "password" in done.stderr
        assert SECRET not in done.stderr
        assert "Traceback" not in done.stderr
    process = run_process("info", locked_url)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: ")
    assert SECRET not in process.stderr
    assert "Traceback" not in process.stderr


def test_a_mistake_is_a_line_and_exit_code_2(run: Run, run_process: RunProcess) -> None:
    for command in READ:
        done = run(*with_url(command, f"acme://me:{SECRET}@host"))
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: no backend for 'acme:'; known URLs begin with ")
        assert SECRET not in done.stderr
    process = run_process("recall", "memory:", "docs")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: ")
    assert "'docs'" in process.stderr


def test_a_shell_completes_commands_and_urls() -> None:
    """The schemes of URLs; nothing is opened to look for more."""

    def completed(words: str, count: int) -> set[str]:
        environment = {
            **os.environ,
            "_VECTORKIT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        }
        done = subprocess.run(
            [sys.executable, "-m", "vectorkit"], env=environment, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    assert completed("vectorkit in", 1) == {"info", "ingest"}
    assert completed("vectorkit info post", 2) == {f"{name}:" for name in schemes() if name.startswith("post")}
