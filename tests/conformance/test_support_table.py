"""The README's support table is that of a run of this suite on these backends."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vectorkit import CollectionSpec, VectorBackend
from vectorkit.registry import open_backend

ROOT = Path(__file__).parents[2]
FIGURES: dict[str, Any] = json.loads((ROOT / "docs" / "support.json").read_text(encoding="utf-8"))
STALE = "run `make support`"


def test_the_readme_holds_the_table_of_the_figures() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "support_table.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_figures_are_of_the_tests_there_are() -> None:
    suite = str(ROOT / "tests" / "conformance" / "test_memory.py")
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", suite]
    done = subprocess.run(collect, cwd=ROOT, check=True, capture_output=True, text=True)
    names = [line.rpartition("::")[2] for line in done.stdout.splitlines() if "::test_" in line]
    assert sorted(names) == FIGURES["tests"], STALE


def test_every_backend_passes_every_test_without_deviations() -> None:
    for label, found in FIGURES["backends"].items():
        assert (found["failed"], found["deviations"]) == ([], {}), label
        assert found["passed"] == len(FIGURES["tests"]), label


@pytest.mark.parametrize("label", list(FIGURES["backends"]))
def test_the_figures_are_of_the_backends_there_are(
    label: str, tmp_path: Path, chroma_http_url: str, postgres_url: str
) -> None:
    urls = {
        "memory:": "memory:",
        "chroma:": "chroma:",
        "chroma:PATH": f"chroma:{tmp_path}",
        "chroma+http:": f"chroma+{chroma_http_url}",
        "postgresql:": postgres_url,
    }
    backend: VectorBackend = open_backend(urls[label])
    try:
        backend.create_collection(CollectionSpec("versions", "cosine", 2))  # a server's version is known from then on
        backend.drop_collection("versions")
        # Through JSON and back, as the figures went: a tuple comes back as a list.
        capabilities = json.loads(json.dumps(dataclasses.asdict(backend.capabilities)))
        assert FIGURES["backends"][label]["capabilities"] == capabilities, STALE
        assert FIGURES["backends"][label]["backend"] == backend.name, STALE
    finally:
        backend.close()
