"""The example of a third-party backend, as its users get it: built, installed in a fresh environment, found, tested."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vectorkit.testing import BackendConformance

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "sqlite_backend"

TESTED = """
import json, sys
import pytest

code = pytest.main(["-q", "-p", "no:cacheprovider", "--junitxml=report.xml"])
files = [str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
json.dump({"code": int(code), "files": files}, open("run.json", "w"))
"""


class Installed:
    """A fresh environment with both wheels in it, and nothing that a backend on SQLite has no use for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wheels = folder / "wheels"
        for project in (ROOT, EXAMPLE):
            build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(project)]
            self.run(build)
        (core,) = wheels.glob("vectorkit_db-*.whl")
        (example,) = wheels.glob("vectorkit_sqlite-*.whl")
        venv.create(folder / "venv", symlinks=os.name != "nt")
        self.python = str(folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        # Bytecode is made of what is imported alone: compiling all of NumPy would take longer than the tests.
        install = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:"]
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        packages = [f"{core}[testing]", f"{example}[test]"]
        self.run([sys.executable, "-m", "pip", "--python", self.python, *install, *constraints, *packages])

    def run(self, command: Sequence[str], folder: Path | None = None) -> str:
        """Run a command outside of the repository, away from its modules, and return what it said."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("example"))


def test_the_installed_package_is_found_by_its_url(installed: Installed) -> None:
    code = (
        "import vectorkit as vk\n"
        "with vk.connect('sqlite:store.db') as store:\n"
        "    docs = store.create_collection('docs', dimension=2)\n"
        "    docs.add(ids=['a', 'b'], embeddings=[[1, 0], [0, 1]])\n"
        "    print(store.backend.name.split()[0], docs.search([0, 2], k=1)[0].id)\n"
    )
    assert installed.run([installed.python, "-c", code]) == "sqlite b\n"


def test_nothing_is_installed_that_it_does_not_need(installed: Installed) -> None:
    code = "from importlib.metadata import distributions; print(*(found.name for found in distributions()))"
    found = {name.lower() for name in installed.run([installed.python, "-c", code]).split()}
    assert {"vectorkit-db", "vectorkit-sqlite", "numpy", "pytest", "hypothesis"} <= found
    assert found.isdisjoint({"chromadb", "psycopg", "pgvector", "torch", "sentence-transformers"})


def test_its_tests_pass_there_the_whole_suite_among_them(installed: Installed) -> None:
    """None fails, none is skipped or expected to fail, and no module is one of the source tree's."""
    copy = installed.folder / "copy"
    shutil.copytree(EXAMPLE / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "pyproject.toml", copy)
    said = installed.run([installed.python, "-I", "-c", TESTED], copy)
    report = json.loads((copy / "run.json").read_text())
    assert report["code"] == 0, said
    assert [file for file in report["files"] if Path(file).is_relative_to(ROOT)] == []
    assert any(file.endswith("vectorkit_sqlite/_backend.py".replace("/", os.sep)) for file in report["files"])
    suite = ElementTree.parse(copy / "report.xml").getroot()[0]
    assert [suite.attrib[name] for name in ("failures", "errors", "skipped")] == ["0", "0", "0"], said
    ran = {case.attrib["name"].partition("[")[0] for case in suite.iter("testcase")}
    assert {name for name in dir(BackendConformance) if name.startswith("test_")} <= ran
