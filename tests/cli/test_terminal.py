"""What others wrote cannot steer the terminal: escapes, C1 controls, bidirectional marks, line separators."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import vectorkit as vk
from vectorkit.transfer.compare.page import page
from vectorkit.transfer.compare.queries import Query
from vectorkit.transfer.compare.run import compare
from vectorkit.types import EmbedderIdentity
from vectorkit.visible import visible

Run = Callable[..., Result]

STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x7f\u202egnp\u2066\u2028\u200f\U000e0041"


class _Named:
    """An embedder whose stored identity steers a terminal."""

    identity = EmbedderIdentity(f"kind{STEERING}", f"model{STEERING}", 2)

    def embed_documents(self, texts: list[str]) -> Any:
        return np.ones((len(texts), 2))

    def embed_query(self, text: str) -> Any:
        return np.ones(2)


@pytest.fixture
def steering(tmp_path: Path) -> str:
    """The URL of a store that holds such text wherever it can."""
    url = f"chroma:{tmp_path / 'store'}"
    with vk.connect(url) as store:
        docs = store.create_collection("docs", embedder=_Named())  # type: ignore[arg-type]  # pyright: ignore
        docs.add(
            ids=[f"id{STEERING}{at}" for at in range(2)],
            documents=[f"[bold]text{STEERING}"] * 2,
            embeddings=[[1.0, 0.0]] * 2,
            metadatas=[{f"key{STEERING}": f"value{STEERING}"}, {}],
        )
        store.create_collection("more", dimension=2).add(ids=[f"id{STEERING}"], embeddings=[[0.0, 1.0]])
    return url


def harmless(done: Result) -> bool:
    """Whether nothing steers; the runner's stream is no terminal, so that rich sends no escapes of its own."""
    return visible(done.output) == done.output


def test_what_a_store_holds_is_shown_harmlessly(steering: str, run: Run, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"vector": [1, 0]}\n')
    commands = [
        ("info", steering),
        ("lint", steering),
        ("search", steering, "docs", "x", "--embedder", "hash"),
        ("search", steering, "docs", "x", "--where", f'{{"a{STEERING}": {{"$foo": "{STEERING}"}}}}'),
        ("copy", steering, f"file:{tmp_path / 'all.jsonl'}", "-c", f"no{STEERING}"),
        ("verify", steering, steering),
        ("compare", steering, steering, "docs", "--queries", str(queries)),
        ("info", f"chroma:{tmp_path}/no{STEERING}"),
    ]
    shown = [run(*command) for command in commands]
    assert [at for at, done in enumerate(shown) if not harmless(done)] == []
    assert "model\N{REPLACEMENT CHARACTER}[2J" in shown[0].output


def test_names_of_files_are_shown_harmlessly(steering: str, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f"a{STEERING.replace('/', '')}.jsonl").write_text("{")
    done = run("ingest", f"chroma:{tmp_path / 'new'}", "docs", str(folder), "--embedder", "hash")
    assert done.exit_code != 0
    assert harmless(done)
    (folder / os.fsdecode(b"b\xff.jsonl")).write_text("{")
    assert harmless(run("ingest", f"chroma:{tmp_path / 'new'}", "docs", str(folder), "--embedder", "hash"))


def test_the_page_shows_text_harmlessly(steering: str) -> None:
    with vk.connect(steering) as store:
        shown = page(compare(store, store, [Query(vector=np.ones(2))], collection="docs"))
    assert visible(shown) == shown
    assert "text\N{REPLACEMENT CHARACTER}[2J" in shown
