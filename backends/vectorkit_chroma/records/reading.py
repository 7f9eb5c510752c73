"""Reading records: which match, and what they are."""

from collections.abc import Mapping, Sequence

from vectorkit.filters import Filter
from vectorkit.types import Record
from vectorkit_chroma.records.rows import Stored
from vectorkit_chroma.records.table import Table

__all__ = ["matching", "record", "records"]


def matching(table: Table, ids: Sequence[str] | None, where: Filter | None) -> list[str]:
    """The ids that match: in the order given, or in ascending order."""
    found = table.ids(table.select(where), within=ids)
    if ids is None:
        return sorted(found)
    matching = set(found)
    return [id for id in ids if id in matching]


def records(ids: Sequence[str], found: Mapping[str, Stored]) -> list[Record]:
    """The records of those of the ids that were found."""
    return [record(id, found[id]) for id in ids if id in found]


def record(id: str, stored: Stored) -> Record:
    """The record of an id."""
    document, metadata = stored.decoded()
    return Record(id, document, stored.embedding, metadata)
