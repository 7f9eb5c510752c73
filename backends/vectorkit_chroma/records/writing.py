"""Writing: `add` that refuses, `upsert` that replaces, `update` that changes columns, split at Chroma's limits."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain, islice
from typing import Any, Final

import numpy as np

from vectorkit.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    PartialWriteError,
    VectorKitError,
)
from vectorkit.filters import Filter
from vectorkit.intake import spooled
from vectorkit.types import Batch, FloatArray, Patch
from vectorkit.validation import already_stored, not_stored
from vectorkit_chroma._errors import is_too_large
from vectorkit_chroma.records.codec import BIG_NORM, SIGNATURE, Row, decode, encode, read_signature
from vectorkit_chroma.records.rows import chunks
from vectorkit_chroma.records.table import PAGE, Table

__all__ = ["LARGEST_UNMARKED_NORM", "add", "delete", "update", "upsert"]

LARGEST_UNMARKED_NORM: Final = 1.001
"""In a collection with inner products, rows of vectors of a larger norm are marked (see `search.vectors`)."""


def add(table: Table, batches: Iterable[Batch]) -> None:
    """Write new records (see `VectorBackend.add`)."""
    with table.resized() as resize:
        source = iter(batches)
        if table.size():
            # All ids are looked at before the first record is written, and the batches can be read only once.
            head = list(islice(source, 2))
            checked = _unstored(table, chain(head, source))
            with nullcontext(list(checked)) if len(head) < 2 else spooled(checked) as batches:
                _Writer(table, resize).write(batches, new=True)
        else:
            _Writer(table, resize).write(source, new=True)


def _unstored(table: Table, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches; after the last one, the error if an id in them is stored."""
    taken: list[str] = []
    for batch in batches:
        taken.extend(table.present(batch.ids))
        yield batch
    if taken:
        raise already_stored(taken)


def upsert(table: Table, batches: Iterable[Batch]) -> None:
    """Write records, replacing those of the same id (see `VectorBackend.upsert`)."""
    with table.resized() as resize:
        _Writer(table, resize).write(batches, new=not table.size())


def update(table: Table, patches: Sequence[Patch]) -> None:
    """Change columns of stored records (see `VectorBackend.update`)."""
    with table.resized() as resize:
        missing: list[str] = []
        for patch in patches:
            missing.extend(set(patch.ids).difference(table.present(patch.ids)))
        if missing:
            raise not_stored(missing)
        _Writer(table, resize).change(patches)


def delete(table: Table, where: Filter | None, ids: Sequence[str] | None) -> int:
    """Delete the records that match, and return their number (see `VectorBackend.delete`)."""
    with table.resized() as resize:
        found = table.ids(table.select(where), within=ids)
        deleted: list[str] = []
        with _accounted(deleted, "deleted: delete the rest again"):
            for page in chunks(found, PAGE):
                _delete(table, list(page), deleted)
        resize(-len(deleted))
        return len(found)


def _delete(table: Table, ids: list[str], deleted: list[str]) -> None:
    try:
        with _doubted(len(ids), "deleted"):
            table.call("deleting from", table.raw.delete, ids=ids)
    except BackendError as error:
        if len(ids) < 2 or not is_too_large(error):
            raise
    else:
        deleted.extend(ids)
        return
    for half in _halves(ids):
        _delete(table, ids[half], deleted)


class _Writer:
    """Writes in parts that Chroma takes, and knows what was written should a part fail.

    Args:
        table: Where to.
        resize: Takes the number of records that a part added.
    """

    def __init__(self, table: Table, resize: Callable[[int], None]) -> None:
        self._table = table
        self._raw = table.raw
        self._resize = resize
        self._written: list[str] = []

    def write(self, batches: Iterable[Batch], *, new: bool) -> None:
        """Write whole records; `new` says that none of them is stored."""
        with _accounted(self._written, "written: upsert the rest again"):
            for batch in batches:
                rows = [
                    encode(metadata, has_document=document is not None)
                    for document, metadata in zip(batch.documents, batch.metadatas, strict=True)
                ]
                self._mark_norms(rows, batch.embeddings)
                for part in self._parts(batch.ids, batch.documents, rows):
                    ids, documents, embeddings = batch.ids[part], batch.documents[part], batch.embeddings[part]
                    stored = {} if new else self._table.rows(ids)
                    if not stored:
                        self._add(ids, documents, embeddings, rows[part])
                        continue
                    kept = [row for row, id in enumerate(ids) if id in stored]
                    if fresh := [row for row, id in enumerate(ids) if id not in stored]:
                        self._add(
                            _pick(ids, fresh), _pick(documents, fresh), embeddings[fresh], _pick(rows[part], fresh)
                        )
                    self._replace(
                        _pick(ids, kept), _pick(documents, kept), embeddings[kept], _pick(rows[part], kept), stored
                    )

    def _add(self, ids: list[str], documents: list[str | None], embeddings: FloatArray, rows: list[Row]) -> None:
        texts = documents if any(document is not None for document in documents) else None
        # `add` passes over ids that are stored; `upsert` of new ones would be slower by a deletion from the text index.
        self._call(self._raw.add, ids, documents=texts, embeddings=embeddings, metadatas=rows)
        self._resize(len(ids))

    def _replace(
        self,
        ids: list[str],
        documents: list[str | None],
        embeddings: FloatArray,
        rows: list[Row],
        stored: dict[str, Row],
    ) -> None:
        """Chroma merges metadata and keeps a text that is not given: what is to go must be named."""
        self._call(
            self._raw.upsert,
            ids,
            documents=[document or "" for document in documents],
            embeddings=embeddings,
            metadatas=[_replacing(stored[id], row) for id, row in zip(ids, rows, strict=True)],
        )

    def change(self, patches: Sequence[Patch]) -> None:
        """Change columns of records that are stored."""
        with _accounted(self._written, "written: upsert the rest again"):
            for patch in patches:
                for part in self._parts(patch.ids, patch.documents or [], [{} for _ in patch.ids]):
                    self._change(
                        Patch(
                            patch.ids[part],
                            None if patch.documents is None else patch.documents[part],
                            None if patch.embeddings is None else patch.embeddings[part],
                            None if patch.metadatas is None else patch.metadatas[part],
                            patch.merge,
                        )
                    )

    def _change(self, patch: Patch) -> None:
        stored = self._table.rows(patch.ids)
        ids = [id for id in patch.ids if id in stored]  # all of them, unless another process deletes meanwhile
        rows: list[Row] = []
        for index, id in enumerate(ids):
            old = stored[id]
            _, metadata = decode(old, None)
            if patch.metadatas is not None:
                metadata = {**metadata, **patch.metadatas[index]} if patch.merge else patch.metadatas[index]
            document = None if patch.documents is None else patch.documents[index]
            had_document = read_signature(old[SIGNATURE]).has_document
            row = encode(metadata, has_document=had_document if patch.documents is None else document is not None)
            if patch.embeddings is None and BIG_NORM in old:
                row[BIG_NORM] = old[BIG_NORM]
            rows.append(row)
        arguments: dict[str, Any] = {}
        if patch.embeddings is not None:
            self._mark_norms(rows, patch.embeddings)
            arguments["embeddings"] = patch.embeddings
        if patch.documents is not None:
            arguments["documents"] = [document or "" for document in patch.documents]
            if patch.embeddings is None:  # given texts without vectors, Chroma would embed them
                found, vectors = self._table.vectors(ids)
                places = {id: row for row, id in enumerate(found)}
                arguments["embeddings"] = vectors[[places[id] for id in ids]]
        replacing = [_replacing(stored[id], row) for id, row in zip(ids, rows, strict=True)]
        self._call(self._raw.update, ids, metadatas=replacing, **arguments)

    def _parts(self, ids: list[str], documents: list[str | None], rows: list[Row]) -> Iterator[slice]:
        """Cut at the client's limit of records, and over HTTP of bytes."""
        limit = self._table.connection.body_limit
        start = size = 0
        if limit is not None:
            for index in range(len(ids)):
                more = self._size(ids[index : index + 1], documents[index : index + 1], rows[index : index + 1])
                if size + more > limit and index > start:
                    yield slice(start, index)
                    start, size = index, 0
                size += more
                if index + 1 - start == self._table.connection.max_batch:
                    yield slice(start, index + 1)
                    start, size = index + 1, 0
        for begin in range(start, len(ids), self._table.connection.max_batch):
            yield slice(begin, min(begin + self._table.connection.max_batch, len(ids)))

    def _mark_norms(self, rows: list[Row], embeddings: FloatArray) -> None:
        if self._table.info.metric == "ip":
            norms = np.sqrt(np.square(embeddings, dtype=np.float64).sum(axis=1))
            for index in np.flatnonzero(norms > LARGEST_UNMARKED_NORM).tolist():
                rows[index][BIG_NORM] = 1

    def _call(self, method: Callable[..., object], ids: list[str], metadatas: list[Row], **columns: Any) -> None:
        stamp = self._table.stamps.next()
        stamped = [{**row, **stamp} for row in metadatas]
        try:
            with _doubted(len(ids), "written"):
                self._table.call("writing to", method, ids=ids, metadatas=stamped, **columns)
        except BaseException as error:
            self._table.stamps.renew()
            if len(ids) < 2 or not isinstance(error, BackendError) or not is_too_large(error):
                raise
        else:
            self._written.extend(ids)
            return
        # Refused, so not carried out: nothing is written twice.
        connection = self._table.connection
        size = self._size(ids, columns.get("documents") or [], stamped)
        connection.body_limit = min(connection.body_limit or size, size // 2)
        for half in _halves(ids):
            rest = {name: None if column is None else column[half] for name, column in columns.items()}
            self._call(method, ids[half], metadatas[half], **rest)

    def _size(self, ids: list[str], documents: list[str | None], rows: list[Row]) -> int:
        """Bytes of a request, about."""
        return 6 * self._table.info.dimension * len(ids) + _json_size([ids, documents, rows])  # vectors are in base64


@contextmanager
def _accounted(done: list[str], what: str) -> Generator[None]:
    """Say of a call that fails half way what was done before."""
    try:
        yield
    except VectorKitError as error:
        if not done:
            raise
        raise PartialWriteError(f"{error}; the {len(done):,} records before were {what}", done) from error


@contextmanager
def _doubted(count: int, what: str) -> Generator[None]:
    """Say of a request that was not answered that it may have been carried out all the same.

    It is not sent again from here: meanwhile others may have written what it would undo.
    """
    try:
        yield
    except (BackendUnavailableError, BackendTimeoutError) as error:
        problem = f"{error}; the {count:,} records under way may have been {what} or not: look, or call again"
        raise type(error)(problem) from error


def _halves(ids: list[str]) -> tuple[slice, slice]:
    middle = len(ids) // 2
    return slice(middle), slice(middle, None)


def _replacing(old: Row, new: Row) -> Row:
    """`new`, and None for what is only in `old`: Chroma then deletes it."""
    return {**dict.fromkeys(old), **new}


def _pick(column: Sequence[Any], rows: Sequence[int]) -> list[Any]:
    return [column[row] for row in rows]


def _json_size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
