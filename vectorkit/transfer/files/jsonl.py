"""JSON lines: a header, then a record a line, in ascending order of id.

A vector is written as decimal numbers that are read back exactly, metadata as the JSON that it is. Files of others
have no header, and records with the keys `id`, `document`, `embedding` and `metadata`, in any order.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from vectorkit._narrow import is_dict, is_list
from vectorkit.errors import BackendError, DuplicateIdError, InvalidIdError
from vectorkit.transfer.files.headers import KEY, header_of, spec_of
from vectorkit.types import Batch, CollectionSpec, Metadata, Record
from vectorkit.validation import short

__all__ = ["JsonLines", "JsonLinesWriter"]


class JsonLines:
    """A file of JSON lines.

    Args:
        path: Where it is.
        label: What it is called in messages.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._label = label
        self._found: dict[str, int] | None = None

    def spec(self) -> CollectionSpec | None:
        """What the header says; None if there is none.

        Raises:
            BackendError: The first line is no JSON object.
            CollectionMismatchError: A later release wrote it.
        """
        with self._path.open("rb") as file:
            line = file.readline()
        if not line.strip():
            return None
        first = self._parsed(line, 1)
        return spec_of(first, self._label) if KEY in first else None

    def count(self) -> int:
        """The number of records."""
        with self._path.open("rb") as file:
            count = sum(not line.isspace() for line in file)
        return count - (self.spec() is not None)

    def dimension(self) -> int | None:
        """The length of the first vector; None if there is none."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace() and (vector := self._parsed(line, number).get("embedding")) is not None:
                    return len(vector) if is_list(vector) else None
        return None

    def read(self, after: str | None, batch_size: int) -> Iterator[list[Record]]:
        """The records with greater ids, in ascending order.

        One of ours is in that order. In a file of others the lines are sought out in it, by an index of the ids.

        Raises:
            BackendError: A line is no record, or one of ours is not in order: it was changed.
            DuplicateIdError: A file of others names an id twice.
            InvalidIdError: An id is no string.
        """
        records = self._in_order() if self.spec() is not None else self._sought(sorted(self._places()))
        later = (record for record in records if after is None or record.id > after)
        while batch := list(islice(later, batch_size)):
            yield batch

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The records of these ids that are there, in the order asked."""
        places = self._places()
        return list(self._sought([id for id in ids if id in places]))

    def _in_order(self) -> Iterator[Record]:
        last: str | None = None
        with self._path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                if line.isspace():
                    continue
                record = self._record(self._parsed(line, number), number)
                if last is not None and record.id <= last:
                    raise BackendError(
                        f"{self._label}, line {number:,}: {short(record.id)} comes after {short(last)}; the file was "
                        "changed after it was written: copy its source again"
                    )
                last = record.id
                yield record

    def _sought(self, ids: Sequence[str]) -> Iterator[Record]:
        places = self._places()
        with self._path.open("rb") as file:
            for id in ids:
                file.seek(places[id])
                yield self._record(self._parsed(file.readline(), 0), 0)

    def _places(self) -> dict[str, int]:
        """Where in the file the line of an id begins; read once."""
        if self._found is not None:
            return self._found
        found: dict[str, int] = {}
        with self._path.open("rb") as file:
            place = 0
            for number, line in enumerate(file, start=1):
                if not line.isspace() and KEY not in (parsed := self._parsed(line, number)):
                    id = self._record(parsed, number).id
                    if id in found:
                        raise DuplicateIdError(f"{self._label}, line {number:,}: {short(id)} stands in an earlier line")
                    found[id] = place
                place += len(line)
        self._found = found
        return found

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise BackendError(
                f"{self._label}, line {number:,} is no JSON ({error}); was the file cut off, or is it something else?"
            ) from error
        if not is_dict(value):
            raise BackendError(f"{self._label}, line {number:,} is no JSON object but {type(value).__name__}")
        return {str(key): item for key, item in value.items()}

    def _record(self, found: dict[str, Any], number: int) -> Record:
        id, document, vector = found.get("id"), found.get("document"), found.get("embedding")
        metadata: Any = found.get("metadata")
        if not isinstance(id, str):
            raise InvalidIdError(f"{self._label}, line {number:,}: id is a str, not {short(id)}")
        if not (document is None or isinstance(document, str)) or not (metadata is None or is_dict(metadata)):
            raise BackendError(
                f"{self._label}, line {number:,}: a record has an id, a document (str or null), an embedding (numbers "
                "or null) and metadata (an object or null)"
            )
        return Record(id, document, self._vector(vector, number), cast(Metadata, metadata or {}))

    def _vector(self, numbers: object, number: int) -> Any:
        if numbers is None:
            return None
        try:
            with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as that
                vector = np.array(numbers, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BackendError(f"{self._label}, line {number:,}: the embedding is no list of numbers") from error
        if vector.ndim != 1:
            raise BackendError(f"{self._label}, line {number:,}: the embedding is no list of numbers")
        return vector


class JsonLinesWriter:
    """Writes JSON lines.

    Args:
        file: Where to, open for binary writing.
        spec: The collection.
    """

    def __init__(self, file: IO[bytes], spec: CollectionSpec) -> None:
        self._file = file
        self._file.write(f"{header_of(spec)}\n".encode())

    def write(self, batch: Batch) -> None:
        """Write records, in ascending order of id."""
        lines: list[str] = []
        for row, id in enumerate(batch.ids):
            record = {
                "id": id,
                "document": batch.documents[row],
                "metadata": batch.metadatas[row],
                "embedding": batch.embeddings[row].tolist(),
            }
            lines.append(json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
        self._file.write(("\n".join(lines) + "\n").encode())

    def close(self) -> None:
        """Write what is held back."""
        self._file.flush()
