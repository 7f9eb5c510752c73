"""`copy` between stores: every record exactly, what a collection is, names, refusals, what a target cannot hold."""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

import vectorkit as vk
from vectorkit import MemoryBackend
from vectorkit.embedders import HashEmbedder
from vectorkit.transfer.opening import open_source

Open = Callable[[str], vk.VectorStore]

VALUES: list[Any] = [
    1,
    1.0,
    True,
    None,
    "",
    2**63 - 1,
    -(2**63),
    2**53 + 1,
    0.1,
    1e16,
    5e-324,
    [],
    [1, 1.0, True, None, "1", [2], {"k": []}],
    {},
    {"": {"deep": [1, {"er": None}]}, "a.b": 1.5, "$x": False},
    "naïve 東京 \U0001f9ed 'quoted' \"double\" \\ %s \n\t",
]


def records(count: int = 60, dimension: int = 5) -> list[vk.Record]:
    """Records with every kind of value, among them such whose ids sort otherwise in most collations."""
    random = np.random.default_rng(7)
    found: list[vk.Record] = []
    for n in range(count):
        metadata = {"value": VALUES[n % len(VALUES)], "kéy \U0001f511": VALUES[(n * 7) % len(VALUES)], "n": n}
        found.append(
            vk.Record(
                id=["a", "B", "é", "\U0001f511", "Z-", "_"][n % 6] + str(n),
                document=[None, "", f"text {n} of words", "ünï \U0001f9ed"][n % 4],
                embedding=random.normal(size=dimension).astype(np.float32) * (1 + n),
                metadata={} if n % 13 == 0 else metadata,
            )
        )
    return found


def contents(store: vk.VectorStore, name: str) -> list[tuple[str, str | None, str, list[float]]]:
    """All that a collection holds; metadata as JSON, which tells 1 from 1.0 and true."""
    return [
        (record.id, record.document, json.dumps(record.metadata, sort_keys=True), np.asarray(record.embedding).tolist())
        for record in store.get_collection(name).scan(include_embeddings=True)
    ]


@pytest.fixture
def stores(tmp_path: Path, chroma_http_url: str, make_postgres: Callable[[], str]) -> Iterator[Open]:
    """Opens new stores by kind."""
    urls = {
        "memory": lambda: "memory:",
        "chroma": lambda: f"chroma:{tmp_path / uuid4().hex}",
        "postgres": make_postgres,
    }
    made: list[vk.VectorStore] = []

    def open_store(kind: str) -> vk.VectorStore:
        made.append(vk.connect(urls[kind]()))
        return made[-1]

    yield open_store
    for store in made:
        store.close()


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_a_round_trip_through_all_stores_keeps_every_record(stores: Open, chroma_http_url: str, metric: Any) -> None:
    first = stores("memory")
    first.create_collection("docs", dimension=5, metric=metric).upsert(records=records())
    name = f"round-{uuid4().hex}"
    with vk.connect(f"chroma+{chroma_http_url}") as http:
        way = [first, stores("chroma"), stores("postgres"), http, stores("postgres"), stores("memory")]
        for here, there in pairwise(way):
            names = {"docs": name} if there is http else {name: "docs"} if here is http else None
            report = vk.copy(here, there, collections=[name if here is http else "docs"], names=names)
            assert report.complete
            assert report.collections[0].written == report.collections[0].count == 60
            held = contents(there, name if there is http else "docs")
            # Vectors come back within 1e-6 of the norm (6.10), and in fact to the bit but for Chroma under cosine.
            for ours, theirs in zip(contents(first, "docs"), held, strict=True):
                assert ours[:3] == theirs[:3]
                assert np.linalg.norm(np.subtract(ours[3], theirs[3])) <= 1e-6 * np.linalg.norm(ours[3])
        http.drop_collection(name)


@pytest.mark.parametrize("kind", ["memory", "chroma", "postgres"])
def test_what_a_collection_is_goes_along(stores: Open, kind: str) -> None:
    embedder = HashEmbedder(16)
    source, target = stores("memory"), stores(kind)
    docs = source.create_collection(
        "docs",
        embedder=embedder,
        metric="cosine",
        index=vk.HNSW(m=8, ef_construction=32),
        text_index=True,
        language="german",
        columns={"year": int},
    )
    docs.upsert(ids=["a", "b"], documents=["Häuser am See", "ein Haus"], metadatas=[{"year": 1}, {"year": 2}])
    vk.copy(source, target)
    copied = target.get_collection("docs", embedder=embedder)
    spec = copied.info().spec
    assert spec == docs.info().spec
    assert [hit.id for hit in copied.search("Haus", mode="text")] == [
        hit.id for hit in docs.search("Haus", mode="text")
    ]
    assert [info.name for info in target.list_collections()] == ["docs"]


def test_the_index_is_built_after_the_load(stores: Open, make_postgres: Callable[[], str]) -> None:
    source, url = stores("memory"), make_postgres()
    random = np.random.default_rng(0)
    source.create_collection("docs", dimension=4).upsert(
        ids=[f"{n:04}" for n in range(2500)], embeddings=random.normal(size=(2500, 4))
    )
    seen: list[int] = []
    with psycopg.connect(url, autocommit=True) as connection:

        def count_indexes(_: object = None) -> None:
            found = connection.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()
            assert found is not None
            seen.append(found[0])

        vk.copy(source, url, progress=count_indexes)
        assert len(seen) == 4
        assert set(seen) == {0}
        count_indexes()
        assert seen[-1] == 1
    with vk.connect(url) as target:
        assert target.get_collection("docs").info().spec.index == vk.HNSW()


def test_an_index_that_the_target_does_not_have_is_replaced_and_said(stores: Open) -> None:
    source, target = stores("memory"), stores("chroma")
    source.create_collection("docs", dimension=2, index="ivfflat").upsert(ids=["a"], embeddings=[[1, 2]])
    (copied,) = vk.copy(source, target).collections
    assert target.get_collection("docs").info().spec.index == vk.HNSW()
    assert any("IVFFlat" in remark for remark in copied.remarks)


@pytest.mark.parametrize("kind", ["memory", "chroma", "postgres"])
def test_a_second_run_writes_nothing(stores: Open, kind: str) -> None:
    source, target = stores("memory"), stores(kind)
    source.create_collection("docs", dimension=5).upsert(records=records())
    vk.copy(source, target)
    before = target.list_collections()
    (again,) = vk.copy(source, target).collections
    assert (again.written, again.count) == (0, 60)
    assert target.list_collections() == before


def test_several_collections_are_copied_and_others_stay(stores: Open) -> None:
    source, target = stores("memory"), stores("chroma")
    for name in ("one", "two", "three"):
        source.create_collection(name, dimension=2).upsert(ids=[name], embeddings=[[1, 2]])
    target.create_collection("mine", dimension=3).upsert(ids=["x"], embeddings=[[1, 2, 3]])
    report = vk.copy(source, target, collections=["two", "one", "two"], names={"two": "zwei"})
    assert [(each.name, each.target_name) for each in report.collections] == [("two", "zwei"), ("one", "one")]
    assert [info.name for info in target.list_collections()] == ["mine", "one", "zwei"]
    assert target.get_collection("zwei").get()[0].id == "two"
    assert target.get_collection("mine").count() == 1


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"dimension": 3}, "dimension 3.*2"),
        ({"dimension": 2, "metric": "l2"}, "metric 'l2'.*'cosine'"),
    ],
)
def test_a_target_of_another_kind_is_refused(stores: Open, there: dict[str, Any], said: str) -> None:
    source, target = stores("memory"), stores("postgres")
    source.create_collection("docs", dimension=2).upsert(ids=["a"], embeddings=[[1, 2]])
    target.create_collection("docs", **there)
    with pytest.raises(vk.CollectionMismatchError, match=said):
        vk.copy(source, target)
    assert target.get_collection("docs").count() == 0
    assert len(target.list_collections()) == 1


def test_a_target_of_another_embedder_is_refused(stores: Open) -> None:
    source, target = stores("memory"), stores("memory")
    source.create_collection("docs", embedder=HashEmbedder(16))
    target.create_collection("docs", dimension=16)
    with pytest.raises(vk.CollectionMismatchError, match="embedder"):
        vk.copy(source, target)


@pytest.mark.parametrize("kind", ["memory", "chroma", "postgres"])
def test_a_target_that_something_else_has_filled_is_refused_and_stays_as_it_is(stores: Open, kind: str) -> None:
    source, target = stores("memory"), stores(kind)
    source.create_collection("docs", dimension=5).upsert(records=records())
    theirs = target.create_collection("docs", dimension=5)
    theirs.upsert(records=records(20))
    theirs.update(ids=["a0"], documents=["other"], embeddings=[[1, 2, 3, 4, 5]])
    before = contents(target, "docs")
    with pytest.raises(vk.CollectionExistsError, match=r"no copy of 'docs'.*something else"):
        vk.copy(source, target)
    assert contents(target, "docs") == before


def test_an_empty_collection_that_is_there_is_filled(stores: Open) -> None:
    source, target = stores("memory"), stores("postgres")
    source.create_collection("docs", dimension=5, index=vk.HNSW(m=8)).upsert(records=records())
    target.create_collection("docs", dimension=5, index="none")
    (copied,) = vk.copy(source, target).collections
    assert copied.written == 60
    assert target.get_collection("docs").info().spec.index is None
    assert any("its index" in remark for remark in copied.remarks)


def test_an_unfinished_copy_is_gone_on_with_by_the_same_copy_and_by_no_other(stores: Open) -> None:
    source, target = stores("memory"), stores("postgres")
    random = np.random.default_rng(0)
    for name in ("docs", "others"):
        source.create_collection(name, dimension=3).upsert(
            ids=[f"{n:05}" for n in range(7000)], embeddings=random.normal(size=(7000, 3))
        )

    def stop(progress: vk.CopyProgress) -> None:
        if progress.done >= 4000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vk.copy(source, target, collections=["docs"], progress=stop)
    assert target.get_collection("docs").count() == 4000
    assert [info.name[:13] for info in target.list_collections()] == ["copying-docs-", "docs"]
    with open_source(target) as half:
        (content,) = half.contents()
        assert content == half.content("docs")
    assert "unfinished copy of 'docs'" in content.remarks[0]
    with pytest.raises(vk.CollectionExistsError, match="half-filled by an unfinished copy of 'docs'"):
        vk.copy(source, target, collections=["others"], names={"others": "docs"})
    assert not [thread for thread in threading.enumerate() if thread.name == "vectorkit-reading-ahead"]
    counts: list[int] = []
    (copied,) = vk.copy(source, target, collections=["docs"], progress=lambda it: counts.append(it.done)).collections
    assert copied.count == 7000
    assert copied.written == 3000, "what was written is not written again"
    assert counts == sorted(counts)
    assert contents(target, "docs") == contents(source, "docs")
    assert [info.name for info in target.list_collections()] == ["docs"]


def test_an_unfinished_copy_of_a_collection_that_looks_the_same_is_not_gone_on_with(stores: Open) -> None:
    sources, target = [stores("postgres"), stores("postgres")], stores("postgres")
    for number, source in enumerate(sources):
        vectors = np.random.default_rng(number).normal(size=(2500, 3))
        source.create_collection("docs", dimension=3).upsert(ids=[f"{n:05}" for n in range(2500)], embeddings=vectors)

    def stop(progress: vk.CopyProgress) -> None:
        if progress.done >= 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vk.copy(sources[0], target, progress=stop)
    with pytest.raises(vk.CollectionExistsError, match="half-filled by a copy of something else"):
        vk.copy(sources[1], target)
    assert vk.copy(sources[0], target).collections[0].written == 500


def test_an_unfinished_copy_can_be_given_up_by_dropping_it(stores: Open) -> None:
    source, target = stores("memory"), stores("chroma")
    for name in ("docs", "others"):
        source.create_collection(name, dimension=5, metric="l2").upsert(records=records())

    def stop(_: vk.CopyProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vk.copy(source, target, collections=["docs"], progress=stop)
    target.drop_collection("docs")
    vk.copy(source, target, collections=["others"], names={"others": "docs"})
    assert contents(target, "docs") == contents(source, "others")
    assert [info.name for info in target.list_collections()] == ["docs"]


def test_two_copies_at_once_into_one_target_are_refused(stores: Open) -> None:
    source, target = stores("memory"), stores("postgres")
    source.create_collection("docs", dimension=5).upsert(records=records())
    refused: list[str] = []

    def again(_: vk.CopyProgress) -> None:
        if not refused:
            with pytest.raises(vk.BackendError, match="another copy is writing to collection 'docs'") as caught:
                vk.copy(source, target)
            refused.append(str(caught.value))

    (copied,) = vk.copy(source, target, progress=again).collections
    assert refused
    assert copied.count == 60
    assert contents(target, "docs") == contents(source, "docs")


class Loose(MemoryBackend):
    """A store that others fill with what the contract forbids: nothing checks what is put into it here."""


def planted(bad: dict[str, vk.Batch]) -> vk.VectorStore:
    """A store with some sound records and some that are not."""
    backend = Loose()
    info = backend.create_collection(vk.CollectionSpec("docs", "cosine", 2))
    sound = vk.Batch(["a", "m", "z"], ["x", None, ""], np.ones((3, 2), dtype=np.float32), [{"n": 1}, {}, {}])
    backend.add(info, [sound, *bad.values()])
    return vk.VectorStore(backend)


def one(id: str, metadata: dict[str, Any], document: str | None = None, vector: Any = (1, 2)) -> vk.Batch:
    return vk.Batch([id], [document], np.asarray([vector], dtype=np.float32), [metadata])


BAD = {
    "NUL": one("bad-nul", {}, "a\0b"),
    "reserved": one("bad-key", {"_vk": 1}),
    "64 bits": one("bad-int", {"big": 2**64}),
    "not finite": one("bad-nan", {"x": float("nan")}),
    "zero vector": one("bad-zero", {}, vector=(0, 0)),
    "512": one("bad-" + "x" * 600, {}),
    "surrogate": one("bad-text", {"s": "\ud800"}),
}


@pytest.mark.parametrize("why", sorted(BAD))
def test_a_record_that_breaks_a_rule_is_an_error_that_names_it(stores: Open, why: str) -> None:
    (id,) = BAD[why].ids
    with planted({why: BAD[why]}) as source, pytest.raises(vk.InvalidArgumentError) as caught:
        vk.copy(source, stores("memory"))
    assert id[:20] in str(caught.value)
    assert "skip_bad" in str(caught.value)


def test_bad_records_are_put_aside_and_the_others_copied(stores: Open, tmp_path: Path) -> None:
    aside, target = tmp_path / "bad.jsonl", stores("postgres")
    with planted(BAD) as source:
        report = vk.copy(source, target, skip_bad=aside)
        again = vk.copy(source, target, skip_bad=aside)
    assert not report.complete
    assert not again.complete
    assert (report.collections[0].count, report.collections[0].skipped) == (3, len(BAD))
    assert (again.collections[0].written, again.collections[0].skipped) == (0, len(BAD))
    lines = [json.loads(line) for line in aside.read_text().splitlines()]
    assert {line["id"] for line in lines} == {batch.ids[0] for batch in BAD.values()}
    assert len(lines) == len(BAD), "none of them twice"
    nul = next(line for line in lines if line["id"] == "bad-nul")
    assert (nul["collection"], nul["document"], nul["embedding"]) == ("docs", "a\0b", [1.0, 2.0])
    assert "NUL" in nul["error"]
    assert [record.id for record in target.get_collection("docs").get()] == ["a", "m", "z"]


def test_a_file_for_bad_records_that_holds_something_else_is_refused(stores: Open, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("dear diary\n")
    with planted({}) as source, pytest.raises(vk.InvalidArgumentError, match="name another one"):
        vk.copy(source, stores("memory"), skip_bad=other)
    assert other.read_text() == "dear diary\n"
    with planted({}) as source, pytest.raises(vk.InvalidArgumentError, match="cannot be written"):
        vk.copy(source, stores("memory"), skip_bad=tmp_path / "no" / "such" / "folder")


def test_mistakes_are_typed_errors(stores: Open) -> None:
    source, target = stores("memory"), stores("memory")
    with pytest.raises(vk.CollectionNotFoundError, match="nothing to copy"):
        vk.copy(source, target)
    source.create_collection("docs", dimension=2)
    source.create_collection("others", dimension=2)
    with pytest.raises(vk.CollectionNotFoundError, match="'none'"):
        vk.copy(source, target, collections=["none"])
    with pytest.raises(vk.InvalidArgumentError, match="names has 'typo'"):
        vk.copy(source, target, names={"typo": "docs"})
    with pytest.raises(vk.InvalidNameError):
        vk.copy(source, target, names={"docs": "x"})
    with pytest.raises(vk.InvalidNameError, match="both be called 'others'"):
        vk.copy(source, target, names={"docs": "others"})
    with pytest.raises(vk.InvalidArgumentError, match="no backend"):
        vk.copy("nowhere:", target)
    assert target.list_collections() == []


def test_a_source_that_changes_meanwhile_is_no_copy(stores: Open) -> None:
    source, target = stores("memory"), stores("postgres")
    docs = source.create_collection("docs", dimension=5)
    docs.upsert(records=records())

    def write(progress: vk.CopyProgress) -> None:
        if progress.done:
            docs.upsert(ids=["A-new"], embeddings=[[1, 2, 3, 4, 5]])

    with pytest.raises(vk.CollectionExistsError, match="'A-new' is not in the target"):
        vk.copy(source, target, progress=write)
    target.drop_collection("docs")
    assert vk.copy(source, target).collections[0].count == 61


def test_copies_into_two_targets_at_once_do_not_hinder_each_other(stores: Open) -> None:
    source, targets = stores("memory"), [stores("postgres"), stores("postgres")]
    source.create_collection("docs", dimension=5).upsert(records=records())
    inner: list[vk.CopyReport] = []

    def other(_: vk.CopyProgress) -> None:
        if not inner:
            inner.append(vk.copy(source, targets[1]))

    vk.copy(source, targets[0], progress=other)
    infos = [target.backend.open_collection("docs") for target in targets]
    assert infos[0].generation == infos[1].generation, "both databases call it the same"
    assert [target.get_collection("docs").count() for target in targets] == [60, 60]
