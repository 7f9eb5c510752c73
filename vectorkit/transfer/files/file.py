"""A file as a source and as the target of a copy: `file:PATH.parquet` and `file:PATH.jsonl`, one collection a file.

A file is written under another name beside it (`PATH.part`), and renamed when it is whole and on the disk: a copy that
is killed leaves no file that looks whole. The same copy, run again, writes the file anew.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Final, NoReturn, Protocol
from urllib.parse import parse_qsl

from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidArgumentError,
)
from vectorkit.paths import local_path, new_file
from vectorkit.transfer.files.fields import PARTS, Fields
from vectorkit.transfer.files.jsonl import JsonLines, JsonLinesWriter
from vectorkit.transfer.files.parquet import Parquet, ParquetWriter, arrow
from vectorkit.transfer.locking import TargetLock
from vectorkit.transfer.sources import Contents, Malformed
from vectorkit.types import Batch, CollectionSpec, Metric, Record
from vectorkit.urls import shown_url
from vectorkit.validation import allowed_name, as_metric, short

__all__ = ["SCHEME", "FileSource", "FileTarget"]

SCHEME: Final = "file:"
_OPTIONS: Final = ("metric", *PARTS, "others")


class _Layout(Protocol):
    """How records are laid out in a file."""

    def spec(self) -> CollectionSpec | None: ...
    def count(self) -> int: ...
    def dimension(self) -> int | None: ...
    def read(
        self, after: str | None, batch_size: int, malformed: Callable[[Malformed], object]
    ) -> Iterator[list[Record]]: ...
    def get(self, ids: Sequence[str]) -> list[Record]: ...


class _Writer(Protocol):
    """Writes records in a layout."""

    def write(self, batch: Batch) -> None: ...
    def close(self) -> None: ...


class FileSource:
    """Reads the collection in a file.

    Args:
        url: `file:PATH.parquet` or `file:PATH.jsonl`; of a file that others wrote, which does not say by what metric
            its vectors are compared, `file:PATH.jsonl?metric=cosine` (or `l2`, or `ip`). Options for fields that have
            other names: `id=`, `document=`, `embedding=` and `metadata=` with the name; for fields that are no part of
            a record, which are an error otherwise: `others=metadata` keeps them there, `others=drop` leaves them out.

    Raises:
        InvalidArgumentError: It is another URL, or there is no such file.
        MissingDependencyError: A Parquet file, and pyarrow is not installed.
    """

    def __init__(self, url: str) -> None:
        self._metric: Metric | None
        self.path, self._metric, self._fields = _parsed(url)
        self._label = f"{SCHEME}{self.path}"
        self._file = self._layout()
        self._must_exist()

    @property
    def label(self) -> str:
        """See `Source.label`."""
        return self._label

    def contents(self) -> list[Contents]:
        """See `Source.contents`."""
        return [self._content()]

    def content(self, name: str) -> Contents:
        """See `Source.content`."""
        self._check_name(name)
        return self._content()

    def read(
        self,
        name: str,
        *,
        after: str | None = None,
        batch_size: int = 1000,
        malformed: Callable[[Malformed], object] | None = None,
    ) -> Iterator[list[Record]]:
        """See `Source.read`."""
        self._check_name(name)
        with _reported(self.label):
            yield from self._file.read(after, batch_size, malformed or _refuse)

    def get(self, name: str, ids: list[str]) -> list[Record]:
        """See `Source.get`."""
        self._check_name(name)
        with _reported(self.label):
            return self._file.get(ids)

    def close(self) -> None:
        """See `Source.close`."""

    def _layout(self) -> _Layout:
        kinds: dict[str, type[Parquet] | type[JsonLines]] = {".parquet": Parquet, ".jsonl": JsonLines}
        return kinds[self.path.suffix](self.path, self._label, self._fields)

    def _must_exist(self) -> None:
        if not self.path.is_file():
            raise InvalidArgumentError(f"there is no file {self.path}")

    def _check_name(self, name: str) -> None:
        with _reported(self.label):
            spec = self._file.spec()
        held = self.path.stem if spec is None else spec.name
        if held != name:
            raise CollectionNotFoundError(f"{self.label} holds collection {held!r}, and no {short(name)}")

    def _content(self) -> Contents:
        with _reported(self.label):
            spec, count = self._file.spec(), self._file.count()
            if spec is not None:
                if self._metric not in (None, spec.metric):
                    raise CollectionMismatchError(f"{self.label} says itself that its metric is {spec.metric!r}")
                return Contents(spec.name, spec, count, identity=str(self._fields))
            metric = self._metric
            if metric is None:
                raise InvalidArgumentError(
                    f"{self.label} was not written by vectorkit, and does not say by what metric its vectors are "
                    f"compared: say it with {self.label}?metric=cosine (or l2, or ip)"
                )
            if not count:
                raise InvalidArgumentError(f"{self.label} is empty: it holds neither a record nor a header")
            dimension = self._file.dimension()
        name = self.path.stem
        spec = None if dimension is None else CollectionSpec(allowed_name(name), metric, dimension)
        remarks = (f"{self.label} was not written by vectorkit: the metric is that of the URL, no embedder is known",)
        return Contents(name, spec, count, foreign=True, remarks=remarks, identity=str(self._fields))


class FileTarget(FileSource):
    """A file that a collection is copied into; argument and errors as of `FileSource`, but that it need not exist."""

    def contents(self) -> list[Contents]:
        """See `Source.contents`."""
        return super().contents() if self.path.exists() else []

    def content(self, name: str) -> Contents:
        """See `Source.content`."""
        if not self.path.exists():
            raise CollectionNotFoundError(f"there is no file {self.path}")
        return super().content(name)

    def read(
        self,
        name: str,
        *,
        after: str | None = None,
        batch_size: int = 1000,
        malformed: Callable[[Malformed], object] | None = None,
    ) -> Iterator[list[Record]]:
        """See `Source.read`; a file that is not renamed yet cannot be read to be compared with its source."""
        if not self.path.exists():
            raise BackendError(
                f"{self.label} is given up: its source has other records than were read, so it was changed meanwhile; "
                "pause its writers, and copy it again"
            )
        yield from super().read(name, after=after, batch_size=batch_size, malformed=malformed)

    def begin(self, spec: CollectionSpec, origin: str) -> "FileWriting | None":
        """See `Target.begin`; an unfinished file is begun anew, whatever it was a copy of."""
        lock = TargetLock(f"{SCHEME}{self.path.resolve()}", self.label)
        try:
            if self.path.exists():
                self._check(spec)
                lock.release()
                return None
            return FileWriting(self.path, self.label, spec, lock)
        except BaseException:
            lock.release()
            raise

    def _must_exist(self) -> None:
        if self.path.suffix == ".parquet":
            arrow()

    def _check(self, spec: CollectionSpec) -> None:
        with _reported(self.label):
            held = self._file.spec()
        if held is None or held.name != spec.name:
            what = "something else" if held is None else f"collection {held.name!r}"
            raise CollectionExistsError(f"{self.label} holds {what}; give another path, or delete the file")
        wanted = replace(spec, index=held.index, columns=held.columns)
        if held != wanted:
            raise CollectionMismatchError(
                f"{self.label} holds collection {spec.name!r} with other settings (metric {held.metric!r}, dimension "
                f"{held.dimension:,}) than what is to be copied ({spec.metric!r}, {spec.dimension:,}); give another "
                "path, or delete the file"
            )


class FileWriting:
    """See `Writing`; made by `FileTarget.begin`."""

    last: None = None
    remarks: tuple[str, ...] = ()

    def __init__(self, path: Path, label: str, spec: CollectionSpec, lock: TargetLock) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._label = label
        self._lock = lock
        self._count = 0
        self._ended = False
        with _reported(label):
            self._file: IO[bytes] = os.fdopen(new_file(self._part), "wb")
            kinds: dict[str, type[ParquetWriter] | type[JsonLinesWriter]]
            kinds = {".parquet": ParquetWriter, ".jsonl": JsonLinesWriter}
            self._writer: _Writer = kinds[path.suffix](self._file, spec)

    def count(self) -> int:
        """See `Writing.count`."""
        return self._count

    def write(self, batch: Batch) -> None:
        """See `Writing.write`."""
        with _reported(self._label):
            self._writer.write(batch)
        self._count += len(batch)

    def finish(self) -> None:
        """See `Writing.finish`."""
        with _reported(self._label):
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        self._ended = True

    def close(self) -> None:
        """See `Writing.close`."""
        if not self._ended:
            self._ended = True
            with suppress(OSError, ValueError):  # what is held back has no place to go; it is given up with the file
                self._writer.close()
            with suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)
        self._lock.release()


def _parsed(url: str) -> tuple[Path, Metric | None, Fields]:
    place, _, query = url.removeprefix(SCHEME).partition("?")
    path, given = local_path(place or ".", "file:PATH"), parse_qsl(query, keep_blank_values=True)
    options = dict(given)
    if not url.startswith(SCHEME) or path.suffix not in (".parquet", ".jsonl"):
        raise InvalidArgumentError(
            "a file is file:PATH.parquet or file:PATH.jsonl, with ?metric=cosine (or l2, or ip) if others wrote it, "
            f"not {short(shown_url(url))}"
        )
    if place.startswith("//") and "@" in place:
        raise InvalidArgumentError("file: takes a path on this machine, not the URL of a server")
    if len(options) < len(given) or options.keys() - set(_OPTIONS):
        raise InvalidArgumentError(
            f"the options of a file are {', '.join(_OPTIONS)}, each at most once, not {short(query)}"
        )
    return path, as_metric(options["metric"]) if "metric" in options else None, Fields.of(options)


def _refuse(malformed: Malformed) -> NoReturn:
    raise malformed.error


def _sync_folder(folder: Path) -> None:
    """Put the renaming on the disk; where folders cannot be opened (Windows), the system does so in its own time."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _reported(label: str) -> Generator[None]:
    """What the system reports of a file becomes an error of ours (rule 8.2)."""
    try:
        yield
    except PermissionError as error:
        raise BackendPermissionError(f"{label}: {error.strerror or error}") from error
    except OSError as error:  # of pyarrow too
        raise BackendError(f"{label}: {error.strerror or error}") from error
