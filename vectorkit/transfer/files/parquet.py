"""Parquet: a row a record, in ascending order of id, a row group a batch; the header in the schema's metadata.

Columns: `id` and `document`, strings; `embedding`, a list of `dimension` float32; `metadata`, JSON text, since Parquet
has no type that holds any JSON and tells `1` from `1.0`. Files of others may have lists of float64, and metadata as a
struct; their rows must be in ascending order of id.
"""

import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from vectorkit.errors import BackendError, InvalidIdError, MissingDependencyError
from vectorkit.transfer.files.headers import KEY, header_of, spec_of
from vectorkit.types import Batch, CollectionSpec, FloatArray, Metadata, Record
from vectorkit.validation import short

__all__ = ["Parquet", "ParquetWriter", "arrow"]


def arrow() -> Any:
    """Return pyarrow, with its Parquet; it is typed for no checker.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet files need pyarrow: pip install 'vectorkit-db[parquet]'; or use file:PATH.jsonl"
        ) from error


class Parquet:
    """A Parquet file.

    Args:
        path: Where it is.
        label: What it is called in messages.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._arrow = arrow()
        self._path = path
        self._label = label

    def spec(self) -> CollectionSpec | None:
        """See `JsonLines.spec`."""
        with self._open() as file:
            stored: dict[bytes, bytes] = file.schema_arrow.metadata or {}
        return spec_of(json.loads(stored[KEY.encode()]), self._label) if KEY.encode() in stored else None

    def count(self) -> int:
        """See `JsonLines.count`."""
        with self._open() as file:
            count: int = file.metadata.num_rows
            return count

    def dimension(self) -> int | None:
        """See `JsonLines.dimension`."""
        for batch in self.read(None, 100):
            for record in batch:
                if record.embedding is not None:
                    return len(record.embedding)
        return None

    def read(self, after: str | None, batch_size: int) -> Iterator[list[Record]]:
        """The records with greater ids, in ascending order.

        Raises:
            BackendError: The rows are not in that order, or a column is missing or of another type.
            InvalidIdError: An id is no string.
        """
        last: str | None = None
        with self._open() as file:
            for rows in self._whole(file.iter_batches(batch_size, columns=self._columns(file.schema_arrow))):
                records = self._records(rows)
                for record in records:
                    if last is not None and record.id <= last:
                        raise BackendError(
                            f"{self._label}: {short(record.id)} comes after {short(last)}; rows must be in ascending "
                            "order of id, each once: pq.write_table(pq.read_table(path).sort_by('id'), path)"
                        )
                    last = record.id
                later = [record for record in records if after is None or record.id > after]
                if later:
                    yield later

    def get(self, ids: Sequence[str]) -> list[Record]:
        """See `JsonLines.get`; row groups whose range of ids holds none of them are passed over."""
        with self._open() as file:
            columns = self._columns(file.schema_arrow)
        table = self._arrow.parquet.read_table(self._path, columns=columns, filters=[("id", "in", list(ids))])
        found = {record.id: record for rows in table.to_batches() for record in self._records(rows)}
        return [found[id] for id in ids if id in found]

    def _open(self) -> Any:
        try:
            # Read ahead, the whole file is in memory in the end.
            return self._arrow.parquet.ParquetFile(self._path, pre_buffer=False)
        except self._arrow.ArrowException as error:
            raise BackendError(f"{self._label} is no Parquet file: {error}") from error

    def _whole(self, batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from batches
        except self._arrow.ArrowException as error:
            raise BackendError(f"{self._label} is damaged: {error}") from error

    def _columns(self, schema: Any) -> list[str]:
        if "id" not in schema.names:
            raise BackendError(
                f"{self._label} has no column id but {', '.join(schema.names[:10])}; records have the columns id, "
                "document, embedding and metadata"
            )
        return [name for name in ("id", "document", "embedding", "metadata") if name in schema.names]

    def _records(self, rows: Any) -> list[Record]:
        def column(name: str) -> list[Any]:
            return rows.column(name).to_pylist() if name in rows.schema.names else [None] * rows.num_rows

        ids, documents = column("id"), column("document")
        for id, document in zip(ids, documents, strict=True):
            if not isinstance(id, str):
                raise InvalidIdError(f"{self._label}: an id is a str, not {short(id)}")
            if not (document is None or isinstance(document, str)):
                raise BackendError(f"{self._label}: the document of {short(id)} is text or null, not {short(document)}")
        metadatas = [self._metadata(value, id) for value, id in zip(column("metadata"), ids, strict=True)]
        vectors = self._vectors(rows)
        return [
            Record(id, document, vector, metadata)
            for id, document, vector, metadata in zip(ids, documents, vectors, metadatas, strict=True)
        ]

    def _vectors(self, rows: Any) -> Sequence[FloatArray | None]:
        if "embedding" not in rows.schema.names:
            return [None] * rows.num_rows
        column, types = rows.column("embedding"), self._arrow.types
        if types.is_fixed_size_list(column.type) and types.is_float32(column.type.value_type) and not column.null_count:
            numbers = column.flatten()
            if not numbers.null_count:
                return list(numbers.to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1))
        try:
            with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as that
                return [None if row is None else np.array(row, dtype=np.float32) for row in column.to_pylist()]
        except (TypeError, ValueError) as error:
            raise BackendError(
                f"{self._label}: the column embedding holds lists of numbers, not {column.type}"
            ) from error

    def _metadata(self, value: Any, id: str) -> Metadata:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise BackendError(f"{self._label}: the metadata of {short(id)} is no JSON: {error}") from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BackendError(f"{self._label}: the metadata of {short(id)} is an object, not {short(value)}")
        return cast(Metadata, value)


class ParquetWriter:
    """Writes a Parquet file; arguments as of `JsonLinesWriter`."""

    def __init__(self, file: IO[bytes], spec: CollectionSpec) -> None:
        self._arrow = arrow()
        text, vector = self._arrow.string(), self._arrow.list_(self._arrow.float32(), spec.dimension)
        columns = [("id", text), ("document", text), ("embedding", vector), ("metadata", text)]
        self._schema = self._arrow.schema(columns, metadata={KEY: header_of(spec)})
        # A dictionary of values that are all different takes time and gives nothing.
        self._writer = self._arrow.parquet.ParquetWriter(file, self._schema, compression="zstd", use_dictionary=False)

    def write(self, batch: Batch) -> None:
        """See `JsonLinesWriter.write`."""
        metadatas = [json.dumps(each, ensure_ascii=False, allow_nan=False) for each in batch.metadatas]
        numbers = self._arrow.array(batch.embeddings.reshape(-1))
        columns = [
            self._arrow.array(batch.ids, self._arrow.string()),
            self._arrow.array(batch.documents, self._arrow.string()),
            self._arrow.FixedSizeListArray.from_arrays(numbers, batch.embeddings.shape[1]),
            self._arrow.array(metadatas, self._arrow.string()),
        ]
        self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write the end of the file."""
        try:
            self._writer.close()
        finally:
            self._writer.is_open = False  # or, if this failed, its finalizer tries once more on a file that is closed
