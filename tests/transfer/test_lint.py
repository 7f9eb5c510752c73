"""`lint`: what will not survive a move, or not mean the same elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from typer.testing import CliRunner

import vectorkit as vk
from vectorkit.cli import app

SPEC = vk.CollectionSpec("docs", "cosine", 3, embedder=vk.EmbedderIdentity("test", "model", 3))
GOOD = [vk.Record(f"good {n}", f"text {n}", [1.0, n, 0], {"n": n, "tags": ["a"]}) for n in range(20)]


def holding(*bad: vk.Record, spec: vk.CollectionSpec = SPEC) -> vk.MemoryBackend:
    """A backend that, without the facade above it, holds what the contract forbids."""
    backend = vk.MemoryBackend()
    rows = [*(GOOD if spec.dimension == 3 else []), *bad]
    vectors = np.array([record.embedding for record in rows], dtype=np.float32).reshape(len(rows), spec.dimension)
    columns = [record.document for record in rows], vectors, [record.metadata for record in rows]
    backend.add(backend.create_collection(spec), [vk.Batch([record.id for record in rows], *columns)])
    return backend


def found(source: Any, **given: Any) -> dict[str, vk.Finding]:
    report = vk.lint(source, **given)
    assert len({finding.code for finding in report.findings}) == len(report.findings)
    return {finding.code: finding for finding in report.findings}


def bad(id: str = "bad", document: str | None = None, vector: Any = (1.0, 1, 1), **metadata: Any) -> vk.Record:
    return vk.Record(id, document, vector, metadata)


def having(metadata: dict[str, Any], id: str = "bad") -> vk.Record:
    return vk.Record(id, None, [1.0, 1, 1], metadata)


def test_what_the_facade_takes_survives() -> None:
    report = vk.lint(holding())
    assert report.portable
    assert (report.findings, report.records, report.collections) == ((), 20, ("docs",))


deep: Any = "x"
for _ in range(33):
    deep = [deep]

LOST: list[tuple[str, str, vk.Record]] = [
    ("nul", "2.6", bad(document="a\0b")),
    ("nul", "2.6", bad(id="bad\0")),
    ("nul", "2.6", having({"a\0": 1})),
    ("nul", "2.6", bad(deep={"x": ["y\0"]})),
    ("surrogate", "2.6", bad(document="a\ud800")),
    ("surrogate", "2.6", bad(deep=[{"\udfff": 1}])),
    ("integer", "2.5", bad(n=2**63)),
    ("integer", "2.5", bad(n=[{"x": -(2**63) - 1}])),
    ("nan", "2.5", bad(n=float("nan"))),
    ("nan", "2.5", bad(n=[float("-inf")])),
    ("key", "2.5", having({"": 1})),
    ("key", "2.5", having({"$and": 1})),
    ("key", "2.5", having({"chroma:document": "x"})),
    ("key", "2.5", having({"k" * 257: 1})),
    ("size", "2.5", having({f"k{n}": 1 for n in range(257)})),
    ("size", "2.5", bad(list=[0] * 1001)),
    ("size", "2.5", bad(deep=deep)),
    ("id", "2.1", bad(id="")),
    ("id", "2.1", bad(id="x" * 513)),
    ("zero-vector", "2.3", bad(vector=[0, 0, 0])),
    ("not-finite", "2.3", bad(vector=[1, np.nan, 0])),
    ("not-finite", "2.3", bad(vector=[1, np.inf, 0])),
    ("not-finite", "2.3", bad(vector=[1e16, 0, 0])),
    ("refused", "2", bad(when=object())),
]


@pytest.mark.parametrize(("code", "rule", "record"), LOST, ids=[f"{code} {n}" for n, (code, *_) in enumerate(LOST)])
def test_what_no_store_takes_is_found_and_named(code: str, rule: str, record: vk.Record) -> None:
    """2.1 to 2.6 And a copy refuses it, for that very reason."""
    source = holding(record)
    report = vk.lint(source)
    findings = [each for each in report.findings if each.severity != "note"]
    assert [(each.code, each.rule, each.severity) for each in findings] == [(code, rule, "lost")]
    assert (findings[0].collection, findings[0].count, findings[0].ids) == ("docs", 1, (record.id,))
    assert findings[0].advice
    assert not report.portable
    with pytest.raises(vk.InvalidArgumentError):
        vk.copy(source, vk.MemoryBackend())


def test_ids_are_counted_and_the_first_are_shown() -> None:
    finding = found(holding(*(bad(f"bad {n:02}", "x\0", vector=[0, 0, 0]) for n in range(12))))["nul"]
    assert (finding.count, finding.ids) == (12, tuple(f"bad {n:02}" for n in range(5)))


def test_zero_vectors_are_lost_under_cosine_and_noted_elsewhere() -> None:
    """2.3 Only an angle needs a direction."""
    for metric in ("l2", "ip"):
        report = vk.lint(holding(bad(vector=[0, 0, 0]), spec=replace(SPEC, metric=metric)))
        assert [(each.code, each.severity) for each in report.findings] == [("zero-vector-note", "note")]
        assert report.portable


def test_what_filters_do_not_see_is_worth_knowing() -> None:
    """5.4, 5.8 Nested values, and several types under a key; None is none, an int and a float are both numbers."""
    findings = found(
        holding(
            bad("bad 1", n="a string", tags="no list"),
            bad("bad 2", n=True, deep={"x": 1}),
            bad("bad 3", n=None, rows=[[1], [2]]),
            bad("bad 4", n=1.5),
        )
    )
    assert findings.keys() == {"nested", "mixed-types"}
    assert (findings["nested"].count, findings["nested"].ids) == (2, ("bad 2", "bad 3"))
    assert findings["nested"].message.endswith("(under 'deep'; 'rows')")
    mixed = findings["mixed-types"]
    assert mixed.message.endswith("'n' (1 bool, 1 float, 20 int, 1 str); 'tags' (20 list, 1 str)")
    assert mixed.ids == ("bad 1", "bad 2", "bad 4", "bad 1") or set(mixed.ids) == {"bad 1", "bad 2", "bad 4"}
    assert {finding.severity for finding in findings.values()} == {"note"}


def test_texts_that_are_stored_twice_are_found_and_empty_ones_are_none() -> None:
    rows = [bad(f"bad {n}", text) for n, text in enumerate(["", "", None, None, "text 3", "new", "new", "new"])]
    finding = found(holding(*rows))["duplicate-text"]
    assert (finding.count, finding.ids) == (3, ("bad 6", "bad 7", "good 3")) or finding.count == 3
    assert finding.ids == ("bad 6", "bad 7", "good 3")


@pytest.mark.parametrize(
    ("dimension", "metric", "says"),
    [
        (2000, "l2", None),
        (2001, "l2", "an index there holds 16-bit floats"),
        (4001, "cosine", "an index there holds one bit a dimension"),
        (4001, "l2", "there is no index for them, and every search compares all records"),
    ],
)
def test_dimensions_beyond_those_of_an_index_are_noted(dimension: int, metric: Any, says: str | None) -> None:
    """9.1 As pgvector's limits are."""
    spec = replace(SPEC, metric=metric, dimension=dimension, embedder=vk.EmbedderIdentity("test", "model", dimension))
    findings = found(holding(bad(vector=[1.0] * dimension), spec=spec))
    assert ("index-dimension" in findings) == (says is not None)
    if says is not None:
        assert findings["index-dimension"].message.endswith(says)
        assert findings["index-dimension"].severity == "note"


def test_settings_that_not_every_store_has_are_noted() -> None:
    """1.4, 9.1 An index of another kind; vectors of nobody knows which embedder."""
    findings = found(holding(spec=replace(SPEC, embedder=None, index=vk.IVFFlat())))
    assert findings.keys() == {"embedder", "index"}
    assert "IVFFlat" in findings["index"].message


def test_many_different_keys_do_not_fill_the_memory() -> None:
    rows = [having({f"key {n} {m}": m for m in range(100)}, f"bad {n:03}") for n in range(120)]
    findings = found(holding(*rows))
    assert findings.keys() == {"many-keys"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    client: Any = chromadb.PersistentClient(tmp_path / "theirs")
    yield client
    client.close()


def theirs(client: Any, name: str, space: str | None, vectors: Any, **columns: Any) -> None:
    configuration = {} if space is None else {"configuration": {"hnsw": {"space": space}}}
    collection = client.create_collection(name, embedding_function=None, **configuration)
    collection.add(ids=[f"{n}" for n in range(len(vectors))], embeddings=vectors, **columns)


def test_collections_that_others_made_in_chroma_are_read(client: Any, tmp_path: Path) -> None:
    """6.2, 2.3, 5.4 Squared l2, zero vectors under cosine, NUL, keys that Chroma takes, ints beside floats, names."""
    theirs(client, "plain", None, [[1.0, 2], [0, 0]], metadatas=[{"year": 1}, {"year": 2.5}])
    theirs(client, "angles", "cosine", [[1.0, 2], [0, 0]], documents=["a\0b", "c"])
    theirs(client, "their.products", "ip", [[1.0, 2]], metadatas=[{"_vk_x": 1}])
    client.create_collection("nothing", embedding_function=None)
    with vk.connect(f"chroma:{tmp_path / 'theirs'}") as store:
        store.create_collection("ours", dimension=2)
    report = vk.lint(f"chroma:{tmp_path / 'theirs'}")
    assert report.collections == ("angles", "nothing", "ours", "plain", "their.products")
    assert not report.portable
    by: dict[str, dict[str, vk.Finding]] = {}
    for finding in report.findings:
        by.setdefault(finding.collection, {})[finding.code] = finding
    assert by["plain"].keys() == {"distance", "embedder", "mixed-numbers", "zero-vector-note"}
    assert by["plain"]["distance"].message.endswith("squared l2 (here: l2, the root of that)")
    assert by["plain"]["mixed-numbers"].message.endswith("'year' (1 float, 1 int)")
    assert by["plain"]["mixed-numbers"].severity == "changed"
    assert by["angles"].keys() == {"embedder", "nul", "zero-vector"}
    assert (by["angles"]["nul"].ids, by["angles"]["zero-vector"].ids) == (("0",), ("1",))
    assert by["their.products"].keys() == {"distance", "embedder", "key", "name"}
    assert by["their.products"]["name"].message.startswith(
        "the name 'their.products' (a copy calls it 'their-products')"
    )
    assert by["nothing"].keys() == {"empty"}
    assert by["ours"].keys() == {"embedder"}
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["lost", "changed", "note"].index)


def test_records_without_an_embedding_and_of_another_length_are_found_in_a_file(tmp_path: Path) -> None:
    """2.3 Which only a file of others can hold; numbers that only JSON can."""
    path = tmp_path / "theirs.jsonl"
    records = [
        {"id": "a", "embedding": [1, 2]},
        {"id": "b", "document": "text"},
        {"id": "c", "embedding": [1, 2, 3]},
        {"id": "d", "embedding": [1e300, 0], "metadata": {"big": 10**30, "nan": float("nan")}},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    findings = found(f"file:{path}?metric=cosine")
    assert {code: finding.ids for code, finding in findings.items() if finding.severity == "lost"} == {
        "no-embedding": ("b",),
        "length": ("c",),
        "not-finite": ("d",),
        "integer": ("d",),
        "nan": ("d",),
    }


def test_an_unfinished_copy_is_found() -> None:
    class Gone(vk.MemoryBackend):
        def scan(self, *given: Any, **named: Any) -> Any:
            yield next(super().scan(*given, **named))
            raise vk.BackendUnavailableError("the server is gone")

    source, target = Gone(), vk.MemoryBackend()
    rows = vk.Batch(["a"], [None], np.ones((1, 3), dtype=np.float32), [{}])
    source.add(source.create_collection(SPEC), [rows])
    with pytest.raises(vk.BackendUnavailableError):
        vk.copy(source, target)
    finding = found(target)["unfinished"]
    assert finding.severity == "changed"
    assert "it is an unfinished copy of 'docs'" in finding.message


def test_there_must_be_something_to_look_at() -> None:
    with pytest.raises(vk.CollectionNotFoundError, match="nothing to look at"):
        vk.lint(vk.MemoryBackend())
    with pytest.raises(vk.CollectionNotFoundError):
        vk.lint(holding(), collections=["other"])
    seen: list[tuple[str, int, int]] = []

    def note(name: str, done: int, total: int) -> None:
        seen.append((name, done, total))

    assert vk.lint(holding(), collections=["docs", "docs"], progress=note).records == 20
    assert seen == [("docs", 20, 20)]


def test_the_command_says_what_to_do_and_exits_with_1_only_if_something_will_be_lost(
    tmp_path: Path, client: Any
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["lint", *arguments], env={"COLUMNS": "200"})
        return result.exit_code, result.stdout, result.stderr

    theirs(client, "plain", None, [[1.0, 2]] * 8, documents=["same"] * 8)
    theirs(client, "angles", "cosine", [[1.0, 2]])
    url = f"chroma:{tmp_path / 'theirs'}"
    code, printed, _ = run(url)
    assert code == 1
    assert "will not mean the same elsewhere" in printed
    assert "plain: 7 record(s): documents that an earlier record has too" in printed
    assert "'1', '2', '3', '4', '5', …" in printed
    assert "not portable as it is" in printed
    code, printed, _ = run(url, "--collection", "angles", "--json")
    assert code == 0
    report = json.loads(printed)
    assert (report["portable"], report["records"]) == (True, 1)
    assert [(each["code"], each["severity"], each["rule"]) for each in report["findings"]] == [
        ("embedder", "note", "1.4")
    ]
    for given, complaint in ((["nonsense:"], "no backend for"), ([url, "-c", "none"], "none")):
        code, printed, said = run(*given)
        assert (code, printed) == (2, "")
        assert complaint in said
