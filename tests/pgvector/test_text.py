"""Text search on Postgres: in one transaction with the records, whoever writes, and whatever ends it half-way."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import IsolationLevel

from vectorkit import (
    BackendError,
    BackendUnavailableError,
    Collection,
    MemoryBackend,
    Metric,
    RecordNotFoundError,
    UnsupportedError,
    VectorStore,
)
from vectorkit.filters import parse_document
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import records as record_sql
from vectorkit_pgvector.sql.tables import Statement
from vectorkit_pgvector.text import words

Connection = psycopg.Connection[Any]

WORDS = ["red", "pear", "blue", "sky", "round", "table"]


def filled(store: VectorStore, count: int = 20, **given: Any) -> Collection:
    arguments: dict[str, Any] = {"dimension": 2, "text_index": True, "language": "none", "index": "none", **given}
    docs = store.create_collection("docs", **arguments)
    docs.add(
        ids=[f"{at:05}" for at in range(count)],
        documents=[f"word{at} common {WORDS[at % 6]}" for at in range(count)],
        embeddings=[[1, at] for at in range(count)],
        metadatas=[{"at": at, "part": at % 7} for at in range(count)],
    )
    return docs


def found(docs: Collection, query: str, **given: Any) -> dict[str, float]:
    return {hit.id: hit.score for hit in docs.search(query, 10_000, mode="text", **given)}


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_what_only_the_words_find_is_as_near_as_what_the_index_finds(store: VectorStore, metric: Metric) -> None:
    """7.3 Of records with one vector, a difference in rounding alone would make the nearest and the farthest."""
    docs = store.create_collection("docs", dimension=24, metric=metric, text_index=True, language="none")
    vector, query = np.random.default_rng(3).normal(size=(2, 24)).astype(np.float32)
    docs.add(
        ids=[f"{at:05}" for at in range(2600)],
        documents=["zebra" if at >= 2595 else "horse" for at in range(2600)],
        embeddings=np.tile(vector, (2600, 1)),
    )
    assert not docs.explain(query, 10).exact
    hits = docs.search("zebra", 8, mode="hybrid", vector=query, fetch_k=10)
    assert [hit.id for hit in hits][:5] == [f"{at:05}" for at in range(2595, 2600)]
    assert len({hit.distance for hit in hits}) == 1


def reference(docs: Collection) -> Collection:
    """The records as they are now, in memory."""
    spec = docs.info().spec
    copy = VectorStore(MemoryBackend()).create_collection(
        "docs", dimension=spec.dimension, metric=spec.metric, text_index=True, language=spec.language
    )
    copy.add(records=docs.get(include_embeddings=True))
    return copy


def assert_same(docs: Collection, *queries: str, **given: Any) -> None:
    """Ids, order and scores are those of the reference, but for the order of scores that differ in rounding alone."""
    copy = reference(docs)
    for query in queries:
        expected, actual = found(copy, query, **given), found(docs, query, **given)
        assert actual == pytest.approx(expected, abs=1e-9), query
        in_order = [round(expected[id], 9) for id in actual]
        assert in_order == sorted(in_order, reverse=True), query


def tables(admin: Connection, schema: str) -> list[str]:
    rows = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", [schema]).fetchall()
    return [name for (name,) in rows]


def shuffle(docs: Collection, rng: random.Random, own: str) -> None:
    """A write of any kind, to records that others write, too."""
    ids = sorted({f"{rng.randrange(30):05}" for _ in range(3)})
    texts: list[str | None] = [" ".join(rng.choices([*WORDS, own], k=4)) if rng.random() < 0.9 else None for _ in ids]
    match rng.randrange(4):
        case 0:
            docs.delete(ids)
        case 1:
            docs.delete(where={"at": {"$in": [rng.randrange(30), rng.randrange(30)]}})
        case 2:
            present = [record.id for record in docs.get(ids)]
            texts = texts[: len(present)]
            with suppress(RecordNotFoundError):  # deleted since
                docs.update(ids=present, documents=texts, embeddings=[[1, 1]] * len(present))
        case _:
            docs.upsert(ids=ids, documents=texts, embeddings=[[1, 2]] * len(ids))


# --- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merging", [False, True])
def test_writers_at_the_same_time_keep_the_weights_right(
    store: VectorStore, postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch, merging: bool
) -> None:
    """7.2 Words, N and df are those of what is stored, also while postings are merged."""
    if merging:
        monkeypatch.setattr(words, "_DUE", 1)
        monkeypatch.setattr(words, "_DEAD", (5, 4, 100))
        monkeypatch.setattr(words, "_MANY_CALLS", 7)
    docs = filled(store)

    def write(number: int) -> None:
        rng = random.Random(number)
        own = VectorStore(PgVectorBackend(postgres_url, schema=schema))
        theirs = own.get_collection("docs")
        for _ in range(40):
            shuffle(theirs, rng, f"by{number}")
        own.close()

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(4)]
        while not all(each.done() for each in writing):
            docs.search("common red", mode="text")
        for each in writing:
            each.result()
    assert_same(docs, "common red", "by0 by1 pear", "by2", "word3", " ".join(WORDS))


def test_postings_that_are_no_more_are_cleared_away(
    store: VectorStore, admin: Connection, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7.2 And those of many small calls are put together; what is found stays the same."""
    docs = filled(store, 50)
    dead, postings = (f"{schema}.vkt_{kind}_{docs.info().generation}" for kind in ("dead", "postings"))

    def size(table: str) -> int:
        return int(admin.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0])

    for at in range(30):
        docs.upsert(ids=[f"{at:05}"], documents=["common red"], embeddings=[[1, at]])
    docs.delete(["00007", "00049"])
    expected = found(docs, "common red word41")
    assert size(dead) == 32
    before = size(postings)
    monkeypatch.setattr(words, "_DUE", 1)
    monkeypatch.setattr(words, "_MANY_CALLS", 2)
    docs.upsert(ids=["00041"], documents=["word41 common blue"], embeddings=[[1, 41]])
    assert size(dead) == 33
    assert size(postings) < before / 2
    assert_same(docs, "common red word41")
    monkeypatch.setattr(words, "_DEAD", (5, 4, 100))
    docs.upsert(ids=["00041"], documents=["word41 common sky"], embeddings=[[1, 41]])
    assert size(dead) == 0
    assert found(docs, "common red word41") == pytest.approx(expected)
    assert_same(docs, "common red word41", "sky", "word7")


def test_a_transaction_that_is_rolled_back_leaves_no_word(store: VectorStore, postgres_url: str, schema: str) -> None:
    """3.7 Until it ends, nobody else finds its words, and it finds them itself."""
    docs = filled(store)
    before = found(docs, "common new")
    with psycopg.connect(postgres_url) as connection:
        theirs = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        for end in (connection.rollback, connection.commit):
            theirs.upsert(ids=["00003", "x"], documents=["new", "new common"], embeddings=[[1, 1]] * 2)
            theirs.delete(["00004"])
            theirs.update(ids=["00005"], documents=["common common"], embeddings=[[1, 1]])
            with pytest.raises(RecordNotFoundError):
                theirs.update(ids=["00006", "missing"], documents=["new", "new"], embeddings=[[1, 1]] * 2)
            assert_same(theirs, "common new", "word3 word4", "word6")
            assert found(docs, "common new") == before
            end()
            assert_same(docs, "common new", "word3 word4", "word6")
    assert set(found(docs, "new")) == {"00003", "x"}


def test_a_document_of_ten_megabytes_is_found_by_each_of_its_words(store: VectorStore) -> None:
    """7.1 100,000 different words, most of them more often than a position in a `tsvector` can say."""
    docs = filled(store)
    text = " ".join(f"w{at % 100_000:05}" for at in range(1_400_000)) + " often" * 20_000
    docs.upsert(ids=["00001"], documents=[text], embeddings=[[1, 1]])
    for query in ("w00007", "w99999 often", "often common"):
        assert_same(docs, query)
    docs.delete(["00001"])
    assert found(docs, "w00007 often") == {}


def test_many_documents_are_written_in_parts(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """7.1 Of a call, and of a text index that is made later."""
    monkeypatch.setattr(words, "_MOST", 50)
    monkeypatch.setattr(words, "_AT_ONCE", 30)
    docs = filled(store, 200)
    assert_same(docs, "common", "word7 word150 sky")
    store.drop_collection("docs")
    docs = filled(store, 200, text_index=False)
    seen: list[tuple[int, int]] = []
    docs.create_text_index(lambda done, total: seen.append((done, total)))
    assert seen == [(done, 200) for done in (0, 30, 60, 90, 120, 150, 180, 200)]
    assert_same(docs, "common", "word7 word150 sky")


# --- making the index -------------------------------------------------------------------------------------------


def test_a_process_killed_while_it_makes_an_index_leaves_none(
    store: VectorStore, admin: Connection, postgres_url: str, schema: str
) -> None:
    """7.1 Nor tables; it can be made again, and is then whole."""
    docs = filled(store, text_index=False)
    before = tables(admin, schema)
    script = (
        "import os, signal, sys\n"
        "from vectorkit import VectorStore\n"
        "from vectorkit_pgvector import PgVectorBackend\n"
        "docs = VectorStore(PgVectorBackend(sys.argv[1], schema=sys.argv[2])).get_collection('docs')\n"
        "docs.create_text_index(lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done else None)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, postgres_url, schema], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    docs.upsert(ids=["00000"], documents=["new"], embeddings=[[1, 1]])  # waits for the server to notice, if it must
    assert tables(admin, schema) == before
    with pytest.raises(UnsupportedError):
        docs.search("common", mode="text")
    docs.create_text_index()
    assert_same(docs, "common", "new word0 word1")


def test_a_connection_lost_while_an_index_is_made_leaves_none(
    store: VectorStore, admin: Connection, schema: str
) -> None:
    """7.1 It is an error of the library."""
    docs = filled(store, text_index=False)
    before = tables(admin, schema)

    def end(done: int, total: int) -> None:
        if done:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' "
                "AND relation = %s::regclass",
                [docs.info().location],
            )

    with pytest.raises(BackendUnavailableError):
        docs.create_text_index(end)
    assert tables(admin, schema) == before
    docs.create_text_index()
    assert_same(docs, "common")


def test_while_an_index_is_made_readers_go_on_and_writers_come_after(
    store: VectorStore, postgres_url: str, schema: str
) -> None:
    """7.1 What they write, through handles that know of no index, is in it."""
    docs = filled(store, 50, text_index=False)
    other = VectorStore(PgVectorBackend(postgres_url, schema=schema))
    theirs = other.get_collection("docs")
    writers: list[threading.Thread] = []

    def meanwhile(done: int, total: int) -> None:
        assert theirs.count() == 50
        assert theirs.search([1, 1], 1)
        if not writers:
            calls: list[Callable[[], object]] = [
                lambda: theirs.add(ids=["new"], documents=["new common"], embeddings=[[1, 1]]),
                lambda: theirs.upsert(ids=["00001"], documents=["new"], embeddings=[[1, 1]]),
                lambda: theirs.update(ids=["00002"], documents=["new new"], embeddings=[[1, 1]]),
                lambda: theirs.delete(["00003"]),
                lambda: theirs.create_text_index(),
            ]
            for call in calls:
                writers.append(threading.Thread(target=call))
                writers[-1].start()

    docs.create_text_index(meanwhile)
    for writer in writers:
        writer.join()
    assert set(found(docs, "new")) == {"new", "00001", "00002"}
    assert docs.count() == 50
    assert_same(docs, "new common", "word1 word2 word3 word4")
    other.close()


def test_a_snapshot_from_before_the_index_does_not_write_past_it(
    store: VectorStore, postgres_url: str, schema: str
) -> None:
    """7.1 A transaction of the caller's that cannot see the index is told so, and can be done again."""
    docs = filled(store, text_index=False)
    with psycopg.connect(postgres_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        theirs = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        docs.create_text_index()
        for call in (lambda: theirs.delete(["00001"]), theirs.create_text_index):
            with pytest.raises(BackendError):
                call()
        connection.rollback()
        theirs.delete(["00001"])
        connection.commit()
    assert_same(docs, "common", "word1 word2")


def test_a_dropped_collection_leaves_no_table(store: VectorStore, admin: Connection, schema: str) -> None:
    """1.5 With an index made at once or later."""
    filled(store)
    store.drop_collection("docs")
    filled(store, text_index=False).create_text_index()
    assert len(tables(admin, schema)) == 5
    store.drop_collection("docs")
    assert tables(admin, schema) == ["vectorkit_collections"]


def test_a_table_of_an_application_has_no_text_index(store: VectorStore, admin: Connection, schema: str) -> None:
    """7.1 What the application writes there itself would not be in it; nothing is changed."""
    store.create_collection("other", dimension=2)
    admin.execute(f"CREATE TABLE {schema}.notes (id text PRIMARY KEY, body text, vec vector(2))".encode())
    backend = store.backend
    assert isinstance(backend, PgVectorBackend)
    backend.adopt(table=f"{schema}.notes", id="id", document="body", embedding="vec")
    docs = store.get_collection("notes")
    before = tables(admin, schema)
    with pytest.raises(UnsupportedError, match="application"):
        docs.create_text_index()
    assert tables(admin, schema) == before
    docs.add(ids=["a", "b"], documents=["red", "blue"], embeddings=[[1, 1]] * 2)
    assert docs.delete(where_document={"$contains": "red"}) == 1
    with pytest.raises(UnsupportedError):
        docs.search("blue", mode="text")


# --- searching --------------------------------------------------------------------------------------------------


def test_filters_that_leave_few_or_many_records_rank_alike(store: VectorStore) -> None:
    """7.4 Few are looked up, of many the best are tried one by one: the same hits, whichever."""
    docs = filled(store, 6000)
    copy = reference(docs)
    wheres: list[dict[str, Any]] = [
        {"at": {"$lt": 5000}}, {"at": {"$gte": 5990}}, {"part": 3}, {"at": -1}, {"at": {"$gte": 4000}},
    ]  # fmt: skip
    for where in wheres:
        for query in ("common red", "word5995 sky", "pear"):
            for k in (1, 10, 3000):
                hits = docs.search(query, k, mode="text", where=where)
                expected = copy.search(query, k, mode="text", where=where)
                assert [hit.id for hit in hits] == [hit.id for hit in expected], (where, query, k)
                assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected])


def test_a_hybrid_search_is_one_statement(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """7.3 Exact or not: both sides, and both scores of every candidate."""
    docs = filled(store)
    sent: list[Statement] = []
    rows = Session.rows

    def noted(session: Session, statement: Statement) -> list[tuple[Any, ...]]:
        sent.append(statement)
        return rows(session, statement)

    monkeypatch.setattr(Session, "rows", noted)
    for exact in (True, False, None):
        docs.search("common red", 3, mode="hybrid", vector=[1, 2], exact=exact, fetch_k=5)
        assert len(sent) == 1
        sent.clear()


def test_hybrid_search_by_an_index_gives_every_candidate_both_scores(store: VectorStore) -> None:
    """7.3 Distances and text scores are right whatever the index finds; exactly, the ranking is the reference's."""
    docs = store.create_collection("docs", dimension=8, text_index=True, language="none")
    vectors = np.random.default_rng(3).normal(size=(3000, 8)).astype(np.float32)
    docs.add(
        ids=[f"{at:05}" for at in range(3000)],
        documents=[f"w{at % 50} common" if at % 9 else None for at in range(3000)],
        embeddings=vectors,
        metadatas=[{"part": at % 3} for at in range(3000)],
    )
    copy = reference(docs)
    given: dict[str, Any] = {"mode": "hybrid", "vector": [1.0] * 8, "k": 20}
    every: dict[str, Any] = {**given, "k": 3000}
    for where in (None, {"part": 1}, {"part": {"$ne": 1}}):
        everything = {hit.id: hit for hit in copy.search("w7", where=where, **every)}
        for exact in (None, False, True):
            hits = docs.search("w7", where=where, exact=exact, **given)
            assert len(hits) == 20
            for hit in hits:
                assert hit.score == pytest.approx(everything[hit.id].score, abs=1e-6)
                assert hit.distance == pytest.approx(everything[hit.id].distance, abs=1e-6)
        assert [hit.id for hit in hits] == [hit.id for hit in copy.search("w7", where=where, **given)]


def test_equal_vectors_beyond_the_first_statement_have_their_text_scores(store: VectorStore) -> None:
    """7.3 Of thousands that are equally near, the first by id are candidates, whichever rows the server sent first."""
    docs = store.create_collection("docs", dimension=2, text_index=True, language="none", index="none")
    count = 3000
    docs.add(
        ids=[f"{count - at:05}" for at in range(count)],
        documents=[f"w{at % 3}" for at in range(count)],
        embeddings=[[1, 2]] * count,
    )
    copy = reference(docs)
    for fusion in ("weighted", "rrf"):
        given: dict[str, Any] = {"mode": "hybrid", "vector": [1, 2], "k": 5, "fetch_k": 5, "fusion": fusion}
        hits, expected = docs.search("w1", **given), copy.search("w1", **given)
        assert [hit.id for hit in hits] == [hit.id for hit in expected]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected])


# --- where_document ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["at once", "later"])
def test_a_part_of_a_document_is_found_by_its_trigrams_where_there_are_some(database: str, made: str) -> None:
    """5.11 With pg_trgm in the database needles of three characters use an index; the results are the same without."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA tools")
        connection.execute("CREATE EXTENSION pg_trgm SCHEMA tools")
        backend = PgVectorBackend(database)
        docs = filled(VectorStore(backend), 5000, text_index=made == "at once")
        if made == "later":
            docs.create_text_index()
        docs.add(ids=["x", "y", "z"], documents=["100% a_b c\\d", "100 aXb", None], embeddings=[[1, 1]] * 3)
        connection.execute(f"VACUUM ANALYZE {docs.info().location}".encode())
        copy = reference(docs)
        needles = ("word499", "d4999", "100%", "a_b", "c\\d", "\\", "00", "Word499", "% a_", "common red", "é", "aXb")
        for needle in needles:
            for where in ({"$contains": needle}, {"$not_contains": needle}):
                assert docs.count(where_document=where) == copy.count(where_document=where), where
        statement = record_sql.count(backend._table(docs.info()), parse_document({"$contains": "word499"}))  # pyright: ignore[reportPrivateUsage]
        plan = connection.execute(
            f"EXPLAIN {statement.text.replace('$1', '%s').replace('$2', '%s')}".encode(), statement.parameters
        ).fetchall()
        assert "document_idx" in str(plan)
        backend.close()


def test_columns_may_be_called_as_the_statement_calls_its_own(store: VectorStore) -> None:
    columns: dict[str, Any] = dict.fromkeys(["place", "score", "number", "count", "word", "total", "key"], int)
    docs = store.create_collection("docs", dimension=2, text_index=True, language="none", columns=columns)
    numbers = [dict.fromkeys(columns, at) for at in range(20)]
    docs.add(
        ids=[f"{at:02}" for at in range(20)],
        documents=[f"word{at} common" for at in range(20)],
        embeddings=[[1, at] for at in range(20)],
        metadatas=list(numbers),
    )
    for query in ("word3", "word3 common"):
        for where in (None, {"place": {"$lt": 10}, "score": {"$gte": 1}}):
            for mode in ("text", "hybrid"):
                given: dict[str, Any] = {"vector": [1, 2]} if mode == "hybrid" else {}
                hits = docs.search(query, 4, mode=mode, where=where, include_embeddings=True, **given)
                assert hits[0].id == "03"
                assert hits[0].metadata == numbers[3]
                twin = reference(docs).search(query, 4, mode=mode, where=where, **given)
                assert [hit.id for hit in hits] == [hit.id for hit in twin]


def test_deleted_documents_take_no_place_among_the_first(store: VectorStore) -> None:
    """7.2 Their numbers stand in the words' lists until those are cleared; the best scores are of others."""
    docs = store.create_collection("docs", dimension=2, text_index=True, language="none", index="none")
    docs.add(
        ids=[f"{at:02}" for at in range(40)],
        documents=["pear pear pear" if at < 3 else f"pear and word{at}" for at in range(40)],
        embeddings=[[1, at] for at in range(40)],
    )
    docs.delete(["00", "01", "02"])
    assert [hit.id for hit in docs.search("pear", 3, mode="text")] == ["03", "04", "05"]
    assert found(docs, "pear") == pytest.approx(found(reference(docs), "pear"), abs=1e-9)
