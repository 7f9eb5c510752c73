"""`verify`: two stores that agree, and differences that are planted one at a time."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

import vectorkit as vk
from vectorkit.cli import app
from vectorkit.embedders import HashEmbedder
from vectorkit.transfer.records import same_json
from vectorkit.transfer.verify.report import Differences, Kind
from vectorkit.transfer.verify.searches import NamedQuery, Side, compare_searches, filters_from
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

COUNT = 1100  # more than one batch
VECTORS = np.random.default_rng(7).normal(size=(COUNT, 8)).astype(np.float32)
SPEC = vk.CollectionSpec("docs", "cosine", 8, embedder=vk.EmbedderIdentity("test", "model", 8), text_index=True)


def record(number: int) -> vk.Record:
    metadata: dict[str, Any] = {
        "n": number,
        "share": number / 7,
        "tags": ["a", number % 3],
        "deep": {"x": [1, {"y": 2}]},
    }
    return vk.Record(f"{number:05}", None if number % 10 == 0 else f"text {number}", VECTORS[number], metadata)


RECORDS = [record(number) for number in range(COUNT)]
CHANGED = RECORDS[1024]
METADATA = CHANGED.metadata


def batch(records: list[vk.Record]) -> vk.Batch:
    vectors = np.stack([np.asarray(record.embedding, dtype=np.float32) for record in records])
    columns = [record.document for record in records], vectors, [record.metadata for record in records]
    return vk.Batch([record.id for record in records], *columns)


def fill(backend: vk.VectorBackend, spec: vk.CollectionSpec = SPEC, count: int = COUNT) -> None:
    backend.add(backend.create_collection(spec), [batch(RECORDS[:count])])


def nudged() -> vk.FloatArray:
    """The vector of the record that is changed, one component of it off by 1e-5."""
    vector: vk.FloatArray = VECTORS[1024].copy()
    vector[5] += np.float32(1e-5)
    return vector


RENAMED = {**METADATA}
RENAMED["label"] = RENAMED.pop("tags")

PLANTED: dict[str, tuple[vk.Record | str, set[Kind], str]] = {
    "an id missing": ("01024", {"count", "missing", "filter"}, "'01024' is not in the target"),
    "an id more": (
        vk.Record("01024!", "", VECTORS[0], {}),
        {"count", "extra", "filter"},
        "'01024!' is not in the source",
    ),
    "a document": (
        replace(CHANGED, document="text 1025"),
        {"document"},
        "'01024': from character 8 on '4' in the source, '5' in the target",
    ),
    "an empty document for None": (
        replace(RECORDS[1020], document=""),
        {"document"},
        "'01020': None in the source, '' in the target",
    ),
    "a type in metadata": (
        replace(CHANGED, metadata={**METADATA, "n": 1024.0}),
        {"metadata"},
        "metadata['n'] is 1024 (int) in the source, 1024.0 (float) in the target",
    ),
    "a nested value in metadata": (
        replace(CHANGED, metadata={**METADATA, "deep": {"x": [1, {"y": True}]}}),
        {"metadata"},
        "metadata['deep']['x'][1]['y'] is 2 (int) in the source, True (bool) in the target",
    ),
    "a key missing in metadata": (
        replace(CHANGED, metadata=RENAMED),
        {"metadata", "filter"},
        "metadata['tags'] is ['a', 1] in the source, and not in the target",
    ),
    "a component of a vector": (replace(CHANGED, embedding=nudged()), {"vector"}, "'01024': component 5 is"),
}
SETTINGS: dict[Kind, tuple[vk.CollectionSpec, str]] = {
    "metric": (replace(SPEC, metric="l2"), "metric 'cosine' in the source, 'l2' in the target"),
    "embedder": (replace(SPEC, embedder=vk.EmbedderIdentity("test", "other", 8)), "model='other'"),
    "text index": (replace(SPEC, text_index=False), "text index True in the source, False in the target"),
    "language": (replace(SPEC, language="german"), "language 'english' in the source, 'german' in the target"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.VectorBackend]:
    """A Chroma on disk."""
    backend = ChromaBackend.from_url(f"chroma:{tmp_path_factory.mktemp('verify') / 'source'}")
    fill(backend)
    yield backend
    backend.close()


@pytest.fixture(scope="module", params=["memory", "chroma", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.VectorBackend]:
    """A store with the same records; a test leaves it as it was."""
    if request.param != "postgres":
        folder = tmp_path_factory.mktemp("verify") / "target"
        backend = vk.MemoryBackend() if request.param == "memory" else ChromaBackend.from_url(f"chroma:{folder}")
        fill(backend)
        yield backend
        backend.close()
        return
    url: str = request.getfixturevalue("postgres_url")
    schema = f"verify_{uuid4().hex}"
    postgres = PgVectorBackend(url, schema=schema)
    fill(postgres)
    yield postgres
    postgres.close()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def test_stores_that_hold_the_same_agree_in_records_and_in_searches(
    source: vk.VectorBackend, target: vk.VectorBackend
) -> None:
    found = vk.verify(source, target)
    (check,) = found.collections
    assert found.agrees
    assert (check.counts, check.compared, check.differences, check.first) == ((COUNT, COUNT), COUNT, {}, ())
    assert check.vector_error <= 1e-6
    assert check.searches is not None
    assert check.searches.queries == check.searches.searches == 10
    assert len(check.searches.filters) == 4
    assert check.searches.overlap == check.searches.lowest_overlap == 1.0
    assert check.searches.score_difference <= 1e-6
    assert check.searches.default_overlap >= 0.99


@pytest.mark.parametrize("what", PLANTED)
def test_a_difference_in_one_record_of_many_is_found_and_named(
    source: vk.VectorBackend, target: vk.VectorBackend, what: str
) -> None:
    planted, kinds, text = PLANTED[what]
    info = target.open_collection("docs")
    if isinstance(planted, str):
        target.delete(info, ids=[planted])
    else:
        target.upsert(info, [batch([planted])])
    try:
        found = vk.verify(source, target, sample=3, queries=[VECTORS[1024]])
    finally:
        target.delete(info, ids=["01024!"])
        target.upsert(info, [batch([CHANGED, RECORDS[1020]])])
    (check,) = found.collections
    assert not found.agrees
    id = planted if isinstance(planted, str) else planted.id
    (first,) = [each for each in check.first if each.id == id and each.kind != "search"]
    assert text in first.text
    # A filter or a search may show the same difference once more, and nothing else is found.
    assert {first.kind} <= check.differences.keys() <= kinds | {"search"}
    counted = {kind: number for kind, number in check.differences.items() if kind in ("count", first.kind)}
    assert set(counted.values()) == {1}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_collection_made_with_another_setting_is_found_and_named(
    source: vk.VectorBackend, target: vk.VectorBackend, kind: Kind
) -> None:
    spec, text = SETTINGS[kind]
    fill(target, replace(spec, name="other"))
    try:
        found = vk.verify(source, target, names={"docs": "other"}, sample=1)
    finally:
        target.drop_collection("other")
    (check,) = found.collections
    assert check.target_name == "other"
    assert check.differences == {kind: 1}
    assert text in check.first[0].text


def test_another_dimension_is_found_and_is_no_reason_to_stop(
    source: vk.VectorBackend, target: vk.VectorBackend
) -> None:
    assert SPEC.embedder is not None
    shorter = replace(SPEC.embedder, dimension=4)
    info = target.create_collection(replace(SPEC, name="other", dimension=4, embedder=shorter))
    rows = batch(RECORDS)
    target.add(info, [replace(rows, embeddings=np.ascontiguousarray(rows.embeddings[:, :4]))])
    try:
        (check,) = vk.verify(source, target, names={"docs": "other"}).collections
    finally:
        target.drop_collection("other")
    assert check.differences == {"dimension": 1, "embedder": 1, "vector": COUNT}
    assert len(check.first) == 7
    assert check.first[2].text == "'00000': 8 dimensions in the source, 4 dimensions in the target"
    assert check.remarks == ("not searched: the dimension differs",)


def test_a_collection_that_the_target_lacks_is_a_difference_and_one_more_is_none(
    source: vk.VectorBackend,
) -> None:
    target = vk.MemoryBackend()
    fill(target, replace(SPEC, name="more"))
    (check,) = vk.verify(source, target).collections
    assert check.differences == {"collection": 1}
    assert check.counts == (COUNT, 0)
    assert check.first[0].text == "'docs' is not in the target"


def test_many_differences_are_counted_and_the_first_of_each_kind_are_kept(source: vk.VectorBackend) -> None:
    target = vk.MemoryBackend()
    changed = [replace(each, document="x" * 10_000, metadata={}) for each in RECORDS[:600]]
    target.add(target.create_collection(SPEC), [batch(changed)])
    (check,) = vk.verify(source, target, sample=0).collections
    assert check.differences == {"count": 1, "document": 600, "metadata": 600, "missing": 500}
    assert len(check.first) == 1 + 3 * 5
    assert max(len(each.text) for each in check.first) < 250


def test_records_that_only_one_side_has_are_told_apart_at_any_place() -> None:
    """Before the first, after the last, between, whole batches of them."""
    random = np.random.default_rng(3)
    some: list[int] = sorted(random.choice(COUNT, 300, replace=False).tolist())
    for kept in ([], [0], [COUNT - 1], list(range(0, COUNT, 2)), some):
        sides = vk.MemoryBackend(), vk.MemoryBackend()
        for backend, rows in zip(sides, (RECORDS, [RECORDS[at] for at in kept]), strict=True):
            info = backend.create_collection(SPEC)
            if rows:
                backend.add(info, [batch(rows)])
        (check,) = vk.verify(*sides, sample=0).collections
        assert check.differences == {"count": 1, "missing": COUNT - len(kept)}
        assert check.compared == len(kept)
        (check,) = vk.verify(*reversed(sides), sample=0).collections
        assert check.differences == {"count": 1, "extra": COUNT - len(kept)}


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_two_records_that_change_places_are_found_by_searching_alone(metric: vk.Metric) -> None:
    """6.4, 6.5 With hits that are the same, in another order."""
    sides: list[Side] = []
    for swapped in (False, True):
        backend = vk.MemoryBackend()
        info = backend.create_collection(vk.CollectionSpec("docs", metric, 2))
        vectors = np.array([[1, 0], [1, 0.5], [1, 0.6]], dtype=np.float32)
        vectors = vectors[[0, 2, 1]] if swapped else vectors
        backend.add(info, [vk.Batch(["a", "b", "c"], [None] * 3, vectors, [{}] * 3)])
        sides.append(Side(backend, info))
    found = Differences()
    query = NamedQuery(np.array([1, 0], dtype=np.float32), "the query")
    checked = compare_searches(sides[0], sides[1], [query], [], [], 3, found, lambda _, __: None)
    if metric == "ip":  # all three are equally near
        assert found.counts == {}
        return
    assert found.counts == {"search": 3}
    assert checked.overlap == 1.0


def test_a_record_that_one_side_does_not_find_is_a_difference() -> None:
    """6.7 With as many hits on both sides; the farther record that takes its place is none of its own."""
    sides: list[Side] = []
    for third in (2, 50):
        backend = vk.MemoryBackend()
        info = backend.create_collection(vk.CollectionSpec("docs", "l2", 1))
        vectors = np.array([[0], [1], [third], [9]], dtype=np.float32)
        backend.add(info, [vk.Batch(["a", "b", "c", "d"], [None] * 4, vectors, [{}] * 4)])
        sides.append(Side(backend, info))
    found = Differences()
    query = NamedQuery(np.zeros(1, dtype=np.float32), "the query")
    checked = compare_searches(sides[0], sides[1], [query], [], [], 3, found, lambda _, __: None)
    assert found.counts == {"search": 1}
    assert found.first[0].text == "the query: 'c' is found in the source alone"
    assert checked.overlap == 2 / 3


def test_records_nearer_to_each_other_than_the_tolerance_may_swap() -> None:
    """6.5 Two distances that differ by less than 1e-6 are no difference, whichever comes first."""
    sides: list[Side] = []
    for swapped in (False, True):
        backend = vk.MemoryBackend()
        info = backend.create_collection(vk.CollectionSpec("docs", "l2", 2))
        vectors = np.array([[1, 0], [1.0000001, 0]], dtype=np.float32)
        assert vectors[0, 0] != vectors[1, 0]
        backend.add(info, [vk.Batch(["a", "b"], [None] * 2, vectors[::-1].copy() if swapped else vectors, [{}] * 2)])
        sides.append(Side(backend, info))
    found = Differences()
    query = NamedQuery(np.zeros(2, dtype=np.float32), "the query")
    for k in (1, 2):
        compare_searches(sides[0], sides[1], [query], [], [], k, found, lambda _, __: None)
    assert found.counts == {}


def test_filters_are_taken_from_the_data() -> None:
    """A value that some records share, its complement, a range of numbers, an element of a list."""
    values: list[dict[str, Any]] = [{"all": "x", "even": n % 2 == 0, "n": n, "tags": ["t", n % 4]} for n in range(9)]
    rows = [vk.Record(str(n), metadata=each) for n, each in enumerate(values)]
    assert filters_from(rows) == [
        {"even": True},
        {"even": {"$ne": True}},
        {"n": {"$gte": 4}},
        {"tags": {"$contains": 0}},
    ]
    assert filters_from([vk.Record("a", metadata={"deep": {"x": 1}, "none": None, "empty": []})]) == []
    words = [vk.Record(str(n), None, None, {"date": f"2024-0{n}"}) for n in range(1, 4)]
    assert filters_from(words)[-1] == {"date": {"$gte": "2024-02"}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, True),
        (float("nan"), float("nan"), True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        ([1, 2], [1, 2, 3], False),
        ([{"a": [1]}], [{"a": [1.0]}], False),
        ("1", 1, False),
        (2**53 + 1, float(2**53), False),
    ],
)
def test_json_values_are_the_same_only_with_their_types(one: object, other: object, same: bool) -> None:
    """2.5 All the way down."""
    assert same_json(one, other) is same is same_json(other, one)


def test_queries_are_texts_or_vectors(source: vk.VectorBackend) -> None:
    embedder = HashEmbedder(8)
    made = vk.MemoryBackend(), vk.MemoryBackend()
    for backend in made:
        fill(backend, replace(SPEC, embedder=embedder.identity))
    (check,) = vk.verify(*made, queries=["a text", VECTORS[1]], embedder=embedder, sample=2).collections
    assert check.searches is not None
    assert check.searches.queries == 4
    assert check.searches.searches == 2 * (1 + len(check.searches.filters)) + 2
    with pytest.raises(vk.EmbeddingError, match="there is no embedder for collection 'docs'"):
        vk.verify(*made, queries=["a text"])
    with pytest.raises(vk.EmbeddingError, match="made with the embedder 'model'"):
        vk.verify(source, source, queries=["a text"], embedder=embedder)
    with pytest.raises(vk.DimensionMismatchError, match="query 1 has 3 dimensions"):
        vk.verify(source, source, queries=[[1.0, 2.0, 3.0]])


def test_an_empty_collection_agrees_with_an_empty_one_and_an_empty_store_with_none() -> None:
    sides = vk.MemoryBackend(), vk.MemoryBackend()
    with pytest.raises(vk.CollectionNotFoundError, match="nothing to verify"):
        vk.verify(*sides)
    for backend in sides:
        backend.create_collection(SPEC)
    found = vk.verify(*sides)
    assert found.agrees
    assert found.collections[0].remarks == ("not searched: there is no vector to search with",)
    with pytest.raises(vk.CollectionNotFoundError):
        vk.verify(*sides, collections=["docs", "none"])
    with pytest.raises(vk.InvalidArgumentError, match="list of names, got the text 'docs'"):
        vk.verify(*sides, collections="docs")


def test_a_server_that_is_gone_in_the_middle_is_an_error_and_leaves_no_thread(source: vk.VectorBackend) -> None:
    class Gone(vk.MemoryBackend):
        def scan(self, *given: Any, **named: Any) -> Iterator[list[vk.Record]]:
            yield next(super().scan(*given, **named))
            raise vk.BackendUnavailableError("the server is gone")

    gone, before = Gone(), set(threading.enumerate())
    fill(gone)
    for sides in ((source, gone), (gone, source), (gone, gone)):
        with pytest.raises(vk.BackendUnavailableError, match="the server is gone"):
            vk.verify(*sides)
    assert [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("vectorkit")] == []


def test_a_store_that_is_not_read_in_order_is_refused() -> None:
    """4.1 Records would be taken for missing that are there."""

    class Backwards(vk.MemoryBackend):
        def scan(self, *given: Any, **named: Any) -> Iterator[list[vk.Record]]:
            for page in super().scan(*given, **named):
                yield page[::-1]

    sides = vk.MemoryBackend(), Backwards()
    for backend in sides:
        fill(backend)
    with pytest.raises(vk.BackendError, match="'00998' comes after '00999'"):
        vk.verify(*sides)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("command")
    places = f"chroma:{folder / 'one'}", f"chroma:{folder / 'two'}"
    for number, url in enumerate(places):
        with vk.connect(url) as store:
            fill(store.backend, SPEC, 50)
            fill(store.backend, replace(SPEC, name=f"own-{number}"), 10 + number)
    return places


class TestCommand:
    """`vectorkit verify`."""

    def run(self, *arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["verify", *arguments], env={"COLUMNS": "200"})
        return result.exit_code, result.stdout, result.stderr

    def test_stores_that_agree_exit_with_0(self, urls: tuple[str, str]) -> None:
        code, printed, _ = self.run(*urls, "--collection", "docs", "--sample", "3", "-k", "5")
        assert code == 0, printed
        assert "docs agrees: 50 records compared" in printed
        assert "3 searches, without a filter and with 4: exact ones have 100.00% of their 5 hits" in printed

    def test_stores_that_differ_exit_with_1_and_say_in_what(self, urls: tuple[str, str]) -> None:
        code, printed, _ = self.run(*urls)
        assert code == 1
        assert "own-0 differs" in printed
        assert "'own-0' is not in the target" in printed
        assert "differ: 1 of 2 collection(s)" in printed
        code, printed, _ = self.run(*urls, "--collection", "own-0", "--as", "own-1", "--json")
        assert code == 1
        report = json.loads(printed)
        (check,) = report["collections"]
        assert (report["agrees"], check["agrees"], check["target_name"]) == (False, False, "own-1")
        assert check["differences"] == {"count": 1, "extra": 1, "filter": 1} | check["differences"]
        assert {"kind": "extra", "text": "'00010' is not in the source", "id": "00010"} in check["first"]

    def test_queries_come_from_a_file(self, urls: tuple[str, str], tmp_path: Path) -> None:
        file = tmp_path / "queries.jsonl"
        lines = [json.dumps({"vector": VECTORS[0].tolist()}), "", json.dumps({"vector": [1.0] * 8})]
        file.write_text("\n".join(lines))
        given = [*urls, "--collection", "docs", "--sample", "0", "--queries", str(file)]
        code, printed, _ = self.run(*given, "--json")
        assert code == 0
        searches = json.loads(printed)["collections"][0]["searches"]
        assert (searches["queries"], searches["searches"], searches["filters"]) == (2, 2, [])
        for line, complaint in (
            ('{"text": "no query"}', 'expected an object with "query" or "vector"'),
            ('{"query": "text", "where": {"n": 1}}', "verify takes filters from the data"),
            ("a text", "which cannot be made from its name"),
        ):
            file.write_text(line)
            code, printed, said = self.run(*given)
            assert (code, printed) == (2, "")
            assert complaint in said

    def test_texts_among_the_queries_are_embedded_by_the_stored_model(self, tmp_path: Path) -> None:
        file = tmp_path / "queries.txt"
        file.write_text("a text\nanother one\n")
        places = f"chroma:{tmp_path / 'one'}", f"chroma:{tmp_path / 'two'}"
        for url in places:
            with vk.connect(url) as store:
                fill(store.backend, replace(SPEC, embedder=HashEmbedder(8).identity), 50)
        code, printed, said = self.run(*places, "--sample", "0", "--queries", str(file), "--json")
        assert code == 0, said
        assert json.loads(printed)["collections"][0]["searches"]["queries"] == 2

    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            (["--collection", "none"], "error: "),
            (["--as", "other"], "--as names one collection"),
            (["--collection", "docs", "-c", "own-0", "--as", "other"], "--as names one collection"),
        ],
    )
    def test_a_mistake_is_a_line_and_exit_code_2(self, urls: tuple[str, str], given: list[str], complaint: str) -> None:
        code, printed, said = self.run(*urls, *given)
        assert (code, printed) == (2, "")
        assert complaint in said
        assert "Traceback" not in said

    def test_a_url_that_is_none_is_a_mistake_and_shows_no_password(self, urls: tuple[str, str]) -> None:
        code, _, said = self.run(urls[0], "postgresql://me:hunter2@127.0.0.1:1/db?connect_timeout=2")
        assert code == 2
        assert "hunter2" not in said

    def test_a_path_that_was_mistyped_is_a_mistake_and_nothing_is_made_there(
        self, urls: tuple[str, str], tmp_path: Path
    ) -> None:
        missing = f"chroma:{tmp_path / 'typo'}"
        verifying = ["verify", missing, urls[0]], ["verify", urls[0], missing]
        for given in (*verifying, ["lint", missing], ["copy", missing, urls[0]]):
            result = CliRunner().invoke(app, given)
            assert result.exit_code == 2
            assert "there is no store at" in result.stderr
        assert list(tmp_path.iterdir()) == []
