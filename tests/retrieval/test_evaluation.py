"""Measuring search on data with judgements: the figures, the data, and `vectorkit evaluate`."""

import json
import lzma
import os
import subprocess
import sys
from collections.abc import Sequence
from math import log2
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.evaluation import Dataset, Outcome, evaluate, quality, read_dataset
from vectorkit.types import FloatArray

CRANFIELD = Path(__file__).parents[1] / "data" / "cranfield"

CORPUS = [
    {"_id": "sky", "text": "Stars shine at night."},
    {"_id": "dough", "title": "Bread", "text": "Yeast makes dough rise."},
    {"_id": "tree", "title": "B-tree", "text": "B-tree E4021 speeds up lookups."},
    {"_id": "none", "title": "", "text": ""},
]
QUERIES = [{"_id": "1", "text": "how is bread baked?"}, {"_id": "2", "text": "E4021"}, {"_id": "3", "text": "unjudged"}]
QRELS = ["query-id\tcorpus-id\tscore", "1\tdough\t2", "1\tsky\t0", "2\ttree\t1"]


def write(folder: Path, corpus: Any = CORPUS, queries: Any = QUERIES, qrels: Sequence[str] = QRELS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(qrels) + "\n", encoding="utf-8")
    return folder


def some_of_cranfield(folder: Path, queries: int = 12) -> Path:
    """The first queries, the documents judged for them, and every tenth of the others."""
    qrels = (CRANFIELD / "qrels.tsv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in qrels[1:] if int(line.split("\t")[0]) <= queries]
    judged = {line.split("\t")[1] for line in kept}
    with lzma.open(CRANFIELD / "corpus.jsonl.xz", "rt", encoding="utf-8") as packed:
        corpus = [line.rstrip() for at, line in enumerate(packed) if json.loads(line)["_id"] in judged or at % 10 == 0]
    texts = (CRANFIELD / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return write(folder, corpus, texts, [qrels[0], *kept])


def test_the_figures_are_those_worked_out_by_hand() -> None:
    grades = {"a": 3, "c": 1, "d": 2, "e": 0}
    best = 7 + 3 / log2(3) + 1 / 2
    assert quality(["a", "b", "c"], grades) == pytest.approx(((7 + 1 / 2) / best, 2 / 3, 1))
    assert quality(["e", "x", "d"], grades) == pytest.approx((3 / 2 / best, 1 / 3, 1 / 3))
    assert quality(["a", "d", "c", "e"], grades) == pytest.approx((1, 1, 1))
    assert quality([], grades) == quality(["e", "x"], grades) == (0, 0, 0)


def test_ten_hits_count() -> None:
    """Also in the best ranking there could be, of more than ten answers."""
    grades = {str(at): 1 for at in range(20)}
    assert quality(list(grades), grades) == pytest.approx((1, 10 / 20, 1))
    assert quality([*"abcdefghij", "5"], grades) == (0, 0, 0)
    assert quality([*"abcdefghi", "5"], grades) == pytest.approx(
        (1 / log2(11) / sum(1 / log2(rank + 1) for rank in range(1, 11)), 1 / 20, 1 / 10)
    )


def test_data_are_read_as_beir_has_them(tmp_path: Path) -> None:
    """Title and text, unless it begins with the title; queries that nothing answers are left out."""
    expected = Dataset(
        documents={
            "sky": "Stars shine at night.",
            "dough": "Bread Yeast makes dough rise.",
            "tree": "B-tree E4021 speeds up lookups.",
            "none": "",
        },
        queries={"1": "how is bread baked?", "2": "E4021"},
        judgements={"1": {"dough": 2, "sky": 0}, "2": {"tree": 1}},
    )
    folder = write(tmp_path, [*CORPUS, "", ""])
    assert read_dataset(folder) == read_dataset(str(folder)) == expected
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert read_dataset(folder) == expected


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"corpus": [*CORPUS, "{"]}, "corpus.jsonl, line 5: no JSON"),
        ({"corpus": [*CORPUS, "", ["a"]]}, "corpus.jsonl, line 6: expected an object with"),
        ({"corpus": [{"_id": "a"}]}, 'corpus.jsonl, line 1: expected an object with "_id" and "text"'),
        ({"corpus": [{"_id": "a", "text": None}]}, 'corpus.jsonl, line 1: "title" and "text" are strings'),
        ({"corpus": [{"_id": "a", "text": "", "title": 1}]}, 'line 1: "title" and "text" are strings'),
        ({"corpus": [{"_id": 1, "text": ""}]}, "corpus.jsonl, line 1: an id is a str"),
        ({"corpus": [{"_id": "", "text": ""}]}, "corpus.jsonl, line 1: an id has 1 to 512"),
        ({"corpus": [{"_id": "a", "text": "\0"}]}, "corpus.jsonl, line 1: the text holds NUL"),
        ({"corpus": [CORPUS[0], CORPUS[0]]}, "corpus.jsonl, line 2: the id 'sky' stands in an earlier line"),
        ({"queries": [*QUERIES, "[]"]}, "queries.jsonl, line 4: expected an object"),
        ({"qrels": QRELS[1:]}, "qrels.tsv, line 1: expected the header"),
        ({"qrels": [*QRELS, "1 0 dough 1"]}, "qrels.tsv, line 5: expected the ids"),
        ({"qrels": [*QRELS, "1\tdough\t-1"]}, "qrels.tsv, line 5: expected the ids"),
        ({"qrels": [*QRELS, "1\tdough\t0.5"]}, "qrels.tsv, line 5: expected the ids"),
        ({"qrels": [*QRELS, "9\tdough\t1"]}, "qrels.tsv, line 5: '9' is judged, but not in queries.jsonl"),
        ({"qrels": [*QRELS, "1\tmoon\t1"]}, "qrels.tsv, line 5: 'moon' is judged, but not in corpus.jsonl"),
        ({"qrels": [*QRELS, "1\tdough\t1"]}, "qrels.tsv, line 5: 'dough' is judged for query '1' before"),
        ({"qrels": [QRELS[0], "1\tdough\t0"]}, "qrels.tsv has no judgement above 0"),
    ],
)
def test_malformed_data_are_refused_with_the_file_and_the_line(tmp_path: Path, bad: Any, said: str) -> None:
    """8.3"""
    with pytest.raises(vk.InvalidArgumentError) as caught:
        read_dataset(write(tmp_path, **bad))
    assert said in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """8.2"""
    with pytest.raises(vk.InvalidArgumentError, match=r"corpus\.jsonl cannot be read"):
        read_dataset(tmp_path)
    folder = write(tmp_path)
    (folder / "queries.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(vk.InvalidArgumentError, match=r"queries\.jsonl is no UTF-8"):
        read_dataset(folder)
    write(tmp_path)
    (folder / "qrels.tsv").unlink()
    with pytest.raises(vk.InvalidArgumentError, match=r"no file of judgements .*qrels\.tsv"):
        read_dataset(folder)


@pytest.mark.parametrize("url", ["memory:", "chroma:"])
def test_every_way_to_search_is_measured(tmp_path: Path, url: str) -> None:
    """7.5 What `search` finds one by one gives the same means, on every backend."""
    dataset, embedder = read_dataset(some_of_cranfield(tmp_path)), HashEmbedder()
    with vk.connect("memory:") as reference:
        docs = reference.create_collection("docs", embedder=embedder, text_index=True)
        docs.add(ids=list(dataset.documents), documents=list(dataset.documents.values()))

        def means(**given: Any) -> Any:
            asked = (docs.search(text, **given) for text in dataset.queries.values())
            found = [[hit.id for hit in hits] for hits in asked]
            figures = [quality(ids, dataset.judgements[id]) for id, ids in zip(dataset.queries, found, strict=True)]
            return pytest.approx([fmean(column) for column in zip(*figures, strict=True)], abs=1e-9)

        expected = [
            ("vector", None, None, means(mode="vector")),
            ("text", None, None, means(mode="text")),
            ("hybrid", "weighted", 0.0, means(mode="hybrid", weight=0.0)),
            ("hybrid", "weighted", 0.6, means(mode="hybrid", weight=0.6)),
            ("hybrid", "rrf", None, means(mode="hybrid", fusion="rrf")),
        ]
    with vk.connect(url) as store:
        outcomes = evaluate(store, dataset, embedder, weights=[0.6, 0, 0.6])
    assert [(each.mode, each.fusion, each.weight, list(each.quality)) for each in outcomes] == expected
    assert len({each.quality for each in outcomes}) > 3


def test_the_language_is_that_of_the_analysis() -> None:
    """7.1 Without stems, the plural finds nothing."""
    dataset = Dataset({"a": "one house", "b": "two cats"}, {"q": "houses"}, {"q": {"a": 1}})

    def by_text(language: str) -> Outcome:
        with vk.connect("memory:") as store:
            return evaluate(store, dataset, HashEmbedder(), weights=[], language=language)[1]

    assert by_text("english").quality == (1, 1, 1)
    assert by_text("none").quality == (0, 0, 0)


def test_the_store_is_as_it_was_whatever_happens() -> None:
    dataset = Dataset({"a": "one"}, {"q": "one"}, {"q": {"a": 1}})

    class Broken(HashEmbedder):
        def embed_query(self, text: str) -> FloatArray:
            raise RuntimeError("out of memory")

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with vk.connect("memory:") as store:
        store.create_collection("evaluation", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
        evaluate(store, dataset, HashEmbedder())
        with pytest.raises(vk.EmbeddingError, match="out of memory"):
            evaluate(store, dataset, Broken())
        with pytest.raises(KeyboardInterrupt):
            evaluate(store, dataset, HashEmbedder(), on_search=stop)
        for bad in ({"weights": [2]}, {"weights": ["1"]}, {"language": "klingon"}):
            arguments: Any = bad
            with pytest.raises(vk.InvalidArgumentError):
                evaluate(store, dataset, HashEmbedder(), **arguments)
        assert [info.name for info in store.list_collections()] == ["evaluation"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "vectorkit", "evaluate", *arguments]
    return subprocess.run(command, env={**os.environ, "COLUMNS": "120"}, capture_output=True, text=True)


def test_the_command_prints_a_line_a_way_to_search(tmp_path: Path) -> None:
    done = run("memory:", str(write(tmp_path)), "--weight", "0.25")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:2] == ["memory", "4 documents, 2 queries with an answer"]
    assert lines[3] == "search nDCG@10 recall@10 MRR@10"
    assert lines[4].startswith("vector 1.0000 1.0000 1.0000")
    assert [line.rsplit(" ", 3)[0] for line in lines[4:]] == ["vector", "text", "hybrid weight=0.25", "hybrid rrf"]


def test_the_command_prints_json_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    url = f"chroma:{tmp_path / 'store'}"
    done = run(url, str(write(tmp_path / "data")), "--json", "--language", "none")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["documents"], report["queries"]) == (4, 2)
    assert report["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert [each["weight"] for each in report["results"]] == [None, None, 0.1, 0.3, 0.5, 0.7, 0.9, None]
    assert report["results"][0] == {
        "mode": "vector",
        "fusion": None,
        "weight": None,
        "quality": {"ndcg": 1.0, "recall": 1.0, "mrr": 1.0},
    }
    with vk.connect(url) as store:
        assert store.list_collections() == []


def test_the_command_says_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    """Exit code 2, no traceback."""
    folder = str(write(tmp_path / "data"))
    for arguments, said in (
        (["memory:", str(tmp_path)], "corpus.jsonl cannot be read"),
        (["memory:", str(tmp_path / "none")], "corpus.jsonl cannot be read"),
        (["acme:", folder], "no backend for 'acme:'"),
        (["memory:", folder, "--weight", "1.5"], "weight is a number from 0 to 1"),
        (["memory:", folder, "--model", "./none"], "there is no folder"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
