"""The command, in this process or one of its own, on stores of a test's own."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner, Result

from vectorkit.cli import app
from vectorkit.cli._common import err, out

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs the command in this process, on a terminal of 160 columns, so that what it imports is imported once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch: Any = import_module("torch")
    torch.set_num_threads(1)  # for a few short texts, threads that wait for each other cost more than they bring

    out.width = err.width = 160  # they were made when the module was imported, and a worker of xdist has 80

    def run(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "160"}).invoke(app, arguments, prog_name="vectorkit")

    return run


@pytest.fixture(scope="session")
def run_json(run: Run) -> Callable[..., Any]:
    """Runs it with `--json`, to success, and returns what it says."""

    def run_json(*arguments: str) -> Any:
        done = run(*arguments, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        return json.loads(done.stdout)

    return run_json


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "vectorkit", *arguments]


@pytest.fixture(scope="session")
def run_process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command in a process of its own."""

    def run_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "COLUMNS": "160"}
        return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True)

    return run_process


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"test_{uuid4().hex}"
    parameters = {key: value for key, value in conninfo_to_dict(postgres_url).items() if key != "dbname"}
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"postgresql:///{name}?{urlencode(parameters)}"
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["chroma", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store that a second command finds as the first one left it."""
    if request.param == "chroma":
        return f"chroma:{tmp_path / 'store'}"
    found: str = request.getfixturevalue("database_url")
    return found
