"""`vectorkit conformance URL`: the suite on any store, with a report and an exit code, and no test file."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import vectorkit as vk
from vectorkit.testing import BackendConformance
from vectorkit.testing.report import SECTIONS

ROOT = Path(__file__).parents[2]

FAULTY = """
from dataclasses import replace
from vectorkit import BackendError, MemoryBackend
from vectorkit.types import Capabilities

class Short(MemoryBackend):
    "Returns one hit too few."

    @classmethod
    def from_url(cls, url):
        return cls()

    def search(self, collection, request):
        return super().search(collection, replace(request, k=max(1, request.k - 1)))

class Counting(MemoryBackend):
    "Writes a line for each workload of the property test."

    @classmethod
    def from_url(cls, url):
        return cls()

    def create_collection(self, spec):
        if spec.name == "workload":
            with open("workloads.txt", "a") as file:
                print(spec.metric, file=file)
        return super().create_collection(spec)

class Unusable(MemoryBackend):
    "Its server lacks an extension."

    @classmethod
    def from_url(cls, url):
        return cls()

    def create_collection(self, spec):
        raise BackendError("the extension is not installed; install it")

class Buggy(Unusable):
    "The same with an error of Python's."

    def create_collection(self, spec):
        raise KeyError("catalog")

class Lacking(MemoryBackend):
    scan = None

    @classmethod
    def from_url(cls, url):
        return cls()
"""
ENTRY_POINTS = """
[vectorkit.backends]
short = faulty:Short.from_url
counting = faulty:Counting.from_url
lacking = faulty:Lacking.from_url
unusable = faulty:Unusable.from_url
buggy = faulty:Buggy.from_url
"""


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A folder with an installed package that registers stores that are wrong."""
    folder = tmp_path / "site"
    installed = folder / "faulty-1.0.dist-info"
    installed.mkdir(parents=True)
    (folder / "faulty.py").write_text(FAULTY)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "vectorkit", *arguments]


def run(*arguments: str, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "COLUMNS": "200", **({} if path is None else {"PYTHONPATH": str(path)})}
    return subprocess.run(command(*arguments), cwd=folder, env=environment, capture_output=True, text=True)


def test_a_store_that_conforms_exits_with_0_and_prints_every_section(tmp_path: Path) -> None:
    """Whatever project is around it, and it leaves nothing there."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('loaded')\n")
    done = run("conformance", "memory:", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for number, title in SECTIONS.items():
        assert f" {number} {title} " in done.stdout
    assert "conforms: " in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"pytest.ini", "conftest.py"}


def test_the_report_for_machines_holds_every_test(tmp_path: Path) -> None:
    done = run("conformance", "memory:", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["conforms"] is True
    assert report["backend"] == report["scheme"] == "memory"
    assert {"python", "vectorkit-db", "numpy", "pytest", "hypothesis"} == set(report["versions"])
    suite = {name for name in dir(BackendConformance) if name.startswith("test_")}
    assert {test["test"].partition("[")[0] for test in report["tests"]} == suite
    assert {test["outcome"] for test in report["tests"]} == {"passed"}
    assert sum(section["passed"] for section in report["sections"]) == len(report["tests"])
    assert sum(section["seconds"] for section in report["sections"]) == pytest.approx(report["seconds"], abs=0.05)


def test_the_sections_are_those_of_the_contract() -> None:
    contract = (ROOT / "docs" / "SEMANTICS.md").read_text(encoding="utf-8")
    headings = [line[3:].partition(" (")[0] for line in contract.splitlines() if line.startswith("## ")]
    assert headings == [f"{number} {title}" for number, title in SECTIONS.items()]


def test_a_store_that_does_not_conform_exits_with_1_and_names_the_rules(tmp_path: Path, faulty: Path) -> None:
    """What it is known to fail can be listed; a test that is listed must fail."""
    done = run("conformance", "short:", folder=tmp_path, path=faulty)
    assert (done.returncode, done.stderr) == (1, "")
    assert "failed test_k_is_how_many_come_back\n  rule 6.1: " in done.stdout
    assert "does not conform: " in done.stdout
    assert "Traceback" not in done.stdout
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("failed ")]
    known = tmp_path / "known.json"
    known.write_text(json.dumps(dict.fromkeys(failed, "one too few, https://example.com/1")))
    done = run("conformance", "short:", "--deviations", str(known), folder=tmp_path, path=faulty)
    assert done.returncode == 0
    assert f"conforms, but for {len(failed)} deviation(s): " in done.stdout
    assert "one too few, https://example.com/1" in done.stdout
    known.write_text(json.dumps({**dict.fromkeys(failed, "one too few"), "test_names_are_case_sensitive": "mended"}))
    done = run("conformance", "short:", "--deviations", str(known), folder=tmp_path, path=faulty)
    assert done.returncode == 1
    assert "does not conform: 1 of " in done.stdout
    assert "it passes, and is listed as a deviation: mended" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"test_typo": "why"}', "test_typo: no such test in the suite"),
        ("{", "is no JSON: "),
        ('["test_x"]', "should hold an object such as"),
        ('{"test_x": 1}', "should hold an object such as"),
    ],
)
def test_a_bad_file_of_deviations_exits_with_2(tmp_path: Path, text: str, said: str) -> None:
    known = tmp_path / "known.json"
    known.write_text(text)
    done = run("conformance", "memory:", "--deviations", str(known), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_backend_that_cannot_be_tested_is_one_failure(tmp_path: Path, faulty: Path) -> None:
    done = run("conformance", "lacking:", "--json", folder=tmp_path, path=faulty)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["conforms"] is False
    (failed,) = [test for test in report["tests"] if test["outcome"] == "failed"]
    assert "Lacking does not implement the protocol: it lacks the method scan(" in failed["message"]
    assert sum(section["not_run"] for section in report["sections"]) > 150


def test_a_store_that_cannot_be_used_exits_with_2(tmp_path: Path, faulty: Path) -> None:
    """One error, not one of each test; what is a bug of the backend's is the one failure of a report."""
    done = run("conformance", "unusable:", folder=tmp_path, path=faulty)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the extension is not installed; install it" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("conformance", "buggy:", "--json", folder=tmp_path, path=faulty)
    assert (done.returncode, done.stderr) == (1, "")
    (failed,) = [test for test in json.loads(done.stdout)["tests"] if test["outcome"] == "failed"]
    assert "making and dropping a collection raised KeyError: 'catalog'" in failed["message"]


def test_a_store_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    url = f"chroma:{tmp_path / 'store'}"
    with vk.connect(url) as store:
        store.create_collection("precious", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
    done = run("conformance", url, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the store holds 1 collection(s) already ('precious')" in done.stderr
    with vk.connect(url) as store:
        assert store.get_collection("precious").count() == 1


def holds_records(database: Path) -> bool:
    """Whether a test has written to the store of Chroma; it clears what it wrote away again."""
    if database.exists():
        with (
            suppress(sqlite3.OperationalError),  # its tables may not be there yet
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db,
        ):
            return bool(db.execute("SELECT EXISTS (SELECT * FROM embeddings)").fetchone()[0])
    return False


def test_a_store_that_persists_is_empty_again_afterwards(tmp_path: Path) -> None:
    """Also after Ctrl-C in the middle, which is exit code 130, as in a shell."""
    url = f"chroma:{tmp_path / 'store'}"
    running = subprocess.Popen(
        command("conformance", url),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores the key
    )
    deadline = time.monotonic() + 120
    while not holds_records(tmp_path / "store" / "chroma.sqlite3"):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err.strip()) == (130, "", "interrupted")
    with vk.connect(url) as store:
        assert store.list_collections() == []


LOSES_AN_INTERRUPT = """
import gc, os, signal
from vectorkit.testing.report import run

done = []

def interrupt(phase, info):
    if done == ["first"]:
        done.append("interrupted")
        os.kill(os.getpid(), signal.SIGINT)

def note(result, total):
    done.append("first" if not done else result.test)
    gc.collect()

gc.callbacks.append(interrupt)
try:
    run("memory:", on_result=note)
except KeyboardInterrupt:
    print(done.index("interrupted"), len(done))
"""


def test_an_interrupt_while_garbage_is_collected_is_not_lost(tmp_path: Path) -> None:
    """Hypothesis watches the collector from Python, and what is raised there goes nowhere."""
    done = subprocess.run([sys.executable, "-c", LOSES_AN_INTERRUPT], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "1 2", done.stderr


def test_a_url_that_cannot_be_opened_exits_with_2_and_shows_no_password(tmp_path: Path) -> None:
    for url, said in (
        ("acme://host", "no backend for 'acme:'"),
        ("postgresql://me:secret@127.0.0.1:1/db", "127.0.0.1"),
    ):
        done = run("conformance", url, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "secret" not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_longer_run_is_one_option(tmp_path: Path, faulty: Path) -> None:
    done = run("conformance", "counting:", "--examples", "33", folder=tmp_path, path=faulty)
    assert done.returncode == 0
    assert len((tmp_path / "workloads.txt").read_text().splitlines()) == 33
    assert run("conformance", "counting:", "--examples", "0", folder=tmp_path, path=faulty).returncode == 2


def test_the_command_says_which_package_it_lacks() -> None:
    check = (
        "import sys\n"
        "sys.modules['typer'] = None\n"
        "from vectorkit.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as error:\n"
        "    assert \"needs typer, which is not installed: pip install 'vectorkit-db[cli]'\" in error.code\n"
        "else:\n"
        "    raise AssertionError('ran')\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
