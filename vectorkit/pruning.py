"""Deleting what is gone from the sources that an ingest has read."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from vectorkit._narrow import is_iterable
from vectorkit.backend.requests import Scan
from vectorkit.errors import InvalidArgumentError
from vectorkit.filters import parse
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo, Record
from vectorkit.validation import check_text, short

__all__ = ["SOURCE", "Pruning", "as_pruning"]

SOURCE: Final = "source"
"""The metadata key that says where a record is from."""

_SOURCES: Final = 1000
"""Sources that one filter names."""


class Pruning:
    """Remembers what was read, and deletes what else these sources have.

    Args:
        sources: The sources; None: those of the records that were read.
    """

    def __init__(self, sources: Iterable[str] | None) -> None:
        self._given = sources is not None
        self._sources: dict[str, None] = dict.fromkeys(sources or ())
        self._ids: set[str] = set()

    def see(self, records: Sequence[Record], before: int) -> None:
        """Take records that were read.

        Args:
            records: With the ids that they are stored under.
            before: How many were read before them.

        Raises:
            InvalidArgumentError: One does not say where it is from, and no sources were given.
        """
        for number, record in enumerate(records, before + 1):
            self._ids.add(record.id)
            if self._given:
                continue
            source = record.metadata.get(SOURCE)
            if not isinstance(source, str):
                raise InvalidArgumentError(
                    f"with prune=True, every record must say where it is from: metadata {SOURCE!r} of item {number:,} "
                    f"must be a str, got {short(source)}; add it, or name the sources, prune=[…]"
                )
            self._sources[source] = None

    def prune(self, backend: VectorBackend, info: CollectionInfo) -> int:
        """Delete the records of the sources that were not read; return how many.

        What a record had when it was looked at decides, so that one that another source has taken over stays.
        """
        deleted = 0
        sources = iter(self._sources)
        while part := list(islice(sources, _SOURCES)):
            where = parse({SOURCE: {"$in": part}})
            found = (record.id for batch in backend.scan(info, Scan(where=where)) for record in batch)
            gone = [id for id in found if id not in self._ids]
            deleted += backend.delete(info, ids=gone, where=where) if gone else 0
        return deleted


def as_pruning(prune: object) -> Pruning | None:
    """What an argument `prune` asks for, or raise `InvalidArgumentError`."""
    if isinstance(prune, bool):
        return Pruning(None) if prune else None
    if isinstance(prune, str) or not is_iterable(prune):
        raise InvalidArgumentError(f"prune must be True, False or names of sources, got {short(prune)}")
    names: list[str] = []
    for name in prune:
        if not isinstance(name, str):
            raise InvalidArgumentError(f"prune must be True, False or names of sources, got one that is {short(name)}")
        check_text(name, "a source in prune")
        names.append(name)
    return Pruning(names)
