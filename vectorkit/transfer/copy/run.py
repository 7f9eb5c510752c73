"""`copy`: every record of one store into another, exactly, and after a crash from where it stopped."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from vectorkit.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    InvalidArgumentError,
    InvalidNameError,
    InvalidVectorError,
)
from vectorkit.paths import local_path
from vectorkit.transfer.arguments import as_names, as_renaming, check_progress
from vectorkit.transfer.copy.rejects import Rejects, sound
from vectorkit.transfer.merging import aligned
from vectorkit.transfer.opening import Place, open_source, open_target
from vectorkit.transfer.overlapping import reading_ahead
from vectorkit.transfer.records import compare_records
from vectorkit.transfer.sources import MAX_BATCH, Contents, Malformed, Source, Target, Writing
from vectorkit.transfer.verify.report import Differences
from vectorkit.types import Batch, CollectionSpec, Record
from vectorkit.validation import check_name

__all__ = ["Copied", "CopyProgress", "CopyReport", "copy"]

_ASIDE: Final = (
    "(repair it there, and run this again, or put such records aside with skip_bad=FILE, on the command line "
    "--skip-bad FILE)"
)


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is.

    Attributes:
        name: The collection that is being copied, as the source calls it.
        done: How many of its records are in the target, or were passed over.
        total: How many there are in the source.
    """

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one collection.

    Attributes:
        name: What it is called in the source.
        target_name: What it is called in the target.
        count: The records that the target now has of it.
        written: Those of them that this call wrote; 0 if the target had all of them.
        skipped: Those that the target cannot hold; they are in the file of `skip_bad`.
        seconds: How long it took.
        remarks: What is not in the target as it was in the source, a sentence each.
    """

    name: str
    target_name: str
    count: int
    written: int
    skipped: int
    seconds: float
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did.

    Attributes:
        source: Where from.
        target: Where to.
        collections: In the order copied.
    """

    source: str
    target: str
    collections: tuple[Copied, ...]

    @property
    def complete(self) -> bool:
        """Whether every record is in the target."""
        return not any(each.skipped for each in self.collections)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**asdict(self), "complete": self.complete}


def copy(
    source: Place,
    target: Place,
    *,
    collections: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    skip_bad: str | Path | None = None,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyReport:
    """Copy collections from one store into another: ids, documents, metadata with their types, vectors.

    Metric, dimension, identity of the embedder, language, text index, index settings and typed columns go along; the
    indexes are built when the records are there. Nothing is embedded. One batch is read while another one is written;
    memory is bounded, however many records there are, but for what reading a store takes for its ids.

    After an error, Ctrl-C, kill -9 or a crash, what was written stays, and the same call goes on where it stopped.
    Until a collection is whole, a second one beside it, `copying-NAME-…`, says of what it is a copy. The same call on
    what is whole compares it with the source, and writes nothing. Pause writers of the source meanwhile: what they
    change may or may not be copied, and a copy that lacks records for it fails.

    Args:
        source: A URL as for `connect`, `file:PATH.parquet` or `file:PATH.jsonl`, a store or a backend; the last two
            stay open. Collections that others made in Chroma are copied too.
        target: The same. Collections that it has besides stay as they are.
        collections: Names in the source; None: all there are.
        names: For those that are to be called otherwise in the target: from the name in the source to that in the
            target. A name that rule 1.1 forbids, which others may have given, becomes one that it allows.
        skip_bad: A JSON-lines file for records that break rules 2.1 to 2.8, as others may have stored them, and for
            lines of a file that hold no record: they are put aside there, each with the reason, and the others are
            copied. None: the first one is an error.
        progress: Called now and then, in this thread.

    Returns:
        What was copied; `complete` says whether that is all.

    Raises:
        CollectionNotFoundError: A collection of that name is not in the source, or the source is empty.
        CollectionMismatchError: The target has a collection of that name with another metric, dimension, embedder or
            language.
        CollectionExistsError: The target has a collection of that name that holds something else.
        InvalidArgumentError: An argument is not allowed, or a URL; or a file has fields that are no part of a record,
            is empty, or has no record with a vector. A subclass: a record of the source breaks a rule; the message
            names it.
        UnsupportedError: The target cannot hold such a collection.
        MissingDependencyError: A client library is not installed.
        BackendError: A store cannot be opened, read or written (`BackendUnavailableError`: its server is gone, or its
            disk is full); another copy is writing to that collection; or the source was changed meanwhile.
    """
    wanted, given_names = as_names(collections), as_renaming(names)
    check_progress(progress)
    rejects = None if skip_bad is None else Rejects(local_path(skip_bad, "skip_bad"))
    with open_source(source) as left, open_target(target) as right:
        found = left.contents() if wanted is None else [left.content(name) for name in wanted]
        if not found:
            raise CollectionNotFoundError(f"{left.label} holds no collection, so there is nothing to copy")
        # Of an object only its type is the same in the process that goes on with this copy.
        place = left.label if isinstance(source, str) else type(source).__name__
        run = _Run(left, place, right, rejects, progress or _silent)
        renamed = _renamed(found, given_names)
        return CopyReport(left.label, right.label, tuple(run.copy(each, renamed[each.name]) for each in found))


class _Run:
    """One call of `copy`."""

    def __init__(
        self,
        source: Source,
        place: str,
        target: Target,
        rejects: Rejects | None,
        progress: Callable[[CopyProgress], object],
    ) -> None:
        self._source = source
        self._place = place
        self._target = target
        self._rejects = rejects
        self._progress = progress

    def copy(self, content: Contents, name: str) -> Copied:
        """Copy one collection, or find that it was."""
        begun = time.monotonic()
        if content.spec is None and content.count:
            self._fail_without_vectors(content)
        if content.spec is None:
            remark = "it holds no record, and so has no dimension: there is nothing to copy"
            return Copied(content.name, name, 0, 0, 0, 0.0, (*content.remarks, remark))
        spec = replace(content.spec, name=name)
        written, remarks = 0, content.remarks
        identity = f" ({content.identity})" if content.identity else ""
        writing = self._target.begin(spec, f"{content.name!r} of {self._place}{identity}")
        if writing is None:
            self._compare(content, spec)
            count = self._target.content(name).count
        else:
            with closing(writing):
                written = self._fill(content, spec, writing)
                count = writing.count()
                if count != self._source.content(content.name).count - self._skipped(content):
                    self._compare(content, spec)
                writing.finish()
                remarks += writing.remarks
        seconds = time.monotonic() - begun
        return Copied(content.name, name, count, written, self._skipped(content), seconds, remarks)

    def _fail_without_vectors(self, content: Contents) -> NoReturn:
        """Raise what is wrong with the first record that is malformed, or else that none has a vector."""
        for _ in self._read(content):
            pass
        raise InvalidVectorError(
            f"none of the {content.count:,} records of {self._source.label} has an embedding that can be read, so "
            "nothing was copied; name the field that holds it in the URL, ?embedding=NAME, or embed the documents with "
            "ingest"
        )

    def _read(self, content: Contents, after: str | None = None) -> Iterator[list[Record]]:
        """The records of the source, what is malformed put aside."""

        def malformed(found: Malformed) -> None:
            if self._rejects is None:
                raise type(found.error)(f"{found.error} {_ASIDE}") from found.error
            self._rejects.put_malformed(content.name, found)

        return self._source.read(content.name, after=after, batch_size=MAX_BATCH, malformed=malformed)

    def _fill(self, content: Contents, spec: CollectionSpec, writing: Writing) -> int:
        """Write what is not there yet, and return how many records that were."""
        written = 0
        before = 0 if writing.last is None else writing.count()
        if writing.last is not None:
            self._check_last(content, spec, writing.last)
        self._progress(CopyProgress(content.name, before, content.count))
        with reading_ahead(self._read(content, writing.last)) as batches:
            for records in batches:
                if (batch := self._sound(content, records, spec)) is not None:
                    writing.write(batch)
                    written += len(batch)
                self._progress(CopyProgress(content.name, min(before + written, content.count), content.count))
        return written

    def _check_last(self, content: Contents, spec: CollectionSpec, id: str) -> None:
        """Raise if the record after which to go on is another one in the source: then it is another source."""
        found = Differences()
        ours, theirs = self._source.get(content.name, [id]), self._target.get(spec.name, [id])
        if len(ours) == len(theirs):
            compare_records(ours, theirs, found)
        if len(ours) != len(theirs) or found.first:
            raise CollectionExistsError(
                f"collection {spec.name!r} of {self._target.label} is half-filled by a copy of something else, or of "
                f"what {content.name!r} of {self._source.label} was before it was changed: its record {id!r} is "
                "another one; drop it to copy anew, or copy under another name"
            )

    def _sound(self, content: Contents, records: Sequence[Record], spec: CollectionSpec) -> Batch | None:
        """What can be written of the records; the others are put aside."""
        batch, bad = sound(records, spec)
        for record, error in bad:
            if self._rejects is None:
                raise type(error)(f"collection {content.name!r} of {self._source.label}: {error} {_ASIDE}") from error
            self._rejects.put(content.name, record, str(error))
        return batch

    def _compare(self, content: Contents, spec: CollectionSpec) -> None:
        """Raise if the target does not hold exactly what the source does."""
        found = Differences()

        def copied() -> Iterator[list[Record]]:
            for records in self._read(content):
                batch = self._sound(content, records, spec)
                ids = set(batch.ids) if batch is not None else ()
                yield [record for record in records if record.id in ids]

        for part in aligned(copied(), self._target.read(spec.name, batch_size=MAX_BATCH)):
            for record in part.only_left:
                found.add("missing", f"{record.id!r} is not in the target")
            for id in part.only_right:
                found.add("extra", f"{id!r} is not in the source")
            compare_records(part.left, part.right, found)
            if found.first:
                raise CollectionExistsError(
                    f"collection {spec.name!r} of {self._target.label} is no copy of {content.name!r} of "
                    f"{self._source.label}: {found.first[0].text}. It was filled by something else, or one of the two "
                    "was changed since; drop it to copy anew, or copy under another name"
                )

    def _skipped(self, content: Contents) -> int:
        return 0 if self._rejects is None else self._rejects.count(content.name)


def _renamed(found: Sequence[Contents], names: Mapping[str, str]) -> dict[str, str]:
    """What each collection is to be called in the target."""
    renamed: dict[str, str] = {}
    for content in found:
        usual = content.name if content.spec is None else content.spec.name
        renamed[content.name] = check_name(names.get(content.name, usual))
    if others := sorted(set(names).difference(renamed)):
        raise InvalidArgumentError(f"names has {others[0]!r}, which is none of the collections to be copied")
    for name in renamed.values():
        if len(same := [old for old, new in renamed.items() if new == name]) > 1:
            raise InvalidNameError(
                f"{' and '.join(map(repr, sorted(same)))} would both be called {name!r}; give one of them another name "
                "with names=, or copy them one at a time (on the command line: --collection NAME --as NAME)"
            )
    return renamed


def _silent(_: CopyProgress) -> None:
    """Report nothing."""
