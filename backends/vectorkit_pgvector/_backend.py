"""`PgVectorBackend`: the methods of the protocol; what they do stands in the modules they call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from vectorkit.backend.requests import HybridSearch, Read, Scan, TextSearch, VectorSearch
from vectorkit.embedding import identity_of
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.indexes import Index, IndexProgress, IVFFlat
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.text import analyzer
from vectorkit.types import (
    Batch,
    Candidate,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    Explanation,
    Hit,
    Patch,
    Ranking,
    Record,
    Storage,
)
from vectorkit.validation import MetricName, as_metric, check_name
from vectorkit_pgvector._errors import translated
from vectorkit_pgvector.adopted.inspection import Wanted
from vectorkit_pgvector.collections import storage
from vectorkit_pgvector.collections.catalog import Catalog
from vectorkit_pgvector.collections.indexing import Indexing
from vectorkit_pgvector.connections.options import Options
from vectorkit_pgvector.connections.options import read as read_options
from vectorkit_pgvector.connections.sessions import Session, Sessions
from vectorkit_pgvector.connections.sharing import shared
from vectorkit_pgvector.connections.sources import (
    CallersConnection,
    CallersPool,
    OwnPool,
    RemoteServer,
    Server,
    Source,
    check_url,
    describe,
)
from vectorkit_pgvector.records import reading, writing
from vectorkit_pgvector.search import explain as explaining
from vectorkit_pgvector.search import vectors as vector_search
from vectorkit_pgvector.search.answers import Request
from vectorkit_pgvector.search.plan_cache import PlanCache
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql import text as text_sql
from vectorkit_pgvector.sql.tables import Table
from vectorkit_pgvector.text import searching as text_search
from vectorkit_pgvector.text import words
from vectorkit_pgvector.text.words import Words

__all__ = ["PgVectorBackend"]

_EMBEDDED: Final = "postgresql+embedded:"


class PgVectorBackend(VectorBackend):
    """Collections as tables of a PostgreSQL database, searched with pgvector 0.7 or later.

    Give one of `url`, `pool` and `connection`. With a pool or a connection of the caller's, its settings stay as
    they are. With a connection, calls take part in the caller's transaction: nothing is committed here, and a call
    that fails leaves the transaction usable. (In autocommit mode, outside a transaction, each call is its own.) It
    is lent to one thread at a time.

    Args:
        url: `postgresql://user:password@host:port/database?option=value`, anything that libpq takes, or
            `postgresql+embedded:PATH`, a server of one's own. Connecting waits for the first use.
        pool: A psycopg pool, open.
        connection: A psycopg connection.
        schema: The schema that the tables are in, `"public"` by default; made if it is missing.
        pooler: Whether the URL leads to a transaction pooler (PgBouncer, say), so that neither prepared statements nor
            settings are kept from one transaction to the next; None finds out when connecting. A pool or connection
            of yours keeps none of them if it was made with psycopg's `prepare_threshold=None`.
        partitions: How many partitions, by hash of the id, the tables of collections created here have, 2 to 100; 1, by
            default: a table is whole. What exists stays as it is, and whoever opens it need not know.
        pool_size: The most connections that are opened to a URL, 1 to 1,000; 10 by default.
        timeout: Seconds, 0.1 to 86,400, 60 by default, that a statement sent to a URL may go without a sign of the
            server; the call then raises `BackendTimeoutError`, and the statement is cancelled. Building an index may
            take longer. A host that does not answer at all is noticed by TCP then, whatever is under way. A pool or
            connection of yours keeps its own limits.

    These five may stand in the URL instead, with those of libpq: `?timeout=5&schema=app`.

    Raises:
        InvalidArgumentError: Not one of the three, one of another type, or a malformed URL; `pooler`,
            `pool_size` or `timeout` without `url`; or an option that is unknown, out of its range, or
            given twice; or `schema` cannot be the name of one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pool: "ConnectionPool[Any] | None" = None,
        connection: "psycopg.Connection[Any] | None" = None,
        schema: str | None = None,
        pooler: bool | None = None,
        partitions: int | None = None,
        pool_size: int | None = None,
        timeout: float | None = None,
    ) -> None:
        if sum(given is not None for given in (url, pool, connection)) != 1:
            raise InvalidArgumentError("give one of url=, pool= and connection=")
        for name, given in {"pooler": pooler, "pool_size": pool_size, "timeout": timeout}.items():
            if url is None and given is not None:
                raise InvalidArgumentError(
                    f"{name}= goes with url=; set up a pool or connection of yours to your needs "
                    "(prepare_threshold=None behind a pooler, tcp_user_timeout and statement_timeout)"
                )
        url, options = read_options(
            url,
            {
                "schema": schema,
                "pooler": pooler,
                "partitions": partitions,
                "pool_size": pool_size,
                "timeout": timeout,
            },
        )
        self._source, self._shown = _source(url, pool, connection, options)
        self._sessions = Sessions(self._source)
        self._catalog = Catalog(options.schema, options.partitions)
        self._sizes: PlanCache[vector_search.SearchPlan] = PlanCache()
        self._indexing = Indexing(self._sessions, self._catalog)

    @classmethod
    def from_url(cls, url: str) -> "PgVectorBackend":
        """Open the store of a URL; see the class."""
        return cls(url)

    def __repr__(self) -> str:
        return f"PgVectorBackend({self._shown})"

    @property
    def name(self) -> str:
        """`"postgresql"`, with the versions (`"postgresql 18.6, pgvector 0.8.6"`) once a collection was used."""
        return self._catalog.versions

    @property
    def capabilities(self) -> Capabilities:
        """All or nothing in every call, an index, text search, many processes."""
        return Capabilities(
            atomic_writes=True,
            atomic_add=True,
            approximate_search=True,
            text_search=True,
            persistent=True,
            multi_process=True,
            index_changes=True,
            replacing=True,
            storage_figures=True,
        )

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`.

        The extension is enabled if it is not; where that is not allowed, `BackendPermissionError` says what an
        administrator must run.
        """
        if spec.text_index:
            analyzer(spec.language)  # raises if the stemmers are not installed
        with translated():
            return self._sessions.write(lambda session: self._catalog.create(session, spec))

    def adopt(
        self,
        name: str | None = None,
        *,
        table: str,
        id: str,
        embedding: str,
        document: str | None = None,
        metadata: str | None = None,
        columns: Sequence[str] = (),
        metric: MetricName = "cosine",
        embedder: Embedder | None = None,
    ) -> CollectionInfo:
        """Make a collection of a table that the application has; `VectorStore.get_collection` opens it from then on.

        Nothing is copied, and the table stays as it is. Its indexes serve, one on the vectors for this metric among
        them; `create_index` and `drop_index` of the collection make and drop such a one. Rows without an embedding are
        no records until they have one. Dropping the collection leaves the table alone. There is no text index: what the
        application writes would not be in it.

        Ids are the text of the column's values, in the order of text: `"10"` comes before `"9"`. Metadata made of
        columns always has all of them as keys: NULL is None, a time an ISO string (one with a zone: in UTC). A record
        is written through its columns, as far as they keep exactly what is given; a column that is left out where
        metadata is replaced gets its default. Of vectors a `halfvec` keeps 11 bits a number. New rows with ids of yours
        bring forward the sequence that ids come from.

        Args:
            name: The collection's name; the table's if left out.
            table: The table as SQL names it: `documents`, `app.documents`, `"My Table"`.
            id: The column with the ids, unique: smallint, integer, bigint, uuid, text or varchar.
            embedding: The column with the vectors: `vector(n)` or `halfvec(n)`.
            document: The column with the texts, if there is one: text or varchar.
            metadata: The column with the metadata, if there is one: jsonb or json.
            columns: In place of it, columns that are the metadata: of numbers, text, bool, uuid, date, timestamp, json,
                enums, or arrays of these.
            metric: `"cosine"`, `"l2"` or `"ip"` (alias `"dot"`).
            embedder: What made the vectors, for text queries and new documents; its identity is stored.

        Raises:
            InvalidArgumentError: There is no such table or column, the ids are not unique, or an argument is malformed
                (`InvalidNameError` for the name, `InvalidIdError` and `InvalidVectorError` for a row that cannot be a
                record, `DimensionMismatchError` for an embedder of another dimension).
            UnsupportedError: A column is of a type that cannot be what it is to be, or the table no plain one.
            CollectionExistsError: The name is taken.
            BackendPermissionError: This user may not read the table, or not write the registry of collections.
        """
        wanted = Wanted.checked(table, id, embedding, document, metadata, columns)
        name = None if name is None else check_name(name)
        chosen, identity = as_metric(metric), None if embedder is None else identity_of(embedder)
        with translated():
            return self._sessions.write(lambda session: self._catalog.adopt(session, name, wanted, chosen, identity))

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        with translated():
            return self._sessions.read(lambda session: self._catalog.open(session, name))

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        with translated():
            return self._sessions.read(self._catalog.all)

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        with translated():
            self._sessions.write(lambda session: self._catalog.drop(session, name))

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.replace_collection`; one transaction.

        An adopted table stays as it is, apart from being the collection no more. It cannot take the place of another
        one: `UnsupportedError`.
        """
        with translated(old):
            return self._sessions.write(lambda session: self._catalog.put_in_place(session, old, new))

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        source = writing.Input(batches)
        with translated(collection, passing=source.failures):
            table = self._table(collection)
            try:
                self._load(collection, table, source, writing.add)
            except errors.UniqueViolation as error:
                if error in source.failures or not writing.concerns_ids(table, error):
                    raise
                detail = error.diag.message_detail or str(error)
                raise self._sessions.read(
                    lambda session: writing.refused(session, table, source.ids, detail)
                ) from error

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        source = writing.Input(batches)
        with translated(collection, passing=source.failures):
            table = self._table(collection)
            try:
                self._load(collection, table, source, writing.upsert)
            finally:
                self._sizes.changed()

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        with translated(collection):
            table = self._table(collection)

            def work(session: Session) -> None:
                writing.update(session, table, self._words(session, collection, table), patches)

            try:
                self._sessions.write(work)
            finally:
                self._sizes.changed()

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """See `VectorBackend.get`."""
        with translated(collection):
            table = self._table(collection)
            return self._sessions.read(lambda session: reading.get(session, table, request))

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`. Between pages no connection is held."""
        while True:
            with translated(collection):
                table = self._table(collection)
                records = self._sessions.read(partial(reading.page, table=table, request=request))
            if records:
                yield records
            if len(records) < request.batch_size:
                return
            request = replace(request, after=records[-1].id)

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        with translated(collection):
            table = self._table(collection)
            return self._sessions.read(lambda session: reading.count(session, table, where))

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`."""
        with translated(collection):
            table = self._table(collection)
            try:
                return self._sessions.write(
                    lambda session: writing.delete(session, table, self._words(session, collection, table), ids, where)
                )
            finally:
                self._sizes.changed()

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """See `VectorBackend.search`."""
        with translated(collection):
            table = self._table(collection)
            requests = [
                Request(query, request.k, request.where, request.exact, request.include_embeddings)
                for query in request.queries
            ]
            settings = self._settings(table, request.k, request.exact, request.effort)

            def work(session: Session, some: Sequence[Request]) -> list[Ranking]:
                return vector_search.search(session, table, some, self._sizes)

            return shared(self._sessions, requests, work, settings)

    def create_index(
        self,
        collection: CollectionInfo,
        index: Index,
        *,
        progress: Callable[[IndexProgress], object] | None = None,
    ) -> CollectionInfo:
        """See `VectorBackend.create_index`.

        The table stays in use meanwhile (`CREATE INDEX CONCURRENTLY`), but for a transaction of the caller's: there
        other writers wait until it ends.
        """
        with translated(collection):
            return self._indexing.create(collection, self._table(collection), index, progress, again=False)

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.drop_index`."""
        with translated(collection):
            return self._indexing.drop(collection, self._table(collection))

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.reindex`."""
        with translated(collection):
            index = collection.spec.index
            assert index is not None, "the facade asks for no index to be built anew where there is none"
            return self._indexing.create(collection, self._table(collection), index, progress, again=True)

    def explain(self, collection: CollectionInfo, request: VectorSearch) -> Explanation:
        """See `VectorBackend.explain`: each statement runs twice, under `EXPLAIN ANALYZE` and for its rows."""
        with translated(collection):
            table = self._table(collection)
            settings = self._settings(table, request.k, request.exact, request.effort)
            one = Request(request.queries[0], request.k, request.where, request.exact, False)
            return self._sessions.read(
                lambda session: explaining.explain(session, table, one, settings), settings=settings
            )

    def measure_storage(self, collection: CollectionInfo) -> Storage:
        """See `VectorBackend.measure_storage`; of a table of the application's, all of that table."""
        with translated(collection):
            table, tables = self._table(collection), self._catalog.text_tables(collection)
            return self._sessions.read(lambda session: storage.measure(session, table, tables))

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.create_text_index`.

        One transaction, in which other writers wait and readers do not. If the database has the extension pg_trgm, the
        documents get an index for `where_document`, too; adding records then takes about half a millisecond more each.
        `UnsupportedError` for an adopted table: what its application writes would not be in the index.
        """
        tables = self._catalog.text_tables(collection)

        def work(session: Session) -> CollectionInfo:
            if table.adopted is not None:
                raise UnsupportedError(
                    f"collection {collection.name!r} is a table of an application, whose own writes a text index would "
                    "miss; copy the records into a collection of their own, or use mode='vector'"
                )
            session.run(text_sql.lock(table))
            changed = self._catalog.set_text_index(session, collection)
            if changed is None:
                return self._catalog.open(session, collection.name)
            words.build(session, table, tables, progress)
            return changed

        with translated(collection):
            table = self._table(collection)
            return self._sessions.write(work, repeatable=False)

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        """See `VectorBackend.search_text`."""
        tables = self._catalog.text_tables(collection)
        with translated(collection):
            table = self._table(collection)
            return self._sessions.read(lambda session: text_search.search_text(session, table, tables, request))

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        """See `VectorBackend.search_hybrid`."""
        tables = self._catalog.text_tables(collection)
        with translated(collection):
            table = self._table(collection)
            requests = [
                Request(vector, request.fetch_k, request.where, request.exact, request.include_embeddings)
                for vector in request.vectors
            ]
            return self._sessions.read(
                lambda session: text_search.search_hybrid(
                    session, table, tables, requests, request.queries, self._sizes
                ),
                settings=self._settings(table, request.fetch_k, request.exact, None),
            )

    def close(self) -> None:
        """See `VectorBackend.close`. A pool or connection of the caller's stays open."""
        self._sessions.close()

    def _load(
        self,
        collection: CollectionInfo,
        table: Table,
        source: writing.Input,
        write: Callable[[Session, Table, Words, writing.Input], None],
    ) -> None:
        def work(session: Session) -> None:
            write(session, table, self._words(session, collection, table), source)
            self._indexing.settle(session, collection, table)

        if source.repeatable:
            self._sessions.write(work)
            return
        with self._sessions.may_wait() as may_wait, nullcontext() if may_wait else source.spooled():
            self._sessions.write(work, repeatable=False)

    def _settings(self, table: Table, k: int, exact: bool | None, effort: int | None) -> dict[str, str]:
        """The settings of the session that a search needs."""
        index = table.spec.index
        if exact is True or not index_sql.serves(table):
            return {}
        lists = 1
        if isinstance(index, IVFFlat) and not (effort or index.probes):
            built = self._sessions.read(lambda session: session.rows(index_sql.lists(table)))
            lists = built[0][0] if built else 1
        return vector_search.index_settings(k, index, effort, lists)

    def _words(self, session: Session, collection: CollectionInfo, table: Table) -> Words:
        tables = self._catalog.text_tables(collection)
        return Words(session, table, tables, known=collection.spec.text_index)

    def _table(self, collection: CollectionInfo) -> Table:
        return self._catalog.known_table(collection) or self._sessions.read(
            lambda session: self._catalog.table(session, collection)
        )


def _source(
    url: str | None,
    pool: "ConnectionPool[Any] | None",
    connection: "psycopg.Connection[Any] | None",
    options: Options,
) -> tuple[Source, str]:
    """Where connections come from, and how that is shown."""
    if pool is not None:
        if not isinstance(pool, ConnectionPool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"pool is a psycopg_pool.ConnectionPool, not {type(pool).__name__}")
        return CallersPool(pool), f"pool={pool.name!r}"
    if connection is not None:
        if not isinstance(connection, psycopg.Connection):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"connection is a psycopg.Connection, not {type(connection).__name__}")
        return CallersConnection(connection), f"connection={describe(connection.info.dsn)!r}"
    if not isinstance(url, str):
        raise InvalidArgumentError(f"url is a str, not {type(url).__name__}")
    settings = vector_search.index_settings(1)
    if url.startswith(_EMBEDDED):
        path = url.removeprefix(_EMBEDDED)
        if not path:
            raise InvalidArgumentError(f"{_EMBEDDED} needs the path of a folder, such as {_EMBEDDED}./pgdata")
        return OwnPool(lambda: _start_embedded(path), settings, options), repr(url)
    check_url(url)
    return OwnPool(lambda: RemoteServer(url), settings, options), repr(describe(url))


def _start_embedded(path: str) -> Server:
    from vectorkit_pgvector.embedded.server import EmbeddedServer

    return EmbeddedServer.start(path)
