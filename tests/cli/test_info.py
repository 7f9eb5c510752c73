"""`vectorkit info`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import Result

import vectorkit as vk
from vectorkit.embedders import HashEmbedder

Run = Callable[..., Result]


def fill(url: str, count: int) -> None:
    with vk.connect(url) as store:
        docs = store.create_collection("docs", embedder=HashEmbedder(16), text_index=True, language="german")
        docs.add(ids=["1"], documents=["Brot braucht Hefe"])
        vectors = np.random.default_rng(0).standard_normal((count, 8))
        store.create_collection("vectors", dimension=8, metric="l2").add(
            ids=[f"{number}" for number in range(count)], embeddings=vectors
        )


def test_every_collection_is_described(url: str, run_json: Callable[..., Any]) -> None:
    fill(url, 3)
    docs, vectors = run_json("info", url)["collections"]
    assert (docs["name"], docs["records"], docs["metric"], docs["dimension"]) == ("docs", 1, "cosine", 16)
    assert docs["embedder"]["kind"] == "hash"
    assert (docs["text_index"], docs["language"]) == (True, "german")
    assert (vectors["name"], vectors["records"], vectors["metric"], vectors["dimension"]) == ("vectors", 3, "l2", 8)
    assert (vectors["embedder"], vectors["text_index"], vectors["foreign"]) == (None, False, False)


def test_people_read_a_block_a_collection(url: str, run: Run) -> None:
    fill(url, 3)
    done = run("info", url)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "2 collection(s), 4 record(s)" in lines
    for line in ("vectors 8 dimensions, l2", "embedder none stored", "embedder words-and-trigrams-1 (hash)"):
        assert line in lines
    assert "text index german" in lines


def test_postgres_says_how_large_a_collection_is_and_how_far_its_index(
    database_url: str, run: Run, run_json: Callable[..., Any]
) -> None:
    fill(database_url, 2100)
    with vk.connect(database_url) as store:
        store.create_collection("plain", dimension=4, index="none")
    docs, plain, vectors = run_json("info", database_url)["collections"]
    assert [each["index_state"] for each in (docs, plain, vectors)] == ["waiting", "none", "ready"]
    assert docs["bytes"]["text_index"] > 0
    assert docs["bytes"]["vector_index"] == plain["bytes"]["vector_index"] == 0
    assert vectors["bytes"]["records"] > 2100 * 8 * 4
    assert vectors["bytes"]["vector_index"] > 2100 * 8 * 4
    shown = run("info", database_url).stdout
    assert "hnsw, ready" in shown
    assert "hnsw, built when there are more records" in shown
    assert "vector index " in shown


def test_what_a_store_cannot_tell_is_left_out_and_that_is_said(tmp_path: Path, run: Run) -> None:
    url = f"chroma:{tmp_path}"
    fill(url, 3)
    assert "Not known to this store: how many bytes a collection takes" in run("info", url).stdout


def test_an_empty_store_is_no_mistake_but_a_path_without_one_is(tmp_path: Path, run: Run) -> None:
    """And nothing is made of a path that was mistyped."""
    done = run("info", "memory:")
    assert (done.exit_code, "0 collection(s)" in done.stdout) == (0, True)
    for scheme in ("chroma", "postgresql+embedded"):
        done = run("info", f"{scheme}:{tmp_path / 'nowhere'}")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "there is no store at" in done.stderr
    assert list(tmp_path.iterdir()) == []
