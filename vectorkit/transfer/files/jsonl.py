"""JSON lines: a header, then a record a line, in ascending order of id.

A vector is written as decimal numbers that are read back exactly, metadata as the JSON that it is. Files of others
have no header, and records with the keys `id`, `document`, `embedding` and `metadata`, or those that `Fields` names, in
any order.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict, is_list
from vectorkit.errors import BackendError, DuplicateIdError, InvalidArgumentError, InvalidIdError, VectorKitError
from vectorkit.transfer.files.fields import Fields
from vectorkit.transfer.files.headers import KEY, header_of, spec_of
from vectorkit.transfer.sources import Malformed
from vectorkit.types import Batch, CollectionSpec, Metadata, Record
from vectorkit.validation import short

__all__ = ["JsonLines", "JsonLinesWriter"]

_NUMBERS: Final = frozenset((int, float))


class JsonLines:
    """A file of JSON lines.

    Args:
        path: Where it is.
        label: What it is called in messages.
        fields: What the fields of its records are called.
    """

    def __init__(self, path: Path, label: str, fields: Fields) -> None:
        self._path = path
        self._label = label
        self._fields = fields
        self._found: tuple[dict[str, int], list[tuple[int, int]]] | None = None

    def spec(self) -> CollectionSpec | None:
        """What the header says; None if there is none.

        Raises:
            BackendError: The header does not tell of a collection.
            CollectionMismatchError: A later release wrote it.
        """
        with self._path.open("rb") as file:
            line = file.readline()
        try:
            first = parse_json(line)
        except ValueError:
            return None  # a malformed record of a file of others, as is told when the records are read
        return spec_of(first, self._label) if is_dict(first) and KEY in first else None

    def count(self) -> int:
        """The number of records, malformed ones among them."""
        with self._path.open("rb") as file:
            count = sum(not line.isspace() for line in file)
        return count - (self.spec() is not None)

    def dimension(self) -> int | None:
        """The length of the first vector; None if there is none.

        Raises:
            InvalidArgumentError: A record has unknown fields, or no record has a field that was named.
        """
        self._places()  # what is wrong with the whole file is told before anything is made of a part of it
        for _, _, record in self._rows():
            if isinstance(record, Record) and record.embedding is not None:
                return len(record.embedding)
        return None

    def read(
        self, after: str | None, batch_size: int, malformed: Callable[[Malformed], object]
    ) -> Iterator[list[Record]]:
        """The records with greater ids, in ascending order.

        One of ours is in that order. In a file of others the lines are sought out in it, by an index of the ids.

        Args:
            after: The id.
            batch_size: The most records of a batch.
            malformed: Takes each line that is no record, or whose id an earlier one has.

        Raises:
            BackendError: The records of one of ours are not in order: it was changed.
            InvalidArgumentError: A record has unknown fields.
        """
        records = self._in_order(malformed) if self.spec() is not None else self._by_id(malformed)
        later = (record for record in records if after is None or record.id > after)
        while batch := list(islice(later, batch_size)):
            yield batch

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The records of these ids that are there, in the order asked."""
        places, _ = self._places()
        return list(self._sought([id for id in ids if id in places]))

    def _in_order(self, malformed: Callable[[Malformed], object]) -> Iterator[Record]:
        last: str | None = None
        for number, _, record in self._rows():
            if isinstance(record, Malformed):
                malformed(record)
                continue
            if last is not None and record.id <= last:
                raise BackendError(
                    f"{self._label}, line {number:,}: {short(record.id)} comes after {short(last)}; the file was "
                    "changed after it was written: copy its source again"
                )
            last = record.id
            yield record

    def _by_id(self, malformed: Callable[[Malformed], object]) -> Iterator[Record]:
        places, bad = self._places()
        with self._path.open("rb") as file:
            for number, place in bad:
                file.seek(place)
                line = file.readline()
                record = self._record(line, number)
                malformed(record if isinstance(record, Malformed) else self._repeated(line, number, record.id))
        yield from self._sought(sorted(places))

    def _repeated(self, line: bytes, number: int, id: str) -> Malformed:
        error = DuplicateIdError(f"{self._label}, line {number:,}: {short(id)} stands in an earlier line")
        return _malformed(number, line, error)

    def _sought(self, ids: Sequence[str]) -> Iterator[Record]:
        places, _ = self._places()
        with self._path.open("rb") as file:
            for id in ids:
                file.seek(places[id])
                record = self._record(file.readline(), 0)
                if not isinstance(record, Record) or record.id != id:
                    raise BackendError(f"{self._label} was changed while it was read; pause its writers, and try again")
                yield record

    def _places(self) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """Where the line of each id begins, and number and place of those that are no record of it; read once."""
        if self._found is not None:
            return self._found
        found: dict[str, int] = {}
        bad: list[tuple[int, int]] = []
        names: set[str] = set()
        for number, place, record in self._rows(names):
            if isinstance(record, Malformed) or record.id in found:
                bad.append((number, place))
            else:
                found[record.id] = place
        if names:
            self._fields.check_seen(names, self._label)
        self._found = found, bad
        return self._found

    def _rows(self, names: set[str] | None = None) -> Iterator[tuple[int, int, Record | Malformed]]:
        """All lines but the header and blank ones: the number, the place in the file, and the record.

        Args:
            names: Takes the names of all fields.
        """
        place, header = 0, self.spec() is not None
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace() and not (header and number == 1):
                    yield number, place, self._record(line, number, names)
                place += len(line)

    def _record(self, line: bytes, number: int, names: set[str] | None = None) -> Record | Malformed:
        where = f"{self._label}, line {number:,}"
        try:
            found = parse_json(line)
        except ValueError as problem:
            error: VectorKitError = BackendError(
                f"{where} is not JSON ({problem}); was the file cut off, or is it something else?"
            )
            error.__cause__ = problem
            return _malformed(number, line, error)
        if not is_dict(found):
            error = BackendError(f"{where} must be a JSON object, got {type(found).__name__}")
            return _malformed(number, line, error)
        row: dict[str, Any] = cast(dict[str, Any], found)
        if names is not None:
            names.update(row)
        self._fields.check_known(row, where)
        try:
            return self._made(row, where)
        except VectorKitError as problem:
            return _malformed(number, line, problem)

    def _made(self, row: dict[str, Any], where: str) -> Record:
        id, document, vector, metadata = (row.get(name) for name in self._fields.names)
        if not isinstance(id, str):
            raise InvalidIdError(f"{where}: the id must be a string, got {short(id)}")
        if not (document is None or isinstance(document, str)):
            raise BackendError(f"{where}: the document must be a string or null, got {short(document)}")
        if not (metadata is None or is_dict(metadata)):
            raise BackendError(f"{where}: the metadata must be an object or null, got {short(metadata)}")
        try:
            kept = self._fields.metadata_of(row, cast(dict[str, Any] | None, metadata))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{where}: {error}") from None
        return Record(id, document, _vector(vector, where), cast(Metadata, kept))


def _vector(numbers: object, where: str) -> Any:
    if numbers is None:
        return None
    if not is_list(numbers):
        raise BackendError(f"{where}: the embedding must be a list of numbers or null, got {type(numbers).__name__}")
    if not _NUMBERS.issuperset(map(type, numbers)):  # strings, bools, nulls and lists among them (rule 2.3)
        other = next(number for number in numbers if type(number) not in _NUMBERS)
        raise BackendError(f"{where}: the embedding must be a list of numbers, got one with {short(other)}")
    try:
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as that
            return np.array(numbers, dtype=np.float32)
    except OverflowError as error:
        raise BackendError(f"{where}: the embedding has a number that is too large for a float") from error


def _malformed(number: int, line: bytes, error: VectorKitError) -> Malformed:
    return Malformed(f"line {number}", line.decode(errors="surrogateescape").rstrip("\r\n"), error)


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
