"""`MirrorBackend`: the methods of the protocol."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self
from urllib.parse import unquote

from vectorkit.backend.requests import HybridSearch, Read, Scan, TextSearch, VectorSearch
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.indexes import Index, IndexProgress
from vectorkit.mirror._base import Mirroring, Write
from vectorkit.protocol import VectorBackend
from vectorkit.registry import open_backend
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
)

__all__ = ["MirrorBackend"]

_PAGE = 1000
_FORM = "mirror:?primary=URL&secondary=URL&journal=PATH (and &sample=0.01), each part percent-encoded"


class MirrorBackend(Mirroring, VectorBackend):
    """Two stores that are kept equal: the primary answers, and the secondary takes over what is written.

    It can do what the primary can (text search if both can), with its results and its errors. Which records a write
    touches is on disk in the journal before the primary has them; a thread then makes these records in the secondary
    what they are in the primary. So nothing is lost whenever the process is killed or the secondary is away: the next
    mirror with this journal goes on. A write waits for the primary and one `fsync`, never for the secondary.

    Collections that the secondary lacks are made, and filled with what the primary holds already, beginning when the
    mirror is first used. One that it has must hold nothing that the primary lacks, or it is left alone, which
    `report().last_error` says. Indexes are each store's own.

    All of an application must write through one mirror: what others write into the primary is not seen, until the
    mirror is opened the next time for collections, and not at all for records. A journal is refused to a second one.
    A store with a connection of the caller's cannot take part, as it is not known when its transaction commits.

    Args:
        primary: Answers, and decides what is written. Closing the mirror closes both.
        secondary: Is kept equal.
        journal: The path of an SQLite file, made if there is none; the same one each time, not on a network drive.
        sample: The share of searches, from 0 to 1, that the secondary is asked too, in the background, to compare
            answers and times; see `report`.

    Raises:
        InvalidArgumentError: An argument is none of these.
        BackendUnavailableError: Another mirror has the journal open.
        BackendError: The journal cannot be used; as of every write, which then has not taken place.
    """

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open `mirror:?primary=URL&secondary=URL&journal=PATH`, with `&sample=0.01` if wanted, each percent-encoded.

        Raises:
            InvalidArgumentError: The URL is malformed; or as for the URLs of the two stores.
            MissingDependencyError: A client library is not installed.
            BackendError: A store, or the journal, cannot be opened.
        """
        parts = _parts(url)
        primary = open_backend(parts["primary"])
        try:
            secondary = open_backend(parts["secondary"])
            try:
                return cls(primary, secondary, journal=parts["journal"], sample=_share(parts.get("sample", "0.01")))
            except BaseException:
                secondary.close()
                raise
        except BaseException:
            primary.close()
            raise

    def __repr__(self) -> str:
        return f"MirrorBackend({self.primary!r}, {self.secondary!r})"

    @property
    def name(self) -> str:
        """Such as `"memory, mirrored to postgresql"`."""
        return f"{self.primary.name}, mirrored to {self.secondary.name}"

    @property
    def capabilities(self) -> Capabilities:
        """The primary's; of text search and metrics what both have; one process."""
        own, other = self.primary.capabilities, self.secondary.capabilities
        return replace(
            own,
            text_search=own.text_search and other.text_search,
            metrics=tuple(metric for metric in own.metrics if metric in other.metrics),
            multi_process=False,
            storage_figures=False,
            foreign_collections=False,
        )

    def promote(self, timeout: float = 10.0) -> None:
        """Let the secondary be the primary, and the primary the secondary, which is kept equal from then on.

        Writes that begin meanwhile wait; searches go on. Handles of collections stay good. `report` begins anew. Open
        the next mirror with the two exchanged, or the new primary alone.

        Args:
            timeout: The most seconds that writes are made to wait until the secondary has everything.

        Raises:
            BackendTimeoutError: It has not, in that time; nothing has changed.
            BackendError: A collection was changed by others; nothing has changed.
        """
        self._turn(timeout)

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`; the secondary's is made with an index that it has."""
        if spec.text_index and not self.capabilities.text_search:
            raise UnsupportedError(
                f"{self.name}: not both have text search, so no text index can be made; create it without"
            )
        with self._writing() as write:
            self._prepared = False  # should an interrupt come before the journal has it, the next use looks for it
            info = write.view.first.create_collection(spec)
            write.made(info)
            self._prepared = True
            return write.view.handed(info)

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        view = self._ready()
        return view.handed(view.first.open_collection(name))

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        view = self._ready()
        return [view.handed(info) for info in view.first.list_collections()]

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        with self._writing() as write:
            write.dropped(write.view.first.open_collection(name))
            write.view.first.drop_collection(name)

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        with self._writing() as write:
            info = write.view.here(collection)
            write.view.first.add(info, _noted(write, info, batches))

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        with self._writing() as write:
            info = write.view.here(collection)
            write.view.first.upsert(info, _noted(write, info, batches))

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        with self._writing() as write:
            info = write.view.here(collection)
            write.ids(info, [id for patch in patches for id in patch.ids])
            write.view.first.update(info, patches)

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """See `VectorBackend.get`."""
        view = self._ready()
        return view.first.get(view.here(collection), request)

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`."""
        view = self._ready()
        yield from view.first.scan(view.here(collection), request)

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        view = self._ready()
        return view.first.count(view.here(collection), where)

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`; with a filter alone, of the records that match when it begins."""
        with self._writing() as write:
            first, info = write.view.first, write.view.here(collection)
            if ids is not None:
                write.ids(info, ids)
                return first.delete(info, ids=ids, where=where)
            found: list[str] = []
            for page in first.scan(info, Scan(where, batch_size=_PAGE)):
                write.ids(info, [record.id for record in page])
                found += (record.id for record in page)
            # By id: a record that another thread writes now is in the journal for that, maybe done, not for this.
            return first.delete(info, ids=found, where=where) if found else 0

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """See `VectorBackend.search`; one with a setting of the primary's index is not sampled."""
        if request.effort is not None:
            view = self._ready()
            return view.first.search(view.here(collection), request)
        return self._asked(
            collection,
            lambda store, info: store.search(info, request),
            lambda found: [{hit.id: hit.score for hit in ranking.hits} for ranking in found],
        )

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.create_text_index`; the secondary makes its own."""
        if not self.capabilities.text_search:
            return super().create_text_index(collection, progress)
        with self._writing() as write:
            info = write.view.here(collection)
            write.made(info)
            return write.view.handed(write.view.first.create_text_index(info, progress))

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        """See `VectorBackend.search_text`."""
        return self._asked(
            collection,
            lambda store, info: store.search_text(info, request),
            lambda found: [{hit.id: hit.score for hit in hits} for hits in found],
        )

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        """See `VectorBackend.search_hybrid`; the scores compared are those of the vectors."""
        return self._asked(
            collection,
            lambda store, info: store.search_hybrid(info, request),
            lambda found: [{each.hit.id: each.hit.score for each in candidates} for candidates in found],
        )

    def create_index(
        self,
        collection: CollectionInfo,
        index: Index,
        *,
        progress: Callable[[IndexProgress], object] | None = None,
    ) -> CollectionInfo:
        """See `VectorBackend.create_index`: the primary's. The secondary's indexes are its own, and their settings."""
        view = self._ready()
        return view.handed(view.first.create_index(view.here(collection), index, progress=progress))

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.drop_index`: the primary's."""
        view = self._ready()
        return view.handed(view.first.drop_index(view.here(collection)))

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.reindex`: the primary's."""
        view = self._ready()
        return view.handed(view.first.reindex(view.here(collection), progress=progress))

    def explain(self, collection: CollectionInfo, request: VectorSearch) -> Explanation:
        """See `VectorBackend.explain`: the primary's search."""
        view = self._ready()
        return view.first.explain(view.here(collection), request)

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.replace_collection`; the secondary drops both, and is given the new one again."""
        if not self.capabilities.replacing:
            return super().replace_collection(old, new)
        with self._writing() as write:
            old, new = write.view.here(old), write.view.here(new)
            write.dropped(old, new)
            self._prepared = False  # should an interrupt come before the journal has it, the next use looks for it
            info = write.view.first.replace_collection(old, new)
            write.made(info)
            self._prepared = True
            return write.view.handed(info)


def _noted(write: Write, info: CollectionInfo, batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        write.ids(info, batch.ids)
        yield batch


def _parts(url: str) -> dict[str, str]:
    """What a URL says, by name. Its values are never shown: they may hold passwords."""
    scheme, mark, rest = url.partition("?")
    pairs = [pair.partition("=") for pair in rest.split("&")]
    parts = {name: unquote(value) for name, _, value in pairs}
    names = {"primary", "secondary", "journal"}
    if scheme != "mirror:" or not mark or len(pairs) != len(parts) or not names <= set(parts) <= {*names, "sample"}:
        raise InvalidArgumentError(
            f"the URL of a mirror is {_FORM}; this one lacks a part, names one twice, or has others: is a & in a URL "
            "written %26?"
        )
    return parts


def _share(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidArgumentError("sample= of a mirror is a number from 0 to 1") from None
