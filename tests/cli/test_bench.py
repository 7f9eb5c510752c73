"""`vectorkit bench`, and what it is made of."""

import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import vectorkit as vk
from vectorkit import benchmarking
from vectorkit.errors import InvalidArgumentError
from vectorkit.types import FloatArray

Run = Callable[..., Result]


def test_postgres_is_measured_with_every_index_over_its_setting(
    database_url: str, tmp_path: Path, run_json: Callable[..., Any]
) -> None:
    output = tmp_path / "new" / "folder"
    size = ("--count", "2500", "--dimension", "32", "--queries", "40", "--clustered")
    found = run_json("bench", database_url, *size, "--output", str(output))
    assert (found["count"], found["dimension"], found["data"], found["queries"]) == (2500, 32, "clustered", 40)
    assert [build["index"] for build in found["builds"]] == ["ivfflat", "hnsw"]
    assert all(build["bytes"] > 2500 * 32 * 4 and build["seconds"] > 0 for build in found["builds"])
    points = {(point["index"], point["value"]): point for point in found["points"]}
    assert [key for key in points if key[0] != "hnsw"] == [
        ("none", None),
        *(("ivfflat", probes) for probes in (1, 2, 5, 10, 20, 50)),
    ]
    assert [key[1] for key in points if key[0] == "hnsw"] == [10, 20, 40, 80, 160, 320, 640]
    assert points["none", None]["recall"] == points["ivfflat", 50]["recall"] == points["hnsw", 640]["recall"] == 1.0
    assert 0.2 < points["ivfflat", 1]["recall"] < points["ivfflat", 5]["recall"] <= 1.0
    assert all(0 < point["p50"] <= point["p95"] for point in found["points"])
    assert found["left_out"] == []
    assert json.loads((output / "bench.json").read_text()) == found
    image = (output / "bench.png").read_bytes()
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (1600, 1000)
    with vk.connect(database_url) as store:
        assert store.list_collections() == []


def test_what_a_store_cannot_do_is_left_out_and_that_is_said(database_url: str, run: Run) -> None:
    size = ("--count", "300", "--dimension", "16", "--queries", "5")
    done = run("bench", "chroma:", *size)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "hnsw (the store's own settings): built while writing" in lines
    assert "index setting p50 ms p95 ms recall@10" in lines
    assert [line.split()[0] for line in lines if line.endswith("1.0000")] == ["none", "hnsw"]
    assert sum(line.startswith("left out: chroma") for line in lines) == 2
    assert "left out: memory has no index: every search compares all records" in run("bench", "memory:", *size).stdout
    assert "left out: up to 2,000 records no index is built here" in run("bench", database_url, *size).stdout


def test_the_same_seed_gives_the_same_vectors() -> None:
    """And so the same recall, wherever it is measured."""

    class Watching(vk.MemoryBackend):
        """Keeps what is written."""

        def __init__(self) -> None:
            super().__init__()
            self.written: list[FloatArray] = []

        def add(self, collection: vk.CollectionInfo, batches: Any) -> None:
            batches = list(batches)
            self.written += [batch.embeddings for batch in batches]
            super().add(collection, batches)

    def written(seed: int, clustered: bool) -> FloatArray:
        backend = Watching()
        benchmarking.run(vk.VectorStore(backend), count=2100, dimension=8, queries=1, seed=seed, clustered=clustered)
        made: FloatArray = np.concatenate(backend.written)
        return made

    for clustered in (False, True):
        first = written(1, clustered)
        assert first.shape == (2100, 8)
        assert np.array_equal(first, written(1, clustered))
        assert not np.array_equal(first, written(2, clustered))
        assert len(np.unique(first, axis=0)) == 2100


def test_numbers_out_of_range_are_mistakes(run: Run) -> None:
    with vk.connect("memory:") as store:
        for wrong in ({"count": 0}, {"dimension": 0}, {"queries": 0}, {"seed": -1}, {"clustered": 1}):
            with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
                benchmarking.run(store, **wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert store.list_collections() == []
    assert run("bench", "memory:", "--count", "0").exit_code == 2


def test_a_folder_that_cannot_be_written_to_is_a_mistake(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "file" / "below")
    done = run("bench", "memory:", "--count", "10", "--dimension", "4", "--queries", "1", "--output", output)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cannot be written to" in done.stderr


def test_ctrl_c_leaves_nothing_behind(database_url: str) -> None:
    """Exit code 130, as in a shell, and the collection is dropped; in the middle of building an index, too."""
    size = ("--count", "20000", "--dimension", "256", "--queries", "1")
    for moment in ("written", "building"):
        running = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "vectorkit", "bench", database_url, *size],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores the key
        )
        with vk.connect(database_url) as store:
            deadline = time.monotonic() + 120
            while not reached(store, moment):
                assert time.monotonic() < deadline
                assert running.poll() is None, running.communicate()
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
            assert (running.returncode, out, err.strip()) == (130, "", "interrupted")
            assert store.list_collections() == []


def reached(store: vk.VectorStore, moment: str) -> bool:
    for info in store.list_collections():
        collection = store.get_collection(info.name)
        if moment == "written" and collection.count() > 0:
            return True
        if moment == "building" and collection.storage().index_state == "building":
            return True
    return False


def test_the_example_measures_any_store(tmp_path: Path) -> None:
    """The size of it is for an index; a store that has none is the quickest to fill."""
    example = Path(__file__).parents[2] / "examples" / "index_benchmark.py"
    command = [sys.executable, "-W", "error", str(example), "memory:"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("memory: 10,000 vectors of 1,536 dimensions, 100 queries\n")
    assert "left out: memory has no index" in done.stdout
    figures = json.loads((tmp_path / ".vectorkit-bench" / "index_benchmark.json").read_text())
    assert [(point["index"], point["recall"]) for point in figures["points"]] == [("none", 1.0)]
    assert (tmp_path / ".vectorkit-bench" / "index_benchmark.png").read_bytes().startswith(b"\x89PNG")
