"""One ingest: it embeds a batch while it writes another."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

from vectorkit._narrow import is_dict, is_list
from vectorkit.backend.requests import Read
from vectorkit.errors import DuplicateIdError, InvalidArgumentError
from vectorkit.intake import Intake
from vectorkit.progress import Ingested
from vectorkit.protocol import VectorBackend
from vectorkit.pruning import Pruning
from vectorkit.searching import as_count
from vectorkit.types import Batch, CollectionInfo, Record
from vectorkit.validation import short

__all__ = ["BATCH", "IDS", "Ids", "Run", "as_batch_size", "content_id"]

Ids: TypeAlias = Literal["given", "content"]
"""Where the ids of an ingest come from."""

BATCH: Final = 500
"""Records of a batch: some seconds of a model's work on a CPU, and far beyond what writing in batches gains from."""

IDS: Final[tuple[Ids, ...]] = ("given", "content")

T = TypeVar("T")


def as_batch_size(value: object) -> int:
    """Return a number of records that are taken at once, or raise `InvalidArgumentError`."""
    size = as_count(value, "batch_size")
    if size < 1:
        raise InvalidArgumentError("batch_size is an int >= 1, not 0")
    return size


class Run:
    """One ingest.

    Args:
        backend: Where the collection is.
        info: The collection.
        intake: Checks and embeds for it.
        ids: Where the ids come from.
        batch_size: Records of a batch.
        report: Takes the counts.
        total: Records in the source, if that is known.
        pruning: Deletes what is gone from sources; None: nothing is deleted.
    """

    def __init__(
        self,
        backend: VectorBackend,
        info: CollectionInfo,
        intake: Intake,
        ids: Ids,
        batch_size: int,
        report: Callable[[Ingested], object],
        total: int | None,
        pruning: Pruning | None = None,
    ) -> None:
        self._backend = backend
        self._info = info
        self._intake = intake
        self._ids = ids
        self._size = batch_size
        self._report = report
        self._total = total
        self._begun = time.monotonic()
        self._pruning = pruning
        self._read = self._unchanged = self._embedded = self._written = self._pruned = 0
        # With given ids, all that were read; with those of content, the ones not known to be committed yet.
        self._taken: set[str] = set()
        self._writing: tuple[Future[None], list[str]] | None = None

    def take_in(self, source: Iterable[object]) -> Ingested:
        """Do it; see `Collection.ingest`."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="vectorkit-ingest") as writer:
                try:
                    for records in _chunks(self._changed(source), self._size):
                        batch = self._intake.embedded(records)
                        self._embedded += sum(record.embedding is None for record in records)
                        self._settle()
                        self._writing = writer.submit(self._write, batch), batch.ids
                    self._settle()
                except Exception:
                    if self._writing is not None:
                        self._writing[0].result()  # an error of the batch before comes first
                    raise
            if self._pruning is not None:  # all that was read is committed
                self._pruned = self._pruning.prune(self._backend, self._info)
                self._report(self._counts())
        except BaseException as error:
            error.add_note(
                f"of {self._read:,} records read {self._written:,} were written to collection {self._info.name!r}, and "
                f"{self._unchanged:,} were there; they stay, and the same call goes on from there"
            )
            raise
        return self._counts()

    def _changed(self, source: Iterable[object]) -> Iterator[Record]:
        """The records that are to be written, checked but for their vectors."""
        for chunk in _chunks(iter(source), self._size):
            records = self._by_content(chunk) if self._ids == "content" else self._as_given(chunk)
            if self._pruning is not None:
                self._pruning.see(records, self._read)
            asked = [record.id for record in records if record.embedding is None]
            found = self._backend.get(self._info, Read(list(dict.fromkeys(asked)))) if asked else []
            stored = {record.id: record for record in found}
            self._read += len(chunk)
            new = [record for record in records if self._is_new(record, stored.get(record.id))]
            self._unchanged += len(records) - len(new)
            self._report(self._counts())
            yield from new

    def _is_new(self, record: Record, stored: Record | None) -> bool:
        """Whether a record is to be written; `stored` is what its id has, None too if its own vector decides."""
        if self._ids == "content" and record.id in self._taken:
            return False
        if stored is not None and record.document is not None and _json(record) == _json(stored):
            return False
        if self._ids == "content":
            self._taken.add(record.id)
        return True

    def _as_given(self, chunk: Sequence[object]) -> list[Record]:
        for number, item in enumerate(chunk, self._read + 1):
            if isinstance(item, str):
                raise InvalidArgumentError(
                    "a document alone has no id, by which the next call would know it: make ids of the content with "
                    "ids='content', or give records, Record(id=…, document=…)"
                )
            _check_item(item, number)
        records = self._intake.checked(chunk)
        repeated: list[str] = []
        for record in records:
            if record.id in self._taken:
                repeated.append(record.id)
            self._taken.add(record.id)
        if repeated:
            shown = ", ".join(short(id) for id in sorted(repeated)[:10])
            raise DuplicateIdError(
                f"the source holds {len(repeated):,} id(s) more than once: {shown}; give each record an id of its own, "
                "or make ids of the content with ids='content'"
            )
        return records

    def _by_content(self, chunk: Sequence[object]) -> list[Record]:
        named: list[Record] = []
        for number, item in enumerate(chunk, self._read + 1):
            record = Record(document=item) if isinstance(item, str) else _check_item(item, number)
            named.append(replace(record, id=f"item {number} of the source"))  # what errors call it until it has an id
        records = self._intake.checked(named)
        for record in records:
            if record.document is None:
                raise InvalidArgumentError(
                    f"{record.id} has no document to make an id of: give it one, or an id of its own with ids='given'"
                )
        return [replace(record, id=content_id(record)) for record in records]

    def _write(self, batch: Batch) -> None:
        self._backend.upsert(self._info, [batch])
        self._written += len(batch)

    def _settle(self) -> None:
        """Wait until the batch that is being written is committed."""
        if self._writing is None:
            return
        (writing, ids), self._writing = self._writing, None
        writing.result()
        if self._ids == "content":
            self._taken.difference_update(ids)
        self._report(self._counts())

    def _counts(self) -> Ingested:
        seconds = time.monotonic() - self._begun
        return Ingested(self._read, self._unchanged, self._embedded, self._written, seconds, self._total, self._pruned)


def content_id(record: Record) -> str:
    """Return the id that a record has by its content; the same in every version, see `Collection.ingest`."""
    return hashlib.sha256(_json(record).encode()).hexdigest()[:32]


def _json(record: Record) -> str:
    """Document and metadata as a text that is equal only if the types are: `1` is not `1.0`, and neither is `true`."""
    text = _dumped([record.document, record.metadata])
    # A store may give back 0.0 for -0.0 (rule 2.5).
    return text if "-0.0" not in text else _dumped([record.document, _unsigned(record.metadata)])


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _unsigned(value: object) -> object:
    if is_list(value):
        return [_unsigned(item) for item in value]
    if is_dict(value):
        return {key: _unsigned(item) for key, item in value.items()}
    return value + 0.0 if isinstance(value, float) else value  # -0.0 + 0.0 is 0.0


def _check_item(item: object, number: int) -> Record:
    if not isinstance(item, Record):
        raise InvalidArgumentError(f"item {number:,} of the source is a Record or a str, not {type(item).__name__}")
    return item


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk
