"""`vectorkit repair`, and what `info` and `lint` say of a store's files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from typer.testing import Result

import vectorkit as vk

Run = Callable[..., Result]


@pytest.fixture
def torn(tmp_path: Path) -> str:
    """A store of ours, and in its folder a collection of others whose graph is torn."""
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    client: Any = chromadb.PersistentClient(str(tmp_path / "kb"))
    configuration: Any = {"hnsw": {"sync_threshold": 200}}
    theirs = client.create_collection("theirs", configuration=configuration, embedding_function=None)
    theirs.add(ids=[str(n) for n in range(300)], embeddings=list(vectors))
    client._system.stop()
    client.clear_system_cache()
    (links,) = (tmp_path / "kb").glob("*/link_lists.bin")
    links.write_bytes(links.read_bytes()[:-2])
    url = f"chroma:{tmp_path / 'kb'}"
    with vk.connect(url) as store:
        store.create_collection("docs", dimension=8).add(ids=[str(n) for n in range(300)], embeddings=vectors)
    return url


def test_info_shows_torn_graphs_and_repair_mends_them(torn: str, run: Run) -> None:
    shown = " ".join(run("info", torn).stdout.split())
    assert "theirs, made by others: graph torn" in shown
    assert "docs: graph whole" in shown
    assert "300 rows in the log" in shown
    done = run("repair", torn)
    assert done.exit_code == 0, done.output
    assert "makes it anew from its log" in " ".join(done.stdout.split())
    assert "graph torn" not in run("info", torn).stdout


def test_programs_read_the_condition(torn: str, run: Run, run_json: Callable[..., Any]) -> None:
    found = run_json("info", torn)["condition"]
    assert (found["whole"], [each["state"] for each in found["collections"]]) == (False, ["whole", "torn"])
    assert run_json("repair", torn)["whole"] is True


def test_lint_mentions_a_folder_at_risk(tmp_path: Path, run: Run) -> None:
    client: Any = chromadb.PersistentClient(str(tmp_path))
    configuration: Any = {"hnsw": {"sync_threshold": 200}}
    docs = client.create_collection("theirs", configuration=configuration, embedding_function=None)
    docs.add(ids=[str(n) for n in range(300)], embeddings=list(np.eye(8, dtype=np.float32)[[0] * 300]))
    client._system.stop()
    client.clear_system_cache()
    assert "a process killed at that moment breaks it" in " ".join(run("lint", f"chroma:{tmp_path}").stdout.split())
