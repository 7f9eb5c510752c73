"""The form of a filter truth table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vectorkit.types import Json, Metadata

__all__ = ["Case", "Table"]


class Case(NamedTuple):
    """A filter and what it matches.

    Attributes:
        where: The filter on metadata, in its dict form.
        ids: The ids of the records that match, with blanks between; after a `!`, of those that do not.
        where_document: The filter on documents.
    """

    where: dict[str, Any] | None
    ids: str
    where_document: dict[str, Any] | None = None


@dataclass(frozen=True)
class Table:
    """Records, and cases on them.

    Attributes:
        metadatas: Metadata by id; ids hold no blanks.
        cases: The cases.
        documents: Documents by id; records that are not named have none.
    """

    metadatas: Mapping[str, Metadata]
    cases: Sequence[Case]
    documents: Mapping[str, str | None] = field(default_factory=dict[str, str | None])

    @classmethod
    def of_key(cls, key: str, values: Mapping[str, Json], cases: Sequence[tuple[object, str]]) -> "Table":
        """A table about one key: values by id, and cases of what the filter says about the key."""
        return cls({id: {key: value} for id, value in values.items()}, [Case({key: said}, ids) for said, ids in cases])

    def matching(self, case: Case) -> list[str]:
        """The ids of the records that match, in ascending order."""
        named = set(case.ids.removeprefix("!").split())
        unknown = named - set(self.metadatas)
        assert not unknown, f"no such records: {unknown}"
        return sorted(set(self.metadatas) - named if case.ids.startswith("!") else named)
