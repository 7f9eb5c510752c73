"""Records that a target cannot hold: which, why, and the file that they are put aside in."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vectorkit.errors import DimensionMismatchError, InvalidArgumentError, InvalidVectorError
from vectorkit.intake import Intake
from vectorkit.paths import make_private, write_private
from vectorkit.transfer.sources import Malformed
from vectorkit.types import Batch, CollectionSpec, Record
from vectorkit.vectors import as_vectors

__all__ = ["Rejects", "as_batch", "sound"]


class Rejects:
    """A JSON-lines file of records that were passed over.

    A line holds `collection`, `id`, `error`, and the record as it was found: `document`, `metadata`, `embedding`. Of
    what is no record, as a line that is not JSON, it holds `collection`, `place`, `error`, and `found`: the text of the
    line, in which bytes that are not UTF-8 are lone surrogates (as of `surrogateescape`), or the values of the row.
    What an earlier run wrote stays, and no record is written twice. The thread that reads may put records aside while
    another one does.

    Args:
        path: The file; made when the first record comes.

    Raises:
        InvalidArgumentError: The file is there and holds something else, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: set[tuple[str, str | None, str | None]] = set()
        self._lock = threading.Lock()
        try:
            self._resume()
        except OSError as error:
            raise InvalidArgumentError(f"{path} cannot be written: {error.strerror}; name another file") from error

    def put(self, collection: str, record: Record, error: str) -> None:
        """Put a record aside; it is in the file when this returns."""
        vector: Any = None if record.embedding is None else np.asarray(record.embedding).tolist()
        line = {
            "collection": collection,
            "id": record.id,
            "error": error,
            "document": record.document,
            "metadata": record.metadata,
            "embedding": vector,
        }
        self._put((collection, record.id, None), line)

    def put_malformed(self, collection: str, malformed: Malformed) -> None:
        """Put aside what is no record."""
        place, error = malformed.place, str(malformed.error)
        line = {"collection": collection, "place": place, "error": error, "found": malformed.found}
        self._put((collection, None, place), line)

    def _put(self, key: tuple[str, str | None, str | None], line: dict[str, Any]) -> None:
        with self._lock:
            if key in self._seen:
                return
            try:
                make_private(self.path)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, default=repr) + "\n")  # ASCII, so that lone surrogates can be written
            except OSError as failure:
                raise InvalidArgumentError(
                    f"{self.path} cannot be written: {failure.strerror}; name another file, and run the copy again"
                ) from failure
            self._seen.add(key)

    def count(self, collection: str) -> int:
        """How many records of a collection are in the file."""
        return sum(name == collection for name, _, _ in self._seen)

    def _resume(self) -> None:
        """Take up what an earlier run wrote, but for a last line that it died in."""
        if not self.path.exists():
            self.path.touch()
            self.path.unlink()
            return
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                found = json.loads(line)
                self._seen.add((found["collection"], found.get("id"), None if "id" in found else found["place"]))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise InvalidArgumentError(
                    f"{self.path} is there, and is no file of records that a copy has passed over; name another one"
                ) from None
        if whole != text:
            write_private(self.path, whole)


def as_batch(records: Sequence[Record], spec: CollectionSpec) -> Batch:
    """The records as what a backend writes.

    Raises:
        InvalidArgumentError: Or one of its subclasses: one of them breaks rules 2.1 to 2.8; the message names it.
    """
    ids, documents, given, metadatas = Intake(spec, None).columns(records)
    vectors: list[Any] = list(given)
    for id, vector in zip(ids, vectors, strict=True):
        if vector is None:
            raise InvalidVectorError(f"record {id!r} has no embedding, and every record of a collection has one")
        if len(vector) != spec.dimension:
            raise DimensionMismatchError(
                f"the embedding of record {id!r} has {len(vector):,} dimensions, the collection {spec.dimension:,}"
            )
    array = as_vectors(
        np.asarray(vectors), spec.dimension, spec.metric, lambda row: f"the embedding of record {ids[row]!r}"
    )
    return Batch(ids, documents, array, metadatas)


def sound(
    records: Sequence[Record], spec: CollectionSpec
) -> tuple[Batch | None, list[tuple[Record, InvalidArgumentError]]]:
    """Those of the records that a collection can hold, and the others, each with why not."""
    try:
        return as_batch(records, spec), []
    except InvalidArgumentError:
        pass  # one by one, to find which
    good: list[Record] = []
    bad: list[tuple[Record, InvalidArgumentError]] = []
    for record in records:
        try:
            as_batch([record], spec)
        except InvalidArgumentError as error:
            bad.append((record, error))
        else:
            good.append(record)
    return (as_batch(good, spec) if good else None), bad
