"""Tables of an application as collections: the tutorial's and others; only what is asked for changes in them."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import vectorkit as vk
from vectorkit import (
    HNSW,
    BackendPermissionError,
    Collection,
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    DimensionMismatchError,
    DuplicateIdError,
    InvalidArgumentError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidNameError,
    InvalidVectorError,
    IVFFlat,
    MemoryBackend,
    RecordNotFoundError,
    UnsupportedError,
    VectorStore,
    filters,
)
from vectorkit.backend.requests import VectorSearch
from vectorkit.embedders import HashEmbedder
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.search import plan_cache

Connection = psycopg.Connection[Any]

TUTORIAL = """
CREATE TABLE documents (
    id serial PRIMARY KEY,
    title text NOT NULL,
    content text NOT NULL,
    category varchar(50),
    embedding vector(3)
);
INSERT INTO documents (title, content, category, embedding) VALUES
    ('Networks', 'Networks learn by gradient descent.', 'ml', '[1,0,0]'),
    ('Bread', 'Bread needs yeast.', 'food', '[0,1,0]'),
    ('Trees', 'Trees split on features.', 'ml', '[1,1,0]'),
    ('Draft', 'Not embedded yet.', 'ml', NULL),
    ('Nothing', '', NULL, '[0,0,1]');
"""


@pytest.fixture
def application(admin: Connection, schema: str) -> Connection:
    """The application's connection, in a schema of its own."""
    admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
    admin.execute(sql.SQL("CREATE SCHEMA {0}; SET search_path TO {0}, public").format(sql.Identifier(schema)))
    return admin


@pytest.fixture
def tutorial(application: Connection, backend: PgVectorBackend, schema: str) -> Collection:
    """The tutorial's table, adopted."""
    application.execute(TUTORIAL)
    backend.adopt(
        "articles",
        table=f"{schema}.documents",
        id="id",
        document="content",
        embedding="embedding",
        columns=["title", "category"],
    )
    return VectorStore(backend).get_collection("articles")


def adopt(backend: PgVectorBackend, schema: str, **changed: Any) -> Collection:
    """A table `items` with the columns `id` and `vec`, adopted."""
    arguments: dict[str, Any] = {"table": f"{schema}.items", "id": "id", "embedding": "vec", "metric": "l2", **changed}
    return VectorStore(backend).get_collection(backend.adopt(**arguments).name)


def ids(records: Any) -> list[str]:
    return [record.id for record in records]


def structure(application: Connection, table: str) -> list[tuple[Any, ...]]:
    """Columns, constraints and indexes of a table."""
    return application.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
        "WHERE attrelid = %(t)s::regclass "
        "UNION ALL SELECT conname, pg_get_constraintdef(oid), NULL FROM pg_constraint WHERE conrelid = %(t)s::regclass "
        "UNION ALL SELECT indexdef, NULL, NULL FROM pg_indexes WHERE indexname IN (SELECT relname FROM pg_index "
        "JOIN pg_class ON oid = indexrelid WHERE indrelid = %(t)s::regclass) ORDER BY 1",
        {"t": table},
    ).fetchall()


# --- reading ----------------------------------------------------------------------------------------------------


def test_the_tutorials_table_is_read_searched_and_filtered(tutorial: Collection) -> None:
    """2.5 Columns are the metadata, NULL is None; a row without an embedding is no record."""
    assert tutorial.info().dimension == 3
    assert tutorial.count() == 4
    (first,) = tutorial.get(["1"], include_embeddings=True)
    assert (first.document, first.metadata) == (
        "Networks learn by gradient descent.", {"title": "Networks", "category": "ml"}
    )  # fmt: skip
    assert first.embedding is not None
    assert np.array_equal(first.embedding, [1, 0, 0])
    assert tutorial.get(["5"])[0].metadata == {"title": "Nothing", "category": None}
    assert ids(tutorial.get(["4", "3", "03", "x", "1", "99999999999999999999"])) == ["3", "1"]
    hits = tutorial.search([1, 0.1, 0], 10)
    assert ids(hits) == ["1", "3", "2", "5"]
    assert [hit.metadata["title"] for hit in hits] == ["Networks", "Trees", "Bread", "Nothing"]
    assert ids(tutorial.search([0, 1, 0], where={"category": "ml"})) == ["3", "1"]
    assert ids(tutorial.get(where={"title": {"$gte": "N", "$lt": "O"}})) == ["1", "5"]
    assert ids(tutorial.get(where={"category": {"$ne": "ml"}})) == ["2", "5"]
    assert ids(tutorial.get(where={"category": {"$exists": True}})) == ["1", "2", "3", "5"]
    assert ids(tutorial.get(where_document={"$contains": "gradient"})) == ["1"]


def test_what_the_application_writes_is_there_at_once(tutorial: Collection, application: Connection) -> None:
    application.execute("UPDATE documents SET embedding = '[0,0,2]', category = 'new' WHERE id = 4")
    application.execute("DELETE FROM documents WHERE id = 1")
    assert ids(tutorial.get()) == ["2", "3", "4", "5"]
    assert ids(tutorial.search([0, 0, 1], 2, where={"category": "new"})) == ["4"]


def test_ids_of_numbers_are_in_the_order_of_text(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    """4.1 And ties in a search are too: the record's id is a str, on every store."""
    application.execute("CREATE TABLE items (id bigint PRIMARY KEY, vec vector(1))")
    application.execute("INSERT INTO items SELECT n, '[1]' FROM generate_series(-2, 30) AS n")
    docs = adopt(backend, schema)
    expected = sorted(str(number) for number in range(-2, 31))
    assert ids(docs.get()) == expected
    assert ids(docs.scan(batch_size=7)) == expected
    assert ids(docs.get(limit=3, offset=5)) == expected[5:8]
    assert ids(docs.search([1], 40)) == expected
    assert ids(docs.search([1], 4)) == expected[:4]


@pytest.mark.parametrize(
    ("kind", "stored", "asked"),
    [
        ("text", ["A", "a", "é", "e\u0301", "10", "9", " "], ["a", "A ", "9", " "]),
        ("varchar(40)", ["A", "a", "10", "9"], ["a", "9", "x" * 50]),
        (
            "uuid",
            ["0e0f0a00-0000-4000-8000-000000000000", "a0000000-0000-4000-8000-00000000000f"],
            ["A0000000-0000-4000-8000-00000000000F", "a0000000-0000-4000-8000-00000000000f", "no", "a"],
        ),
        ("smallint", ["-1", "0", "1", "32767"], ["1", "+1", "1.0", "32768", "-0", "٣", "32767"]),
    ],
)
def test_ids_of_any_type_are_compared_as_text(
    application: Connection, backend: PgVectorBackend, schema: str, kind: str, stored: list[str], asked: list[str]
) -> None:
    """2.1 By code point; another spelling of a value is another id."""
    application.execute(f"CREATE TABLE items (id {kind} PRIMARY KEY, vec vector(1))".encode())
    docs = adopt(backend, schema)
    docs.add(ids=stored, embeddings=[[number] for number in range(len(stored))])
    assert ids(docs.get()) == sorted(stored)
    expected = [id for id in asked if id in stored]
    assert ids(docs.get(asked)) == expected
    with pytest.raises(RecordNotFoundError):
        docs.update(ids=["another" if kind[0] in "tv" else "5"], embeddings=[[1]])
    assert docs.delete(asked) == len(expected)
    assert ids(docs.get()) == sorted(set(stored) - set(asked))


TYPES = """
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE items (
    id int PRIMARY KEY, vec vector(1), small smallint, whole int, large bigint, "exact" numeric, money numeric(10,2),
    "single" real, double double precision, yes boolean, words text, short varchar(10), fixed char(4), key uuid,
    day date, moment timestamp, instant timestamptz, feeling mood, tree jsonb, leaf json, tags text[], numbers int[],
    "of ""it's" int
);
INSERT INTO items (id, vec, small, whole, large, "exact", money, "single", double, yes, words, short, fixed, key, day,
    moment, instant, feeling, tree, leaf, tags, numbers, "of ""it's") VALUES
(1, '[1]', 1, 1, 9007199254740993, 1, 1, 1, 1, true, 'a', 'a', 'a', 'a0000000-0000-4000-8000-00000000000f',
    '2024-02-29', '2024-02-29 10:00', '2024-02-29 10:00+02', 'sad', '{"k": [1, null]}', '"a"', '{a,NULL}', '{1,2}', 1),
(2, '[2]', -1, 2, -9223372036854775808, 1.50, 2.50, 0.1, 0.1, false, 'B', 'B', 'ab  ',
    '0e0f0a00-0000-4000-8000-000000000000', '0001-01-01', '2024-02-29 10:00:00.5', '2024-02-29 08:00:00.25Z', 'happy',
    '1', '[]', '{}', '{}', 2),
(3, '[3]', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL),
(4, '[4]', 0, 0, 0, 'NaN', 0, 'NaN', 'NaN', true, '', '', '', NULL, 'infinity', 'infinity', 'infinity', NULL, 'null',
    'null', '{""}', '{0}', 0),
(5, '[5]', 2, 3, 4, 'Infinity', 5, '-Infinity', '-Infinity', false, 'é', '2024', 'b', NULL, '10000-01-01',
    '10000-01-01', '10000-01-01 00:00Z', NULL, '{}', '{}', '{2024}', '{3}', 3),
(6, '[6]', 3, 4, 5, 1e20, 6, 1e20, 1e300, true, '2024-02-29', 'z', 'c', NULL, '9999-12-31',
    '9999-12-31 23:59:59.999999', '0001-01-01 00:00Z', NULL, '"2024"', 'true', '{x}', '{9}', 4);
"""
COLUMNS = [
    "small", "whole", "large", "exact", "money", "single", "double", "yes", "words", "short", "fixed", "key", "day",
    "moment", "instant", "feeling", "tree", "leaf", "tags", "numbers", 'of "it\'s',
]  # fmt: skip


@pytest.fixture
def typed(application: Connection, backend: PgVectorBackend, schema: str) -> Collection:
    """A table with a column of each type, adopted."""
    application.execute(TYPES)
    return adopt(backend, schema, columns=COLUMNS)


def test_columns_of_every_type_read_as_json(typed: Collection) -> None:
    """2.5 Numbers as numbers, a float stays one; times as ISO strings, in UTC where they have a zone."""
    one, two, three, four, five, six = (record.metadata for record in typed.get())
    assert one == {
        "small": 1, "whole": 1, "large": 2**53 + 1, "exact": 1, "money": 1.0, "single": 1.0, "double": 1.0, "yes": True,
        "words": "a", "short": "a", "fixed": "a   ", "key": "a0000000-0000-4000-8000-00000000000f", "day": "2024-02-29",
        "moment": "2024-02-29T10:00:00", "instant": "2024-02-29T08:00:00+00:00", "feeling": "sad",
        "tree": {"k": [1, None]}, "leaf": "a", "tags": ["a", None], "numbers": [1, 2], 'of "it\'s': 1,
    }  # fmt: skip
    assert {name: type(one[name]) for name in ("exact", "money", "single", "double")} == {
        "exact": int, "money": float, "single": float, "double": float
    }  # fmt: skip
    assert (two["single"], two["double"], two["exact"]) == (0.1, 0.1, 1.5)
    assert (two["moment"], two["instant"]) == ("2024-02-29T10:00:00.5", "2024-02-29T08:00:00.25+00:00")
    assert set(three.values()) == {None}
    assert [four[name] for name in ("exact", "single", "double", "day", "moment", "instant", "tree")] == [None] * 7
    assert [five[name] for name in ("exact", "single", "double", "day", "moment", "instant")] == [None] * 6
    assert (six["exact"], six["double"], six["day"]) == (10**20, 1e300, "9999-12-31")


def test_filters_on_columns_of_every_type_equal_the_reference(typed: Collection) -> None:
    """5.4 5.5 With every value as an operand, on every column, whatever its index could say."""
    records = typed.get(include_embeddings=True)
    memory = VectorStore(MemoryBackend()).create_collection("docs", dimension=1, metric="l2")
    memory.add(
        ids=ids(records),
        metadatas=[
            {key: value for key, value in record.metadata.items() if key != "exact" or value != 10**20}
            for record in records
        ],
        embeddings=[record.embedding for record in records],
    )
    stored = {value for record in records for value in record.metadata.values() if isinstance(value, str | int | float)}
    operands: list[Any] = [
        *sorted(stored, key=repr),
        None, 1.0, 0.5, True, 2**53, 2**53 + 1.0, 2**63, -(2**63) - 1, 10**400, 1e19, 0.1, "2024", "10000",
        "2024-02-29", "2024-02-29T10:00:00.50", "2024-02-29T08:00:00", "2024-02-29T08:00:00Z",
        "A0000000-0000-4000-8000-00000000000F",
        "0000-00-00", "a ", "a   ", "b   ", "infinity", "NaN", "Infinity", "1",
    ]  # fmt: skip
    for column in COLUMNS:
        keys: list[dict[str, Any]] = [
            {column: {"$exists": True}},
            {column: {"$in": operands}},
            {column: {"$nin": operands[::3]}},
        ]
        for operand in operands:
            keys += [{column: operand}, {column: {"$contains": operand}}]
            if operand is not None and not isinstance(operand, bool):
                keys += [{column: {name: operand}} for name in ("$gt", "$gte", "$lt", "$lte")]
        for where in keys:
            if column == "exact":  # one number of 20 digits is beyond what can be written through the reference
                where = {"$and": [where, {"small": {"$ne": 3}}]}
            for tree in (where, {"$not": where}):
                assert ids(typed.get(where=tree)) == ids(memory.get(where=tree)), tree


@pytest.mark.parametrize(
    ("column", "where"),
    [
        ("whole", {"whole": {"$gte": 4990.0}}),
        ("whole", {"whole": {"$in": [7, 8]}}),
        ("name", {"name": "n00007"}),
        ("name_c", {"name_c": {"$lt": "n00010"}}),
        ("day", {"day": {"$gte": "2037-09-01"}}),
        ("moment", {"moment": {"$lt": "2024-01-10T00:00:00+00:00"}}),
        ("price", {"price": {"$lt": 1.5}}),
        ("key", {"key": "00000000-0000-0000-0000-000000000007"}),
    ],
)
def test_filters_use_the_applications_indexes(
    application: Connection, backend: PgVectorBackend, schema: str, column: str, where: dict[str, Any]
) -> None:
    """6.7 And reading by id uses the primary key, of whatever type it is."""
    application.execute(
        'CREATE TABLE items (id int PRIMARY KEY, vec vector(1), whole int, name text, name_c text COLLATE "C", '
        "day date, moment timestamptz, price numeric, key uuid)"
    )
    application.execute(
        "INSERT INTO items SELECT n, '[1]', n, 'n' || to_char(n, 'FM00000'), 'n' || to_char(n, 'FM00000'), "
        "DATE '2024-01-01' + n, timestamptz '2024-01-01 00:00Z' + n * interval '1 day', n / 8.0, "
        "('00000000-0000-0000-0000-' || to_char(n, 'FM000000000000'))::uuid FROM generate_series(0, 4999) AS n"
    )
    application.execute(f"CREATE INDEX ON items ({column})".encode())
    application.execute("ANALYZE items")
    docs = adopt(backend, schema, columns=["whole", "name", "name_c", "day", "moment", "price", "key"])
    explanation = docs.explain([1], 10, where=where)
    assert f"items_{column}_idx" in explanation.plan, explanation
    assert explanation.rows_scanned < 100
    assert 0 < len(docs.search([1], 10, where=where)) <= 10


def test_an_index_for_the_order_of_text_makes_pages_quick(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    """4.3 The one that the guide names."""
    application.execute("CREATE TABLE items (id int PRIMARY KEY, vec vector(1))")
    application.execute("INSERT INTO items SELECT n, '[1]' FROM generate_series(1, 5000) AS n")
    application.execute('CREATE INDEX ordered ON items ((id::text) COLLATE "C")')
    application.execute("ANALYZE items")
    docs = adopt(backend, schema)
    application.execute("SELECT pg_stat_force_next_flush()")
    assert ids(docs.scan(batch_size=1000)) == sorted(str(number) for number in range(1, 5001))
    plan = application.execute(
        'EXPLAIN SELECT id FROM items WHERE id::text COLLATE "C" > \'1\' ORDER BY id::text COLLATE "C" LIMIT 9'
    )
    assert "ordered" in "\n".join(line for (line,) in plan)


def test_the_guides_lines_run(application: Connection, schema: str, postgres_url: str, capsys: Any) -> None:
    """Word for word, on the table that the guide describes."""
    guide = Path(__file__).parents[2] / "docs" / "guides" / "existing-tables.md"
    section = guide.read_text(encoding="utf-8")
    (table,) = re.findall(r"`(documents \(.*?)`", section)
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (index,) = re.findall(r"`(CREATE INDEX .*?)`", section)
    application.execute(f"CREATE TABLE {table}".encode())
    embedder = HashEmbedder(384)
    for title, category, content in (("Nets", "ml", "How networks learn"), ("Bread", "food", "How networks learn?")):
        application.execute(
            "INSERT INTO documents (title, category, content, embedding) VALUES (%s, %s, %s, %s::vector)",
            [title, category, content, str(embedder.embed_documents([content])[0].tolist())],
        )
    application.execute(index.encode())
    url = make_conninfo(postgres_url, options=f"-c search_path={schema},public")
    names: dict[str, Any] = {"vk": vk, "url": url, "embedder": embedder}
    names["PgVectorBackend"] = partial(PgVectorBackend, schema=schema)
    try:
        exec(compile(code, guide.name, "exec"), names)
    finally:
        names["backend"].close()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1 ")
    assert line.endswith("Nets How networks learn")


# --- indexes ----------------------------------------------------------------------------------------------------


def filled(application: Connection, kind: str = "vector(64)") -> np.ndarray[Any, Any]:
    """A table of 3,000 rows and their vectors."""
    vectors = np.random.default_rng(3).normal(size=(3000, 64)).astype(np.float32)
    application.execute(f"CREATE TABLE items (id int PRIMARY KEY, vec {kind}, even boolean, other vector(64))".encode())
    with application.cursor().copy("COPY items (id, vec, even, other) FROM STDIN") as copy:
        for number, vector in enumerate(vectors):
            copy.write_row((number, str(vector.tolist()), number % 2 == 0, str(vector[::-1].tolist())))
    return vectors


@pytest.mark.parametrize(("kind", "operators"), [("vector(64)", "vector"), ("halfvec(64)", "halfvec")])
def test_an_index_that_the_application_has_is_used(
    application: Connection, backend: PgVectorBackend, schema: str, kind: str, operators: str
) -> None:
    """6.1 With a filter on another column too; its settings are the collection's."""
    vectors = filled(application, kind)
    application.execute(f"CREATE INDEX mine ON items USING hnsw (vec {operators}_l2_ops) WITH (m = 12)".encode())
    docs = adopt(backend, schema, columns=["even"])
    assert docs.info().spec.index == HNSW(
        m=12, ef_construction=64, quantization="half" if operators == "halfvec" else None
    )
    explanation = docs.explain(vectors[5], 10)
    assert (explanation.index, explanation.exact) == (f'"{schema}".mine'.rpartition(".")[2], False), explanation
    assert ids(docs.search(vectors[5], 1)) == ["5"]
    assert docs.search(vectors[5], 1)[0].distance == pytest.approx(0, abs=0.01)
    found = docs.search(vectors[7], 50, where={"even": True}, exact=False)
    assert len(found) == 50
    assert all(hit.metadata == {"even": True} for hit in found)


def test_only_the_index_of_this_column_and_metric_is_made_and_dropped(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    filled(application)
    application.execute("CREATE INDEX another ON items USING hnsw (other vector_l2_ops)")
    application.execute("CREATE INDEX cosine ON items USING hnsw (vec vector_cosine_ops)")
    docs = adopt(backend, schema)
    before = structure(application, "items")
    assert docs.info().spec.index is None
    docs.create_index(HNSW(m=8, ef_construction=32))
    assert docs.explain(np.ones(64), 10, exact=False).index is not None
    assert len(structure(application, "items")) == len(before) + 1
    docs.create_index(IVFFlat(lists=4))
    assert len(structure(application, "items")) == len(before) + 1
    docs.drop_index()
    assert structure(application, "items") == before


@pytest.mark.parametrize("quantization", [None, "half", "binary"])
def test_any_index_can_be_asked_for_on_a_halfvec(
    application: Connection, backend: PgVectorBackend, schema: str, postgres_url: str, quantization: Any
) -> None:
    vectors = filled(application, "halfvec(64)")
    adopt(backend, schema, metric="cosine").create_index(HNSW(quantization=quantization))
    # So that the server uses what it can use, though the table is small.
    url = make_conninfo(postgres_url, options="-c enable_seqscan=off")
    with VectorStore(PgVectorBackend(url, schema=schema)) as store:
        docs = store.get_collection("items")
        assert docs.info().spec.index == HNSW(quantization=quantization or "half")
        assert docs.explain(vectors[9], 3).index is not None
        assert ids(docs.search(vectors[9], 3))[0] == "9"


def test_ivfflat_on_few_rows_is_refused(tutorial: Collection) -> None:
    with pytest.raises(UnsupportedError, match="centres"):
        tutorial.create_index("ivfflat")
    tutorial.create_index("hnsw")
    assert ids(tutorial.search([1, 0.1, 0], 2)) == ["1", "3"]


def test_writes_build_no_index_that_was_not_asked_for(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    filled(application)
    application.execute("CREATE INDEX mine ON items USING hnsw (vec vector_l2_ops)")
    docs = adopt(backend, schema)
    application.execute("DROP INDEX mine")
    before = structure(application, "items")
    docs.add(ids=["9000"], embeddings=[[1] * 64])
    assert structure(application, "items") == before
    assert len(docs.search([1] * 64, 5)) == 5


# --- writing ----------------------------------------------------------------------------------------------------


def test_the_tutorials_table_is_written_through_its_columns(tutorial: Collection, application: Connection) -> None:
    """3.3 3.4 A column left out is NULL or its default afterwards; with merge=True it stays."""
    tutorial.add(ids=["10"], documents=["New."], metadatas=[{"title": "New", "category": "x"}], embeddings=[[1, 2, 3]])
    tutorial.upsert(
        ids=["10", "4", "11"],
        documents=["Newer.", "Embedded now.", "Newest."],
        metadatas=[{"title": "Newer"}, {"title": "Draft", "category": "ml"}, {"title": "Newest", "category": None}],
        embeddings=[[3, 2, 1], [1, 1, 1], [0, 0, 9]],
    )
    tutorial.update(ids=["1", "2"], metadatas=[{"category": "a"}, {"title": "Rye"}], merge=True)
    tutorial.update(ids=["3"], metadatas=[{"title": "Forests"}], documents=["Forests vote."], embeddings=[[2, 2, 0]])
    select = "SELECT id, title, content, category, embedding::text FROM documents ORDER BY id"
    assert application.execute(select).fetchall() == [
        (1, "Networks", "Networks learn by gradient descent.", "a", "[1,0,0]"),
        (2, "Rye", "Bread needs yeast.", "food", "[0,1,0]"),
        (3, "Forests", "Forests vote.", None, "[2,2,0]"),
        (4, "Draft", "Embedded now.", "ml", "[1,1,1]"),
        (5, "Nothing", "", None, "[0,0,1]"),
        (10, "Newer", "Newer.", None, "[3,2,1]"),
        (11, "Newest", "Newest.", None, "[0,0,9]"),
    ]  # fmt: skip
    assert tutorial.delete(["1", "99", "01"]) == 1
    assert tutorial.delete(where={"category": {"$in": ["ml", "food"]}}) == 2
    assert application.execute("SELECT id FROM documents ORDER BY id").fetchall() == [(3,), (5,), (10,), (11,)]


def test_the_sequence_of_the_ids_is_brought_forward(tutorial: Collection, application: Connection) -> None:
    """Else the application's next INSERT would meet an id that is taken."""
    arguments: dict[str, Any] = {"documents": ["x"], "metadatas": [{"title": "x"}], "embeddings": [[1, 0, 0]]}
    insert = "INSERT INTO documents (title, content) VALUES ('t', 'c') RETURNING id"
    tutorial.add(ids=["6"], **arguments)
    assert application.execute(insert).fetchone() == (7,)
    tutorial.upsert(ids=["20"], **arguments)
    tutorial.upsert(ids=["8"], **arguments)
    assert application.execute(insert).fetchone() == (21,)


def test_a_record_that_was_read_can_be_written_back(typed: Collection) -> None:
    """2.5 Whatever the types of its columns."""
    records = typed.get(include_embeddings=True)
    typed.upsert(records=[record for record in records if record.id != "6"])
    assert typed.get() == records


def test_values_that_a_column_would_change_are_refused(typed: Collection) -> None:
    """9.2 Rounded, cut, padded, of another zone or type: nothing is written, and the message says which."""
    before = typed.get()
    refused: list[tuple[str, Any, str]] = [
        ("small", 1.0, "an int"), ("small", True, "an int"), ("small", 40_000, "out of range"),
        ("whole", "1", "an int"),
        ("money", 1.005, "keeps 1.0"), ("single", 0.123456789, "keeps 0.123"), ("double", 2**53 + 1, "keeps"),
        ("yes", 1, "a bool"), ("words", 5, "a str"), ("short", "x" * 11, "too long"), ("fixed", "ab", "keeps 'ab  '"),
        ("key", "A0000000-0000-4000-8000-00000000000F", "keeps 'a0"), ("key", "none", "uuid"),
        ("day", "2023-02-29", "date"), ("day", "2024-2-9", "keeps '2024-02-09'"),
        ("moment", "2024-02-29 10:00:00", "keeps '2024-02-29T10:00:00'"),
        ("instant", "2024-02-29T10:00:00+02:00", "keeps '2024-02-29T08:00:00[+]00:00'"), ("feeling", "bored", "mood"),
        ("tags", "a", "a list"), ("numbers", ["a"], "integer"), ("numbers", [[1], [2]], "integer"),
        ("other", 1, "without"),
    ]  # fmt: skip
    for key, value, message in refused:
        metadatas: list[Any] = [{}, {key: value}]
        writes: list[Callable[[], object]] = [
            partial(typed.add, ids=["7", "8"], metadatas=metadatas, embeddings=[[1], [2]]),
            partial(typed.upsert, ids=["7", "1"], metadatas=metadatas, embeddings=[[1], [2]]),
            partial(typed.update, ids=["2", "1"], metadatas=metadatas),
        ]
        for write in writes:
            with pytest.raises(InvalidArgumentError, match=message) as raised:
                write()
            assert isinstance(raised.value, InvalidMetadataError) or raised.value.__cause__ is not None
    assert typed.get() == before


def test_values_that_the_columns_keep_are_written(typed: Collection) -> None:
    metadata: dict[str, Any] = {
        "small": 5, "whole": -5, "large": 2**63 - 1, "exact": 0.1, "money": 12.5, "single": 0.1, "double": 1e-300,
        "yes": False, "words": "x" * 5000, "short": "日本語", "fixed": "abcd",
        "key": "a0000000-0000-4000-8000-00000000000e", "day": "1999-12-31", "moment": "1999-12-31T23:59:59.123456",
        "instant": "1999-12-31T23:59:59+00:00", "feeling": "happy", "tree": {"a": [1, 2.5, None]}, "leaf": [1],
        "tags": ["a", None, 'q"uote'], "numbers": [1, 2, 3], 'of "it\'s': 7,
    }  # fmt: skip
    typed.add(ids=["7"], metadatas=[metadata], embeddings=[[1]])
    typed.upsert(ids=["1"], metadatas=[metadata], embeddings=[[1]])
    typed.update(ids=["2"], metadatas=[metadata])
    assert [record.metadata for record in typed.get(["7", "1", "2"])] == [metadata] * 3
    typed.update(ids=["7"], metadatas=[{}])
    assert set(typed.get(["7"])[0].metadata.values()) == {None}


def test_what_stands_in_the_way_of_a_write_is_named(tutorial: Collection, application: Connection) -> None:
    """8.3 A column that takes no NULL: given, asked for, or unknown to the collection."""
    title: dict[str, Any] = {"title": "x"}
    with pytest.raises(InvalidMetadataError, match=r"'title' .* NOT NULL .* give 'title' in the metadata"):
        tutorial.add(ids=["9"], documents=["x"], embeddings=[[1, 0, 0]])
    with pytest.raises(InvalidArgumentError, match=r"'content' .* give a document"):
        tutorial.add(ids=["9"], metadatas=[title], embeddings=[[1, 0, 0]])
    application.execute("ALTER TABLE documents ADD owner text NOT NULL DEFAULT 'x'")
    application.execute("ALTER TABLE documents ALTER owner DROP DEFAULT")
    with pytest.raises(UnsupportedError, match=r"'owner' .* is none of those adopted"):
        tutorial.add(ids=["9"], documents=["x"], metadatas=[title], embeddings=[[1, 0, 0]])
    tutorial.upsert(ids=["1"], documents=["x"], metadatas=[title], embeddings=[[1, 0, 0]])  # which has an owner
    assert tutorial.count() == 4


def test_ids_that_cannot_be_new_are_refused(tutorial: Collection) -> None:
    arguments: dict[str, Any] = {"documents": ["x"], "metadatas": [{"title": "x"}], "embeddings": [[1, 0, 0]]}
    for write in (tutorial.add, tutorial.upsert):
        for id in ("a", "01", "1.0", "3000000000", " 1"):
            with pytest.raises(InvalidIdError, match="integer"):
                write(ids=[id], **arguments)
    with pytest.raises(InvalidIdError, match="give ids="):
        tutorial.add(**arguments)
    with pytest.raises(DuplicateIdError, match="'1'"):
        tutorial.add(ids=["1"], **arguments)
    with pytest.raises(DuplicateIdError, match="4"):  # a row without an embedding has it
        tutorial.add(ids=["4"], **arguments)
    assert tutorial.count() == 4


def test_ids_that_the_server_makes_are_not_given(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    """GENERATED ALWAYS: rows that there are can be replaced, new ones come from the application."""
    application.execute("CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, vec vector(1))")
    application.execute("INSERT INTO items (vec) VALUES ('[1]')")
    docs = adopt(backend, schema)
    docs.upsert(ids=["1"], embeddings=[[5]])
    docs.update(ids=["1"], embeddings=[[6]])
    for write in (docs.add, docs.upsert):
        with pytest.raises(UnsupportedError, match=r"GENERATED ALWAYS, .* SET GENERATED BY DEFAULT"):
            write(ids=["2"], embeddings=[[1]])
    assert application.execute("SELECT id, vec::text FROM items").fetchall() == [(1, "[6]")]


def test_constraints_of_the_application_hold(application: Connection, backend: PgVectorBackend, schema: str) -> None:
    """8.2 Another unique column, a check, a foreign key: the store's error, and not one about ids."""
    application.execute("CREATE TABLE owners (id int PRIMARY KEY)")
    application.execute(
        "CREATE TABLE items (id text UNIQUE, vec vector(1), slug text UNIQUE, size int CHECK (size > 0), "
        "owner int REFERENCES owners)"
    )
    docs = adopt(backend, schema, columns=["slug", "size", "owner"])
    docs.add(ids=["a"], metadatas=[{"slug": "s"}], embeddings=[[1]])
    for metadata in ({"slug": "s"}, {"size": 0}, {"owner": 7}):
        for write in (docs.add, docs.upsert):
            with pytest.raises(Exception, match="SQLSTATE 23") as raised:
                write(ids=["b", "c"], metadatas=[{}, metadata], embeddings=[[1], [1]])
            assert type(raised.value).__name__ == "BackendError"
    assert ids(docs.get()) == ["a"]


@pytest.mark.parametrize("kind", ["jsonb", "json", "jsonb NOT NULL DEFAULT '{}'"])
def test_metadata_in_a_column_is_read_and_written(
    application: Connection, backend: PgVectorBackend, schema: str, kind: str
) -> None:
    """2.5 NULL is {}; types are kept; merging keeps the rest."""
    application.execute(f"CREATE TABLE items (id text PRIMARY KEY, vec vector(1), meta {kind})".encode())
    application.execute("INSERT INTO items (id, vec) VALUES ('none', '[1]')")
    docs = adopt(backend, schema, metadata="meta")
    metadata: dict[str, Any] = {"n": 1, "f": 1.0, "big": 1e16, "l": [1, None, {"a": "b"}], "b": True, "no": None}
    docs.add(ids=["a"], metadatas=[metadata], embeddings=[[2]])
    docs.upsert(ids=["b"], metadatas=[metadata], embeddings=[[3]])
    docs.update(ids=["b", "none"], metadatas=[{"n": 2}, {"n": 3}], merge=True)
    assert docs.get(["none", "a", "b"])[0].metadata == {"n": 3}
    assert docs.get(["a"])[0].metadata == metadata
    assert [type(value) for value in docs.get(["a"])[0].metadata.values()] == [
        type(docs.get(["a"])[0].metadata[key]) for key in docs.get(["a"])[0].metadata
    ]
    assert docs.get(["b"])[0].metadata == {**metadata, "n": 2}
    assert ids(docs.get(where={"n": {"$gte": 2}})) == ["b", "none"]
    assert ids(docs.get(where={"l": {"$contains": 1}})) == ["a", "b"]


def test_a_halfvec_keeps_eleven_bits(application: Connection, backend: PgVectorBackend, schema: str) -> None:
    application.execute("CREATE TABLE items (id int PRIMARY KEY, vec halfvec(2))")
    docs = adopt(backend, schema)
    docs.add(ids=["1"], embeddings=[[0.1, 1]])
    docs.upsert(ids=["1", "2"], embeddings=[[0.3, 1], [5, 5]])
    (read,) = docs.get(["1"], include_embeddings=True)
    assert read.embedding is not None
    assert isinstance(read.embedding, np.ndarray)
    assert read.embedding.dtype == np.float32
    assert np.allclose(read.embedding, [0.3, 1], rtol=2**-11)
    assert ids(docs.search([0.3, 1])) == ["1", "2"]
    with pytest.raises(InvalidArgumentError, match="out of range"):
        docs.add(ids=["3"], embeddings=[[1e6, 0]])


def test_a_table_without_a_column_for_them_takes_no_documents(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    application.execute("CREATE TABLE items (id int PRIMARY KEY, vec vector(1))")
    docs = adopt(backend, schema)
    docs.add(ids=["1"], embeddings=[[1]])
    assert docs.get()[0].document is None
    for write in (docs.add, docs.upsert):
        with pytest.raises(UnsupportedError, match="without a column for documents"):
            write(ids=["2"], documents=["x"], embeddings=[[1]])
        with pytest.raises(InvalidMetadataError, match="without a column of that name"):
            write(ids=["2"], metadatas=[{"x": 1}], embeddings=[[1]])
    assert docs.count() == 1


def test_rows_inserted_by_another_at_the_same_moment_are_replaced(
    application: Connection, backend: PgVectorBackend, schema: str, postgres_url: str
) -> None:
    """3.3 As `upsert` does anywhere; the other transaction has not committed when it looks."""
    application.execute("CREATE TABLE items (id int PRIMARY KEY, vec vector(1))")
    docs = adopt(backend, schema)
    with psycopg.connect(postgres_url) as other:
        other.execute(sql.SQL("INSERT INTO {}.items VALUES (1, '[1]')").format(sql.Identifier(schema)))
        writer = threading.Thread(target=lambda: docs.upsert(ids=["1", "2"], embeddings=[[7], [8]]))
        writer.start()
        while not application.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall():
            time.sleep(0.01)
        other.commit()
        writer.join()
    assert application.execute("SELECT id, vec::text FROM items ORDER BY id").fetchall() == [(1, "[7]"), (2, "[8]")]


# --- adopting ---------------------------------------------------------------------------------------------------


def test_nothing_changes_in_the_table_until_it_is_written(
    tutorial: Collection, backend: PgVectorBackend, application: Connection
) -> None:
    """Dropping the collection leaves it alone, and it can be adopted again."""
    before = structure(application, "documents")
    store = VectorStore(backend)
    store.drop_collection("articles")
    assert structure(application, "documents") == before
    assert application.execute("SELECT count(*) FROM documents").fetchone() == (5,)
    calls: list[Callable[[], object]] = [
        tutorial.get, tutorial.count, lambda: tutorial.search([1, 0, 0]), lambda: tutorial.delete(["1"]),
        lambda: tutorial.upsert(ids=["1"], embeddings=[[1, 0, 0]]), lambda: list(tutorial.scan()), tutorial.drop_index,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(CollectionNotFoundError):
            call()
    table = tutorial.info().location
    assert (
        backend.adopt("articles", table=table, id="id", embedding="embedding").generation != tutorial.info().generation
    )
    with pytest.raises(CollectionNotFoundError):
        tutorial.count()
    assert application.execute("SELECT count(*) FROM documents").fetchone() == (5,)


def test_the_registry_names_the_table(tutorial: Collection, application: Connection, schema: str) -> None:
    rows = application.execute("SELECT name, table_name, adopted ->> 'schema' FROM vectorkit_collections").fetchall()
    assert rows == [("articles", "documents", schema)]
    assert tutorial.info().location == f'"{schema}"."documents"'


def test_a_table_can_be_several_collections(
    tutorial: Collection, backend: PgVectorBackend, application: Connection, schema: str
) -> None:
    """1.5 Under other metrics, or of other columns; each has its own handle. The name is the table's by default."""
    application.execute("ALTER TABLE documents ADD UNIQUE (title)")
    table = tutorial.info().location
    info = backend.adopt(table=table, id="title", document="category", embedding="embedding", metric="dot")
    assert (info.name, info.metric) == ("documents", "ip")
    store = VectorStore(backend)
    assert ids(store.get_collection("documents").get()) == ["Bread", "Networks", "Nothing", "Trees"]
    assert [info.name for info in store.list_collections()] == ["articles", "documents"]
    with pytest.raises(CollectionExistsError):
        backend.adopt("articles", table=f"{schema}.documents", id="id", embedding="embedding")


def test_text_queries_need_the_embedder_that_made_the_vectors(
    application: Connection, backend: PgVectorBackend, schema: str
) -> None:
    """1.4 Its identity is stored, its dimension compared."""
    application.execute("CREATE TABLE items (id int PRIMARY KEY, body text, vec vector(8))")
    embedder = HashEmbedder(8)
    with pytest.raises(DimensionMismatchError, match=r"9 dimensions.* 8"):
        adopt(backend, schema, embedder=HashEmbedder(9), document="body")
    adopt(backend, schema, embedder=embedder, document="body")
    docs = VectorStore(backend).get_collection("items", embedder=embedder)
    docs.upsert(ids=["1", "2"], documents=["Networks learn.", "Bread needs yeast."])
    assert ids(docs.search("Bread needs yeast.", 1)) == ["2"]
    with pytest.raises(CollectionMismatchError):
        VectorStore(backend).get_collection("items", embedder=HashEmbedder(16))


def test_a_table_in_the_callers_transaction_is_adopted_with_it(
    postgres_url: str, application: Connection, schema: str
) -> None:
    """Tables and vectors commit or roll back together."""
    application.execute(TUTORIAL)
    with psycopg.connect(postgres_url) as connection:
        backend = PgVectorBackend(connection=connection, schema=schema)
        backend.adopt("articles", table=f"{schema}.documents", id="id", embedding="embedding", columns=["title"])
        docs = VectorStore(backend).get_collection("articles")
        docs.update(ids=["1"], metadatas=[{"title": "changed"}])
        with pytest.raises(InvalidMetadataError):
            docs.update(ids=["1"], metadatas=[{"title": 5}])
        assert docs.get(["1"])[0].metadata == {"title": "changed"}
        connection.rollback()
        assert VectorStore(backend).list_collections() == []
    assert application.execute("SELECT title FROM documents WHERE id = 1").fetchone() == ("Networks",)


def test_a_user_who_may_only_read_the_table_reads(
    application: Connection, schema: str, role: str, postgres_url: str
) -> None:
    """8.1 And is told so when writing; one who may not even read cannot adopt it."""
    application.execute(TUTORIAL)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(role), sql.Identifier(role))
        )
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), sql.Identifier(role))
        )
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        backend = PgVectorBackend(connection=connection, schema=role)
        arguments: dict[str, Any] = {"table": f"{schema}.documents", "id": "id", "embedding": "embedding"}
        with pytest.raises(BackendPermissionError):
            backend.adopt(**arguments)
        connection.execute("RESET ROLE")
        connection.execute(
            sql.SQL("GRANT SELECT ON {}.documents TO {}").format(sql.Identifier(schema), sql.Identifier(role))
        )
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        backend.adopt(**arguments)
        docs = VectorStore(backend).get_collection("documents")
        assert ids(docs.search([1, 0, 0], 1)) == ["1"]
        for write in (
            lambda: docs.upsert(ids=["1"], embeddings=[[1, 0, 0]]),
            lambda: docs.delete(["1"]),
            lambda: docs.update(ids=["1"], embeddings=[[1, 0, 0]]),
            lambda: docs.create_index("hnsw"),
        ):
            with pytest.raises(BackendPermissionError):
                write()
        assert docs.count() == 4
        connection.rollback()


BAD = """
CREATE TABLE items (id int PRIMARY KEY, vec vector(2), plain vector, twice int, may int UNIQUE, mixed text UNIQUE,
    bits bit(2), at timestamptz[], money money, size float UNIQUE, doc text, meta jsonb, deferred int
    UNIQUE DEFERRABLE);
CREATE UNIQUE INDEX ON items (twice) WHERE id > 5;
CREATE VIEW seen AS SELECT * FROM items;
CREATE TABLE parts (id int PRIMARY KEY, vec vector(2)) PARTITION BY HASH (id);
INSERT INTO items (id, vec, plain) VALUES (1, '[1,2]', '[1]'), (2, NULL, NULL);
"""


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"table": "nowhere"}, InvalidArgumentError, "there is no table"),
        ({"table": "SCHEMA.nothing"}, InvalidArgumentError, "there is no table"),
        ({"table": "a b c"}, InvalidArgumentError, "there is no table a b c"),
        ({"table": "a.b.c.d"}, InvalidArgumentError, "does not name a table"),
        ({"table": ""}, InvalidArgumentError, "name of a table"),
        ({"table": None}, InvalidArgumentError, "name of a table"),
        ({"table": "SCHEMA.seen"}, UnsupportedError, "a view"),
        ({"table": "SCHEMA.parts"}, UnsupportedError, "partitioned"),
        ({"id": "key"}, InvalidArgumentError, "no column 'key'; it has at, bits"),
        ({"id": "ID"}, InvalidArgumentError, "no column 'ID'"),
        ({"columns": ["doc", "x", "y"]}, InvalidArgumentError, "no column 'x', 'y'"),
        ({"columns": ["ctid"]}, InvalidArgumentError, "no column"),
        ({"id": "twice"}, InvalidArgumentError, "nothing keeps the ids in column 'twice' unique.*ADD UNIQUE"),
        ({"id": "deferred"}, InvalidArgumentError, "nothing keeps the ids"),
        ({"id": "size"}, UnsupportedError, "double precision; ids are smallint"),
        ({"embedding": "plain"}, UnsupportedError, "how long its vectors are.*ALTER TABLE"),
        ({"embedding": "bits"}, UnsupportedError, "embeddings are a vector or a halfvec"),
        ({"document": "meta"}, UnsupportedError, "documents are text"),
        ({"metadata": "doc"}, UnsupportedError, "metadata is json or jsonb"),
        ({"columns": ["money"]}, UnsupportedError, "'money' is money"),
        ({"columns": ["at"]}, UnsupportedError, r"timestamp with time zone\[\]"),
        ({"columns": ["vec"]}, InvalidArgumentError, "two purposes"),
        ({"columns": "doc"}, InvalidArgumentError, "a list of names"),
        ({"columns": ["doc"], "metadata": "meta"}, InvalidArgumentError, "metadata= or columns="),
        ({"columns": [5]}, InvalidMetadataError, "key is a str"),
        ({"metric": "manhattan"}, InvalidArgumentError, "metric"),
        ({"name": "x"}, InvalidNameError, "collection name"),
        ({"embedder": "model"}, InvalidArgumentError, "embedder"),
        ({"embedder": HashEmbedder(8)}, DimensionMismatchError, "8 dimensions"),
    ],
)
def test_a_table_that_cannot_be_a_collection_is_refused(
    application: Connection, backend: PgVectorBackend, schema: str, changed: dict[str, Any], error: Any, message: str
) -> None:
    """8.1 8.3 With what is wrong and what to do; nothing is registered."""
    application.execute(BAD)
    table = changed.get("table", "SCHEMA.items")
    changed["table"] = table.replace("SCHEMA", schema) if table else table
    with pytest.raises(error, match=f"(?s){message}"):
        adopt(backend, schema, **changed)
    assert VectorStore(backend).list_collections() == []


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("('', '[1]', '{}')", InvalidIdError, "1 to 512"),
        ("(repeat('x', 513), '[1]', '{}')", InvalidIdError, "1 to 512"),
        ("('zero', '[0]', '{}')", InvalidVectorError, "row 'zero'.*NULL"),
        ("('large', '[1e16]', '{}')", InvalidVectorError, "row 'large'"),
        ("('list', '[1]', '[]')", InvalidArgumentError, "row 'list' is no JSON object"),
    ],
)
def test_a_row_that_cannot_be_a_record_is_named(
    application: Connection, backend: PgVectorBackend, schema: str, row: str, error: type[Exception], message: str
) -> None:
    """2.1 2.3 2.5 When the table is adopted, of all its rows."""
    application.execute("CREATE TABLE items (id text PRIMARY KEY, vec vector(1), meta jsonb)")
    application.execute(f"INSERT INTO items VALUES ('fine', '[1]', NULL), {row}".encode())
    with pytest.raises(error, match=message):
        adopt(backend, schema, metadata="meta", metric="cosine")
    application.execute("DELETE FROM items WHERE id <> 'fine'")
    assert ids(adopt(backend, schema, metadata="meta", metric="cosine").get()) == ["fine"]


@pytest.mark.parametrize("metadata", ["json", "jsonb"])
def test_a_row_that_cannot_be_a_record_takes_no_part(
    application: Connection, backend: PgVectorBackend, schema: str, metadata: str
) -> None:
    """2.8 In no call, however it searches; it is counted and named, and is a record once it is repaired."""
    application.execute(f"CREATE TABLE items (id text PRIMARY KEY, body text, meta {metadata}, vec vector(2))".encode())
    docs = adopt(backend, schema, document="body", metadata="meta", metric="cosine")
    application.execute(
        "INSERT INTO items VALUES ('a', 'x', '{}', '[1,0]'), ('b', 'zero', '{}', '[0,0]'), "
        "('c', 'a list', '[\"t\"]', '[0,1]'), ('d', 'null', 'null', '[1,1]'), ('e', 'y', NULL, '[0,1]'), "
        "('f', 'tiny', '{}', '[1e-20,0]'), ('g', 'huge', '{}', '[3e38,0]'), ('h', 'a scalar', '1', '[1,0]'), "
        "('i', 'no vector', '{}', NULL), (repeat('j', 600), 'long', '{}', '[1,0]'), ('', 'empty', '{}', '[1,0]')"
    )
    assert ids(docs.get()) == ids(docs.scan()) == ["a", "e"]
    assert [each.metadata for each in docs.get(["a", "b", "c", "d", "e", "h"])] == [{}, {}]
    assert docs.count() == docs.count(where={"x": None}) == 2
    for exact in (None, True, False):
        assert [(hit.id, hit.distance) for hit in docs.search([1, 0], 5, exact=exact)] == [("a", 0.0), ("e", 1.0)]
        assert ids(docs.search([1, 0], 2, exact=exact)) == ["a", "e"]
    assert ids(docs.search([1, 0], 10, min_score=0.5)) == ["a"]
    assert docs.delete(["b", "c", "i"]) == docs.delete(where={"x": None}, ids=["d", "h"]) == 0
    storage = docs.storage()
    assert (storage.left_out, len(storage.left_out_ids)) == (8, 5)
    (finding,) = [each for each in vk.lint(backend).findings if each.code == "left-out"]
    assert (finding.count, finding.rule, finding.severity) == (8, "2.8", "lost")
    application.execute("UPDATE items SET vec = '[0,2]', meta = '{}' WHERE id IN ('b', 'c')")
    assert ids(docs.search([1, 0], 10)) == ["a", "b", "c", "e"]
    docs.upsert(ids=["d"], documents=["now it is"], embeddings=[[1, 0]])
    assert docs.count() == 5


def test_rows_that_are_no_records_do_not_hide_others_from_an_index(
    application: Connection, postgres_url: str, schema: str
) -> None:
    """2.8, 6.1 An index holds them, here nearest to the query, and k records are found all the same."""
    vectors = filled(application, "vector(64)")
    application.execute("ALTER TABLE items ADD COLUMN meta jsonb")
    application.execute("CREATE INDEX mine ON items USING hnsw (vec vector_l2_ops)")
    order = np.argsort(np.linalg.norm(vectors - vectors[5], axis=1), kind="stable")
    # So few rows PostgreSQL would rather read than ask the index.
    with closing(
        PgVectorBackend(make_conninfo(postgres_url, options="-c enable_seqscan=off"), schema=schema)
    ) as backend:
        docs = adopt(backend, schema, metadata="meta")
        application.execute("UPDATE items SET meta = '[]' WHERE id = ANY(%s)", [order[:100].tolist()])
        explanation = docs.explain(vectors[5], 10, exact=False)
        assert explanation.index is not None, explanation
        for exact in (None, True, False):
            found = ids(docs.search(vectors[5], 10, exact=exact))
            assert len(found) == 10
            assert len({str(at) for at in order[100:110]}.intersection(found)) >= (10 if exact else 9)


@pytest.mark.parametrize("type", ["real", "double precision", "double precision[]"])
def test_a_column_of_floats_takes_no_int(
    application: Connection, backend: PgVectorBackend, schema: str, type: str
) -> None:
    """2.5 It would come back as a float."""
    application.execute(f"CREATE TABLE items (id text PRIMARY KEY, price {type}, vec vector(2))".encode())
    docs = adopt(backend, schema, columns=["price"])
    kept, changed = ([1.5], [1.0]) if type.endswith("[]") else (1.0, 1)
    docs.add(ids=["a"], embeddings=[[1, 0]], metadatas=[{"price": kept}])
    for write in (docs.upsert, docs.add, docs.update):
        with pytest.raises(InvalidMetadataError, match=r"the column, .*, keeps .* of "):
            write(ids=["b" if write == docs.add else "a"], embeddings=[[1, 0]], metadatas=[{"price": changed}])
    assert [(each.id, repr(each.metadata)) for each in docs.get()] == [("a", repr({"price": kept}))]


def test_names_are_data(application: Connection, backend: PgVectorBackend, schema: str) -> None:
    """5.12 Of tables and columns: capitals, quotes, format signs, key words."""
    application.execute(
        'CREATE TABLE "My ""Table%s" ("ID" text PRIMARY KEY, "select" vector(1), "do\'c" text, "a.b\\" int, "%s" text, '
        '"embedding" int, "document" text, "place" int, "key" int)'
    )
    keys = ["a.b\\", "%s", "embedding", "document", "place", "key"]
    backend.adopt(
        "docs",
        table=f'{schema}."My ""Table%s"',
        id="ID",
        embedding="select",
        document="do'c",
        columns=keys,
        metric="l2",
    )
    docs = VectorStore(backend).get_collection("docs")
    metadata: dict[str, Any] = {"a.b\\": 1, "%s": "x", "embedding": 2, "document": "y", "place": 3, "key": 4}
    docs.upsert(ids=["'; DROP"], documents=["d"], metadatas=[metadata], embeddings=[[1]])
    docs.upsert(ids=["'; DROP"], documents=["e"], metadatas=[metadata], embeddings=[[1]])
    docs.update(ids=["'; DROP"], metadatas=[{"place": 3}], merge=True)
    docs.create_index("hnsw")
    for key, value in metadata.items():
        for exact in (None, True, False):
            (hit,) = docs.search([1], where={key: {"$gte": value}}, exact=exact)
            assert (hit.id, hit.document, hit.metadata) == ("'; DROP", "e", metadata)
    assert docs.delete(where={"key": 4}) == 1


# --- replacing --------------------------------------------------------------------------------------------------


def test_embedding_an_adopted_table_anew_leaves_the_table_as_it_is(
    tutorial: Collection, application: Connection
) -> None:
    """1.7 The application's table is the collection no more; nothing in it has changed."""
    before = application.execute("SELECT * FROM documents ORDER BY id").fetchall()
    anew = tutorial.reembed(HashEmbedder(8))
    assert (anew.name, anew.info().dimension, anew.count()) == ("articles", 8, 4)
    assert anew.get(["1"])[0].metadata == {"title": "Networks", "category": "ml"}
    assert application.execute("SELECT * FROM documents ORDER BY id").fetchall() == before
    with pytest.raises(CollectionNotFoundError):
        tutorial.count()


def test_an_adopted_table_cannot_take_the_place_of_a_collection(tutorial: Collection, store: VectorStore) -> None:
    """1.7 It keeps its name; both collections stay."""
    docs = store.create_collection("docs", dimension=3)
    backend = store.backend
    assert isinstance(backend, PgVectorBackend)
    with pytest.raises(UnsupportedError, match="a table of an application, which keeps its name"):
        backend.replace_collection(docs.info(), tutorial.info())
    assert [info.name for info in store.list_collections()] == ["articles", "docs"]
    assert (docs.count(), tutorial.count()) == (0, 4)


def test_collections_of_one_table_do_not_know_of_each_others_size(
    application: Connection, backend: PgVectorBackend, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.7 Which rows are records, and what a filter means, is each collection's own."""
    monkeypatch.setattr(plan_cache, "_LASTS", 60.0)
    application.execute(
        "CREATE TABLE both_of (id int PRIMARY KEY, a vector(2), b vector(2), kind int);"
        "INSERT INTO both_of SELECT n, ARRAY[n, 1]::vector, CASE WHEN n <= 100 THEN ARRAY[n, 1]::vector END, 1 "
        "FROM generate_series(1, 2500) AS n"
    )
    store = VectorStore(backend)
    for name in ("aaa", "bbb"):
        backend.adopt(name, table=f"{schema}.both_of", id="id", embedding=name[0], columns=["kind"])
        store.get_collection(name).create_index()
    query = np.ones((1, 2), dtype=np.float32)
    for where in (None, filters.parse({"kind": 1})):
        request = VectorSearch(query, 3, where)
        found = [backend.search(store.get_collection(name).info(), request)[0] for name in ("aaa", "bbb")]
        assert [ranking.exact for ranking in found] == [False, True]
