"""Chroma to Postgres to a file and back to Chroma: copied, verified at each step, and equal in every record."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from typer.testing import CliRunner

import vectorkit as vk
from vectorkit.cli import app
from vectorkit.embedders import HashEmbedder

COUNT = 2100
EMBEDDER = HashEmbedder(24)
VALUES: list[Any] = [1, 1.0, True, None, "", 2**63 - 1, 1e16, 0.1, 5e-324, [], [1, 1.0, None, [{}]], {"k": {"": [1]}}]


def fill(store: vk.VectorStore) -> None:
    docs = store.create_collection("docs", embedder=EMBEDDER, text_index=True)
    rows = range(COUNT)
    docs.add(
        ids=[f"{n % 7} é {n}" for n in rows],
        documents=[f"text {n} of words {n % 50}" if n % 9 else "" for n in rows],
        metadatas=[{"value": VALUES[n % len(VALUES)], "n": n, "share": n / 7, "topic": f"t{n % 5}"} for n in rows],
    )
    docs.update(ids=["0 é 0", "1 é 1"], documents=[None, None])


def contents(url: str) -> list[tuple[str, str | None, str]]:
    with vk.connect(url) as store:
        found = store.get_collection("docs").scan()
        return [(each.id, each.document, json.dumps(each.metadata, sort_keys=True)) for each in found]


def run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_round_trip_by_way_of_every_kind_of_place_keeps_every_record(
    tmp_path: Path, make_postgres: Callable[[], str], kind: str
) -> None:
    """2.1 to 2.5, 6.10 By the command; stores are searched on both sides, too."""
    urls = [f"chroma:{tmp_path / 'one'}", make_postgres(), f"file:{tmp_path}/all.{kind}", f"chroma:{tmp_path / 'two'}"]
    with vk.connect(urls[0]) as store:
        fill(store)
    for source, target in pairwise(urls):
        report = run("copy", source, target, "--verify")
        assert report["collections"][0]["written"] == COUNT
        (check,) = report["verification"]["collections"]
        assert (check["agrees"], check["compared"], check["differences"]) == (True, COUNT, {})
        assert (check["searches"] is None) == ("file:" in source + target)
    assert contents(urls[0]) == contents(urls[1]) == contents(urls[3])
    (check,) = run("verify", urls[0], urls[3], "--sample", "40")["collections"]
    assert check["vector_error"] <= 1e-6
    assert check["searches"]["overlap"] == check["searches"]["lowest_overlap"] == 1.0
    assert check["searches"]["score_difference"] <= 1e-6
    for url in urls:
        report = run("lint", url)
        assert (report["portable"], report["records"]) == (True, COUNT)
        assert {each["code"] for each in report["findings"]} == {"nested", "mixed-types"}
    with vk.connect(urls[0]) as one, vk.connect(urls[3]) as two:
        ours, theirs = (store.get_collection("docs", embedder=EMBEDDER) for store in (one, two))
        assert ours.info().spec == theirs.info().spec
        for mode in ("text", "hybrid"):
            found = [docs.search("words 7 of text 77", mode=mode, exact=True) for docs in (ours, theirs)]
            assert [hit.id for hit in found[0]] == [hit.id for hit in found[1]]


def test_what_others_made_is_verified_record_by_record_and_not_searched(
    tmp_path: Path, make_postgres: Callable[[], str]
) -> None:
    client: Any = chromadb.PersistentClient(str(tmp_path / "theirs"))
    raw = client.create_collection("my.docs", embedding_function=None)
    vectors = np.random.default_rng(5).normal(size=(60, 7)).astype(np.float32)
    raw.add(
        ids=[f"{n}" for n in range(60)],
        embeddings=vectors,
        documents=[f"text {n}" for n in range(60)],
        metadatas=[{"n": n} for n in range(60)],
    )
    client.close()
    source, postgres, file = f"chroma:{tmp_path / 'theirs'}", make_postgres(), f"file:{tmp_path / 'docs'}.jsonl"
    for target in (postgres, file):
        report = run("copy", source, target, "--verify")
        (check,) = report["verification"]["collections"]
        assert (check["name"], check["target_name"], check["compared"]) == ("my.docs", "my-docs", 60)
        assert check["searches"] is None
        assert any(remark.startswith("not searched: ") for remark in check["remarks"])
    (check,) = run("verify", postgres, file)["collections"]
    assert check["compared"] == 60
    (check,) = vk.verify(source, postgres).collections
    assert f"not searched: 'my.docs' of {source} was made by another program" in check.remarks
    with vk.connect(postgres) as store:
        store.get_collection("my-docs").update(ids=["7"], metadatas=[{"n": 7.0}])
    result = CliRunner().invoke(app, ["verify", source, postgres])
    assert result.exit_code == 1
    assert "'7': metadata['n'] is 7 (int) in the source, 7.0 (float) in the target" in result.stdout
