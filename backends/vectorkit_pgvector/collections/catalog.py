"""The extension, and the registry of collections: one table, `vectorkit_collections`, readable with plain SQL."""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final

from psycopg import errors

from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    CollectionExistsError,
    CollectionNotFoundError,
    DimensionMismatchError,
    UnsupportedError,
)
from vectorkit.indexes import Index, index_text, read_index
from vectorkit.stored import damaged, read_spec
from vectorkit.types import CollectionInfo, CollectionSpec, EmbedderIdentity, Metric
from vectorkit.validation import check_name, short
from vectorkit_pgvector.adopted.description import Adopted, as_json
from vectorkit_pgvector.adopted.inspection import Found, Wanted, inspect
from vectorkit_pgvector.collections import partitions as partitioning
from vectorkit_pgvector.collections.kept import check_adopted, read_adopted, read_kept, read_table
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql import text as text_sql
from vectorkit_pgvector.sql.quoting import quote
from vectorkit_pgvector.sql.tables import WHOLE, Facts, Layout, Statement, Table, create_table, table_name
from vectorkit_pgvector.sql.text import TextTables
from vectorkit_pgvector.text import words

__all__ = ["Catalog", "not_installed"]

_SCHEMA_VERSION: Final = 1
"""Of the tables as they are laid out here; raised when an older release could no longer read them."""
_OLDEST: Final = (0, 7)
_LOCK: Final = 0x766B_0001
"""Held while the extension, the schema or the registry is made: `IF NOT EXISTS` alone fails when two do so at once."""

_COLUMNS: Final = (
    "name, generation, metric, dimension, embedder::text, language, text_index, vector_index, columns::text, "
    "adopted IS NOT NULL, adopted ->> 'schema', adopted ->> 'table', schema_version"
)


class Catalog:
    """The collections of one schema.

    Args:
        schema: Name of the schema.
        partitions: How many partitions a new collection's table has, 1 for none.

    Attributes:
        versions: Those of server and extension, for people, as far as they are known yet.
    """

    def __init__(self, schema: str, partitions: int) -> None:
        self.versions = "postgresql"
        self._schema = schema
        self._registry = f"{quote(schema)}.vectorkit_collections"
        self._facts: Facts | None = None
        self._new = Layout(partitions if partitions > 1 else 0)
        self._tables: dict[str, tuple[CollectionInfo, Table]] = {}
        self._checked: dict[str, tuple[str, Adopted]] = {}

    # --- pgvector -----------------------------------------------------------------------------------------------

    def known_table(self, collection: CollectionInfo) -> Table | None:
        """The table of a collection, if `table` has found out what it needs before.

        Of a table of the application's it is looked up each time what makes a record: it stays when the collection is
        dropped, so nothing else would tell.
        """
        info, table = self._tables.get(collection.generation, (None, None))
        if table is not None and info is not collection:
            table = Table(table_name(self._schema, collection), collection.spec, table.facts, table.layout)
            self._tables[collection.generation] = collection, table
        return table

    def table(self, session: Session, collection: CollectionInfo) -> Table:
        """The table of a collection; whether it is there shows when it is used."""
        facts = self._facts or self._find_extension(session)
        if facts is None:
            raise CollectionNotFoundError(
                f"collection {collection.name!r} is gone, and the extension pgvector with it; create it again"
            )
        if self._is_adopted(collection):
            return self._adopted(session, collection, facts)
        name = table_name(self._schema, collection)
        layout = partitioning.layout(session, name)
        table = Table(name, collection.spec, facts, layout or WHOLE)
        if not session.joins:  # what the caller's transaction made may yet be rolled back
            self._facts = facts
            if layout is not None:
                self._tables[collection.generation] = collection, table
        return table

    def _adopted(self, session: Session, collection: CollectionInfo, facts: Facts) -> Table:
        kept = f"SELECT adopted::text FROM {self._registry} WHERE name = $1::text AND generation = $2::bigint"
        rows = session.rows(Statement(kept, [collection.name, int(collection.generation)]))
        if not rows:
            raise _not_found(collection.name)
        text = rows[0][0]
        known, adopted = self._checked.get(collection.generation, (None, None))
        if adopted is None or known != text:
            where = f"{self._registry}, collection {collection.name!r}"
            adopted = read_adopted(text, where)
            check_adopted(session, collection.location, adopted, where)
            if not session.joins:
                self._checked[collection.generation] = text, adopted
        return Table(collection.location, collection.spec, facts, adopted=adopted)

    def _is_adopted(self, collection: CollectionInfo) -> bool:
        """Whether the collection has a table of the application's, not one that was made for it."""
        return collection.location not in ("", table_name(self._schema, collection))

    def _find_extension(self, session: Session) -> Facts | None:
        rows = session.rows(
            Statement(
                "SELECT extversion, nspname, pg_type.oid FROM pg_catalog.pg_extension "
                "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace "
                "JOIN pg_catalog.pg_type ON typname = 'vector' AND typnamespace = extnamespace WHERE extname = 'vector'"
            )
        )
        if not rows:
            return None
        version, schema, oid = rows[0]
        server = session.connection.info.parameter_status("server_version") or ""
        self.versions = f"postgresql {server.partition(' ')[0]}, pgvector {version}"
        return Facts(tuple(int(part) for part in version.split(".") if part.isdecimal()), quote(schema), oid)

    def _prepare(self, session: Session) -> Facts:
        """Make what is missing of extension, schema and registry."""
        encoding = session.connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise UnsupportedError(
                f"the database's encoding is {encoding}, which cannot hold every text; create one with ENCODING 'UTF8'"
            )
        facts = self._find_extension(session)
        if facts is None or session.rows(_exists(self._registry)) == [(None,)]:
            session.run(Statement("SELECT pg_advisory_xact_lock($1::bigint)", [_LOCK]))
            facts = self._find_extension(session) or self._create_extension(session)
            if session.rows(Statement("SELECT FROM pg_namespace WHERE nspname = $1::text", [self._schema])) == []:
                session.run(Statement(f"CREATE SCHEMA {quote(self._schema)}"))
            session.run(
                Statement(
                    f"CREATE TABLE IF NOT EXISTS {self._registry} ("
                    'name text COLLATE "C" PRIMARY KEY, '
                    "generation bigint GENERATED ALWAYS AS IDENTITY, "
                    "table_name text GENERATED ALWAYS AS "
                    "(coalesce(adopted ->> 'table', 'vk_' || name || '_' || generation::text)) STORED, "
                    "metric text NOT NULL, dimension integer NOT NULL, embedder jsonb, language text NOT NULL, "
                    "text_index boolean NOT NULL, vector_index text NOT NULL, columns json NOT NULL, adopted json, "
                    "schema_version integer NOT NULL, "
                    "created_at timestamptz NOT NULL DEFAULT now())"
                )
            )
        if facts.version < _OLDEST:
            found, oldest = (".".join(map(str, version)) for version in (facts.version, _OLDEST))
            raise UnsupportedError(
                f"pgvector {found} is too old, {oldest} is needed: install a newer one on the server, and run in this "
                "database: ALTER EXTENSION vector UPDATE;"
            )
        return facts

    def _create_extension(self, session: Session) -> Facts:
        try:
            # Suppressed is what another program causes, which does not know our lock and was faster.
            with suppress(errors.UniqueViolation, errors.DuplicateObject), session.savepoint():
                session.run(Statement(f"CREATE EXTENSION IF NOT EXISTS vector{self._extension_schema(session)}"))
        except errors.InsufficientPrivilege as error:
            database = session.connection.info.dbname
            raise BackendPermissionError(
                f"pgvector is not enabled in database {database!r}, and user {session.connection.info.user!r} may not "
                f"do so; an administrator must run there, once: CREATE EXTENSION vector;"
            ) from error
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise not_installed(session.connection.info.server_version) from error
        facts = self._find_extension(session)
        if facts is None:
            raise BackendError("pgvector was dropped while a collection was being created; try again")
        return facts

    def _extension_schema(self, session: Session) -> str:
        """Where to make the extension, if the search path of this role leads nowhere; else PostgreSQL decides."""
        asked = Statement("SELECT current_schema() IS NULL, to_regnamespace('public') IS NULL")
        ((nowhere, no_public),) = session.rows(asked)
        if not nowhere:
            return ""
        if no_public:
            session.run(Statement(f"CREATE SCHEMA IF NOT EXISTS {quote(self._schema)}"))
        return f" SCHEMA {quote(self._schema) if no_public else 'public'}"

    # --- collections --------------------------------------------------------------------------------------------

    def create(self, session: Session, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`."""
        index_sql.check(spec)
        facts = self._prepare(session)
        info = self._register(session, spec, None)
        table = Table(info.location, spec, facts, self._new)
        for statement in create_table(table):
            session.run(statement)
        if spec.text_index:
            words.create(session, table, self.text_tables(info))
        return info

    def adopt(
        self, session: Session, name: str | None, wanted: Wanted, metric: Metric, embedder: EmbedderIdentity | None
    ) -> CollectionInfo:
        """See `PgVectorBackend.adopt`."""
        facts = self._prepare(session)
        found = inspect(session, facts, wanted, metric)
        if embedder is not None and embedder.dimension != found.dimension:
            raise DimensionMismatchError(
                f"the embedder makes vectors of {embedder.dimension} dimensions, column {wanted.embedding!r} has those "
                f"of {found.dimension}; give the embedder that made them"
            )
        name = check_name(found.table) if name is None else name
        spec = CollectionSpec(name, metric, found.dimension, embedder, found.index)
        return self._register(session, spec, found)

    def _register(self, session: Session, spec: CollectionSpec, found: Found | None) -> CollectionInfo:
        adopted = found and {"schema": found.schema, "table": found.table, "columns": as_json(found.adopted)}
        rows = session.rows(
            Statement(
                f"INSERT INTO {self._registry} (name, metric, dimension, embedder, language, text_index, vector_index, "
                "columns, adopted, schema_version) VALUES ($1::text, $2::text, $3::int, $4::text::jsonb, $5::text, "
                "$6::bool, $7::text, $8::json, $9::json, $10::int) ON CONFLICT (name) DO NOTHING RETURNING generation",
                [
                    spec.name,
                    spec.metric,
                    spec.dimension,
                    None if spec.embedder is None else json.dumps(asdict(spec.embedder), ensure_ascii=False),
                    spec.language,
                    spec.text_index,
                    index_text(spec.index),
                    json.dumps(dict(spec.columns), ensure_ascii=False),
                    None if adopted is None else json.dumps(adopted, ensure_ascii=False),
                    _SCHEMA_VERSION,
                ],
            )
        )
        if not rows:
            raise CollectionExistsError(f"collection {spec.name!r} exists; open it with get_collection")
        return self._info(spec, rows[0][0], None if found is None else quote(found.schema, found.table))

    def open(self, session: Session, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        found = self._read(session, Statement(f"{self._select} WHERE name = $1::text", [name]))
        if not found:
            raise _not_found(name)
        return found[0]

    def all(self, session: Session) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        return self._read(session, Statement(f"{self._select} ORDER BY name"))

    def drop(self, session: Session, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        info = self.open(session, name)
        gone = Statement(
            f"DELETE FROM {self._registry} WHERE name = $1::text AND generation = $2::bigint",
            [name, int(info.generation)],
        )
        if not session.run(gone):
            raise _not_found(name)
        if not self._is_adopted(info):
            session.run(Statement(f"DROP TABLE IF EXISTS {info.location}"))
            session.run(text_sql.drop(self.text_tables(info)))

    def put_in_place(self, session: Session, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.replace_collection`."""
        if self._is_adopted(new):
            raise UnsupportedError(
                f"collection {new.name!r} is a table of an application, which keeps its name; copy its records into a "
                "collection of their own, and put that one in the place of the other"
            )
        if self.open(session, old.name).generation != old.generation:
            raise _not_found(old.name)
        self.drop(session, old.name)
        renamed = Statement(
            f"UPDATE {self._registry} SET name = $3::text WHERE name = $1::text AND generation = $2::bigint",
            [new.name, int(new.generation), old.name],
        )
        if not session.run(renamed):
            raise _not_found(new.name)
        info = self.open(session, old.name)
        name = info.location.removeprefix(f"{quote(self._schema)}.")
        session.run(Statement(f"ALTER TABLE {new.location} RENAME TO {name}"))
        return info

    def wanted_index(self, session: Session, collection: CollectionInfo) -> Index | None:
        """The index that the collection is to have, as it is stored now: another process may have changed it."""
        wanted = f"SELECT vector_index FROM {self._registry} WHERE name = $1::text AND generation = $2::bigint"
        rows = session.rows(Statement(wanted, [collection.name, int(collection.generation)]))
        return read_index(rows[0][0]) if rows else None

    def set_index(self, session: Session, collection: CollectionInfo, index: Index | None) -> CollectionInfo:
        """Store which index the collection is to have.

        Raises:
            CollectionNotFoundError: The collection was dropped.
        """
        changed = Statement(
            f"UPDATE {self._registry} SET vector_index = $3::text WHERE name = $1::text AND generation = $2::bigint",
            [collection.name, int(collection.generation), index_text(index)],
        )
        if not session.run(changed):
            raise _not_found(collection.name)
        return replace(collection, spec=replace(collection.spec, index=index))

    def text_tables(self, collection: CollectionInfo) -> TextTables:
        """The names of the tables of a collection's text index, whether it has one or not."""
        return TextTables.of(self._schema, collection.generation)

    def set_text_index(self, session: Session, collection: CollectionInfo) -> CollectionInfo | None:
        """Store that the collection has a text index; None if that is stored already.

        Raises:
            CollectionNotFoundError: The collection was dropped.
        """
        key = [collection.name, int(collection.generation)]
        named = "name = $1::text AND generation = $2::bigint"
        if session.rows(Statement(f"SELECT FROM {self._registry} WHERE {named}", key)) == []:
            raise _not_found(collection.name)
        changed = Statement(f"UPDATE {self._registry} SET text_index = true WHERE {named} AND NOT text_index", key)
        if not session.run(changed):
            return None
        return self.open(session, collection.name)

    @property
    def _select(self) -> str:
        return f"SELECT {_COLUMNS} FROM {self._registry}"

    def _read(self, session: Session, statement: Statement) -> list[CollectionInfo]:
        if session.rows(_exists(self._registry)) == [(None,)]:
            return []
        return [self._decode(row) for row in session.rows(statement)]

    def _decode(self, row: tuple[Any, ...]) -> CollectionInfo:
        (
            name,
            generation,
            metric,
            dimension,
            embedder,
            language,
            text_index,
            vector_index,
            columns,
            adopted,
            schema,
            table,
            version,
        ) = row
        if type(version) is not int or version > _SCHEMA_VERSION:
            raise BackendError(
                f"collection {name!r} was made by a newer release of vectorkit (its tables are of version {version}, "
                f"this release knows {_SCHEMA_VERSION}); update vectorkit-db"
            )
        where = f"{self._registry}, collection {short(name)}"
        spec = read_spec(
            {
                "name": name,
                "metric": metric,
                "dimension": dimension,
                "embedder": embedder and read_kept(embedder, where, "embedder"),
                "index": vector_index,
                "text_index": text_index,
                "language": language,
                "columns": read_kept(columns, where, "columns"),
            },
            where,
        )
        if type(generation) is not int:
            raise damaged(where, "generation", f"expected an integer, got {short(generation)}")
        return self._info(spec, generation, read_table(schema, table, where) if adopted else None)

    def _info(self, spec: CollectionSpec, generation: int, adopted: str | None) -> CollectionInfo:
        info = CollectionInfo(spec, str(generation))
        return replace(info, location=adopted or table_name(self._schema, info))


def not_installed(server_version: int) -> BackendError:
    """The error for a server that lacks pgvector's files, which are made for one major version each.

    Args:
        server_version: As libpq has it, such as 170005.
    """
    major = server_version // 10_000
    return BackendError(
        f"pgvector is not installed on the server, which is PostgreSQL {major}: use the Docker image "
        f"pgvector/pgvector:pg{major}, install the package (postgresql-{major}-pgvector), or enable it in the settings "
        "of a managed service"
    )


def _exists(table: str) -> Statement:
    return Statement("SELECT to_regclass($1::text)::text", [table])


def _not_found(name: str) -> CollectionNotFoundError:
    return CollectionNotFoundError(f"there is no collection {name!r}; create it with create_collection")
