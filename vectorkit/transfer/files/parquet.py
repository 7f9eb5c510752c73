"""Parquet: a row a record, in ascending order of id, a row group a batch; the header in the schema's metadata.

Columns: `id` and `document`, strings; `embedding`, a list of `dimension` float32; `metadata`, JSON text, since Parquet
has no type that holds any JSON and tells `1` from `1.0`. Files of others may have lists of float64, and metadata as a
struct, and names that `Fields` says; their rows must be in ascending order of id.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict
from vectorkit.errors import BackendError, InvalidArgumentError, InvalidIdError, MissingDependencyError, VectorKitError
from vectorkit.transfer.files.fields import Fields
from vectorkit.transfer.files.headers import KEY, header_of, spec_of
from vectorkit.transfer.sources import Malformed
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
    """A Parquet file; arguments as of `JsonLines`."""

    def __init__(self, path: Path, label: str, fields: Fields) -> None:
        self._arrow = arrow()
        self._path = path
        self._label = label
        self._fields = fields

    def spec(self) -> CollectionSpec | None:
        """See `JsonLines.spec`."""
        with self._open() as file:
            stored: dict[bytes, bytes] = file.schema_arrow.metadata or {}
        if KEY.encode() not in stored:
            return None
        try:
            header = parse_json(stored[KEY.encode()])
        except ValueError:
            header = None
        return spec_of(header, self._label)

    def count(self) -> int:
        """See `JsonLines.count`."""
        with self._open() as file:
            count: int = file.metadata.num_rows
            return count

    def dimension(self) -> int | None:
        """See `JsonLines.dimension`."""
        for batch in self.read(None, 100, lambda _: None):
            for record in batch:
                if record.embedding is not None:
                    return len(record.embedding)
        return None

    def read(
        self, after: str | None, batch_size: int, malformed: Callable[[Malformed], object]
    ) -> Iterator[list[Record]]:
        """See `JsonLines.read`.

        Raises:
            BackendError: The rows are not in that order, or a column is of another type.
            InvalidArgumentError: There are unknown columns, or one that was named is missing.
        """
        last: str | None = None
        before = 0
        with self._open() as file:
            for rows in self._whole(file.iter_batches(batch_size, columns=self._columns(file.schema_arrow))):
                records: list[Record] = []
                for record in self._records(rows, before):
                    if isinstance(record, Malformed):
                        malformed(record)
                        continue
                    if last is not None and record.id <= last:
                        raise BackendError(
                            f"{self._label}: {short(record.id)} comes after {short(last)}; rows must be in ascending "
                            f"order of id, each once: pq.write_table(pq.read_table(path).sort_by({self._fields.id!r}), "
                            "path)"
                        )
                    last = record.id
                    records.append(record)
                before += rows.num_rows
                later = [record for record in records if after is None or record.id > after]
                if later:
                    yield later

    def get(self, ids: Sequence[str]) -> list[Record]:
        """See `JsonLines.get`; row groups whose range of ids holds none of them are passed over."""
        with self._open() as file:
            columns = self._columns(file.schema_arrow)
        wanted = [(self._fields.id, "in", list(ids))]
        table = self._arrow.parquet.read_table(self._path, columns=columns, filters=wanted)
        rows = (record for rows in table.to_batches() for record in self._records(rows, 0))
        found = {record.id: record for record in rows if isinstance(record, Record)}
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
        """The columns to read, once it is known that nothing is lost with the others."""
        names: list[str] = schema.names
        if len(set(names)) < len(names):
            raise BackendError(f"{self._label} has two columns of one name among {', '.join(names[:10])}; rename one")
        self._fields.check_known(names, self._label)
        self._fields.check_seen(names, self._label)
        if self._fields.id not in names:
            raise BackendError(
                f"{self._label} has no column {self._fields.id} but {', '.join(names[:10])}; records have the columns "
                "id, document, embedding and metadata, or others that the URL names: ?id=NAME"
            )
        self._check_vectors(schema)
        return names if self._fields.others == "metadata" else [name for name in self._fields.names if name in names]

    def _check_vectors(self, schema: Any) -> None:
        """A column of strings or bools is none of numbers (rule 2.3)."""
        if self._fields.embedding not in schema.names:
            return
        found, types = schema.field(self._fields.embedding).type, self._arrow.types
        lists = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
        empty = types.is_null(found) or (lists and types.is_null(found.value_type))
        numbers = lists and (types.is_floating(found.value_type) or types.is_integer(found.value_type))
        if not (numbers or empty):
            raise BackendError(
                f"{self._label}: the column {self._fields.embedding} must hold lists of numbers, got {found}"
            )

    def _records(self, rows: Any, before: int) -> Iterator[Record | Malformed]:
        """The records of some rows.

        Args:
            rows: The rows.
            before: How many rows of the file come before them.
        """
        vectors = self._vectors(rows)
        names = [name for name in rows.schema.names if name != self._fields.embedding]
        columns = [rows.column(name).to_pylist() for name in names]
        for number in range(rows.num_rows):
            row = {name: column[number] for name, column in zip(names, columns, strict=True)}
            place = f"row {before + number + 1}"
            try:
                yield self._made(row, vectors[number], f"{self._label}, {place}")
            except VectorKitError as error:
                vector = vectors[number]
                found = {**row, self._fields.embedding: None if vector is None else vector.tolist()}
                yield Malformed(place, found, error)

    def _made(self, row: dict[str, Any], vector: FloatArray | None, where: str) -> Record:
        id, document = row[self._fields.id], row.get(self._fields.document)
        if not isinstance(id, str):
            raise InvalidIdError(f"{where}: the id must be a string, got {short(id)}; cast the column to strings")
        if not (document is None or isinstance(document, str)):
            raise BackendError(f"{where}: the document of {short(id)} must be text or null, got {short(document)}")
        metadata = self._metadata(row.get(self._fields.metadata), f"{where}: the metadata of {short(id)}")
        try:
            kept = self._fields.metadata_of(row | {self._fields.embedding: None}, metadata)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{where}: {error}") from None
        return Record(id, document, vector, cast(Metadata, kept))

    def _vectors(self, rows: Any) -> Sequence[FloatArray | None]:
        if self._fields.embedding not in rows.schema.names:
            return [None] * rows.num_rows
        column, types = rows.column(self._fields.embedding), self._arrow.types
        if types.is_fixed_size_list(column.type) and types.is_float32(column.type.value_type) and not column.null_count:
            numbers = column.flatten()
            if not numbers.null_count:
                return list(numbers.to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1))
        with np.errstate(over="ignore"):  # what overflows becomes infinite, a null NaN, and is refused as that
            return [None if row is None else np.array(row, dtype=np.float32) for row in column.to_pylist()]

    @staticmethod
    def _metadata(value: Any, what: str) -> dict[str, Any] | None:
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except ValueError as error:
                raise BackendError(f"{what} is not JSON: {error}") from error
        if not (value is None or is_dict(value)):
            raise BackendError(f"{what} must be an object or null, got {short(value)}")
        return cast(dict[str, Any] | None, value)


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
