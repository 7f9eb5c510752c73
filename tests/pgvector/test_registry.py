"""What the registry says is data: no text in it gets into SQL, and what this library did not write is an error."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from vectorkit import VectorStore
from vectorkit.errors import BackendError, VectorKitError
from vectorkit_pgvector import PgVectorBackend

EVIL = "x') OR app_evil() OR ('x"
CASTS = "text[]) OR {schema}.evil() OR 'x' = ANY ('{{}}'::text"
IDENTITY = {"kind": "hash", "model": "m", "dimension": 2}

FIELDS: list[tuple[str, Any]] = [
    ("name", EVIL),
    ("metric", EVIL),
    ("metric", "manhattan"),
    ("dimension", 0),
    ("dimension", 10**6),
    ("language", EVIL),
    ("vector_index", EVIL),
    ("vector_index", "{"),
    ("vector_index", '{"kind": ["hnsw"]}'),
    ("vector_index", '{"kind": "hnsw", "m": "16) , evil()"}'),
    ("vector_index", '{"kind": "hnsw", "m": 10000000}'),
    ("embedder", json.dumps([])),
    ("embedder", json.dumps({"kind": "hash"})),
    ("embedder", json.dumps({**IDENTITY, "model": 7})),
    ("embedder", json.dumps({**IDENTITY, "dimension": 3})),
    ("embedder", json.dumps({**IDENTITY, "normalize": "yes"})),
    ("embedder", json.dumps({**IDENTITY, "revision": {}})),
    ("columns", json.dumps([])),
    ("columns", json.dumps({"year": "int); SELECT 1"})),
    ("columns", json.dumps({"embedding": "int"})),
    ("columns", json.dumps({"_vk_year": "int"})),
    ("columns", '{"a\\ud800": "int"}'),
]

ADOPTED: list[tuple[str, Any]] = [
    ("id", ["id", CASTS, "text"]),
    ("id", ["id", "text", CASTS]),
    ("id", ["id", "jsonb", "jsonb"]),
    ("id", ["", "text", "text"]),
    ("id", "id"),
    ("unique", None),
    ("generated", "no"),
    ("sequence", "{schema}.seq, {schema}.evil()"),
    ("sequence", "{schema}.trap"),
    ("embedding", 7),
    ("half", "::text"),
    ("document", {}),
    ("metadata", ["metadata", "jsonb || {schema}.evil()::text::jsonb", "jsonb"]),
    ("metadata", ["metadata", "text", "text"]),
    ("columns", "year"),
    ("columns", [["year", "integer, {schema}.evil()", "integer"]]),
    ("columns", [["year", "integer", "integer; SELECT 1"]]),
    ("columns", [["year", "{schema}.evil()", "enum"]]),
    ("columns", [["year", "{schema}.trapped", "enum"]]),
    ("columns", [["year", "integer[] || {schema}.evil()[]", "array"]]),
    ("columns", [["$year", "integer", "integer"]]),
    ("columns", [["year"]]),
]

Tamper = Callable[[str, Any], None]


@pytest.fixture
def calls(admin: psycopg.Connection[Any], store: VectorStore, schema: str) -> Callable[[], int]:
    """How often code of whoever tampers has run; made with a collection of each kind, `made` and `adopted`."""
    store.create_collection("made", dimension=2).add(ids=["a"], embeddings=[[1.0, 0.0]])
    admin.execute(
        sql.SQL(
            """
            SET search_path TO {schema}, public;
            CREATE SEQUENCE calls;
            CREATE FUNCTION evil() RETURNS bool LANGUAGE plpgsql AS
                $$ BEGIN PERFORM nextval('{schema}.calls'); RETURN false; END $$;
            CREATE VIEW trap AS SELECT 1::bigint AS last_value, evil() AS is_called;
            CREATE DOMAIN trapped AS text CHECK ({schema}.evil());
            CREATE TYPE mood AS ENUM ('good', 'bad');
            CREATE TABLE docs (id text PRIMARY KEY, embedding vector(2), year integer, mood mood);
            INSERT INTO docs VALUES ('a', '[1,0]', 2020, 'good');
            RESET search_path
            """
        ).format(schema=sql.Identifier(schema))
    )
    backend = store.backend
    assert isinstance(backend, PgVectorBackend)
    backend.adopt("adopted", table=f"{schema}.docs", id="id", embedding="embedding", columns=["year", "mood"])

    def count() -> int:
        called = sql.SQL("SELECT last_value FROM {} WHERE is_called").format(sql.Identifier(schema, "calls"))
        row = admin.execute(called).fetchone()
        return 0 if row is None else int(row[0])

    return count


def use(backend: PgVectorBackend, name: str) -> None:
    """Read, search, write and delete, as far as there is a collection to do it with."""
    store = VectorStore(backend)
    store.list_collections()
    collection = store.get_collection(name)
    collection.get(["a", "zzz"])
    collection.search([1.0, 0.0], where={"year": {"$gte": 1}})
    collection.upsert(ids=["b"], embeddings=[[0.0, 1.0]], metadatas=[{"year": 1}])
    collection.delete(["a"])


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_a_field_of_the_registry_that_was_changed_is_an_error(
    admin: psycopg.Connection[Any],
    postgres_url: str,
    schema: str,
    calls: Callable[[], int],
    field: str,
    value: Any,
) -> None:
    kind = {"dimension": "int4", "embedder": "jsonb", "columns": "json"}.get(field, "text")
    admin.execute(
        sql.SQL("UPDATE {} SET {} = %s::{} WHERE name = 'made'").format(
            sql.Identifier(schema, "vectorkit_collections"), sql.Identifier(field), sql.Identifier(kind)
        ),
        [str(value)],
    )
    backend = PgVectorBackend(postgres_url, schema=schema)
    with pytest.raises(BackendError, match=r"changed|damaged"):
        use(backend, "made")
    backend.close()
    assert calls() == 0


@pytest.mark.parametrize(("field", "value"), ADOPTED)
def test_a_field_of_an_adopted_table_that_was_changed_is_an_error(
    admin: psycopg.Connection[Any],
    backend: PgVectorBackend,
    schema: str,
    calls: Callable[[], int],
    field: str,
    value: Any,
) -> None:
    use(backend, "adopted")  # the collection works, and has been looked at, before it is tampered with
    placed = json.loads(json.dumps(value).replace("{schema}", schema).replace("{{}}", "{}"))
    admin.execute(
        sql.SQL("UPDATE {} SET adopted = jsonb_set(adopted::jsonb, %s, %s::jsonb)::json WHERE name = 'adopted'").format(
            sql.Identifier(schema, "vectorkit_collections")
        ),
        [["columns", field], json.dumps(placed)],
    )
    with pytest.raises(BackendError, match="changed or damaged"):
        use(backend, "adopted")
    assert calls() == 0


@pytest.mark.parametrize("place", ["trap", 'x" , evil() --', "missing", ""])
def test_a_registry_that_names_another_table_runs_no_code(
    admin: psycopg.Connection[Any],
    backend: PgVectorBackend,
    schema: str,
    calls: Callable[[], int],
    place: str,
) -> None:
    admin.execute(
        sql.SQL(
            "UPDATE {} SET adopted = jsonb_set(adopted::jsonb, '{{table}}', %s::jsonb)::json WHERE name = 'adopted'"
        ).format(sql.Identifier(schema, "vectorkit_collections")),
        [json.dumps(place)],
    )
    with pytest.raises(VectorKitError):
        use(backend, "adopted")
    assert calls() == 0


def test_a_type_named_like_one_of_the_systems_is_not_taken_for_it(
    admin: psycopg.Connection[Any], backend: PgVectorBackend, schema: str, calls: Callable[[], int]
) -> None:
    names = {"schema": sql.Identifier(schema)}
    admin.execute(
        sql.SQL(
            "CREATE DOMAIN {schema}.enum AS text CHECK ({schema}.evil() IS NOT NULL); "
            "CREATE TABLE {schema}.bait (id text PRIMARY KEY, embedding public.vector(2), x {schema}.enum)"
        ).format(**names)
    )
    admin.execute(sql.SQL("SET search_path TO {schema}, public").format(**names))
    with pytest.raises(VectorKitError, match="no metadata can be made"):
        PgVectorBackend(connection=admin, schema=schema).adopt(
            "bait", table="bait", id="id", embedding="embedding", columns=["x"]
        )
    assert calls() == 0
