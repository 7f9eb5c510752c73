"""Two streams of records side by side, both in ascending order of id."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from vectorkit.errors import BackendError
from vectorkit.transfer.overlapping import reading_ahead
from vectorkit.types import Record
from vectorkit.validation import short

__all__ = ["Aligned", "aligned"]


class Aligned(NamedTuple):
    """A stretch of both streams.

    Attributes:
        left: Records whose ids are in both, in ascending order.
        right: The same ids' records of the other stream, in the same order.
        only_left: Records that the other stream lacks.
        only_right: Ids that only the other stream has.
    """

    left: list[Record]
    right: list[Record]
    only_left: list[Record]
    only_right: list[str]


def aligned(left: Iterator[list[Record]], right: Iterator[list[Record]]) -> Iterator[Aligned]:
    """Pair the records of two streams by id. Each is read in a thread of its own, a batch ahead.

    Args:
        left: Batches, in ascending order of id by code point over all of them.
        right: The same of the other side.

    Raises:
        BackendError: A stream is not in that order, or names an id twice.
    """
    with reading_ahead(_in_order(left), 1) as first, reading_ahead(_in_order(right), 1) as second:
        ours, theirs = next(first, None), next(second, None)
        while ours is not None or theirs is not None:
            if ours is None or theirs is None:
                yield Aligned([], [], ours or [], [record.id for record in theirs or []])
                ours, theirs = next(first, None), next(second, None)
                continue
            end = min(ours[-1].id, theirs[-1].id)
            cuts = bisect_right(ours, end, key=_id), bisect_right(theirs, end, key=_id)
            yield _paired(ours[: cuts[0]], theirs[: cuts[1]])
            ours = ours[cuts[0] :] or next(first, None)
            theirs = theirs[cuts[1] :] or next(second, None)


def _paired(left: list[Record], right: list[Record]) -> Aligned:
    if [record.id for record in left] == [record.id for record in right]:
        return Aligned(left, right, [], [])
    ours, theirs = {record.id: record for record in left}, {record.id: record for record in right}
    both = [id for id in ours if id in theirs]
    return Aligned(
        [ours[id] for id in both],
        [theirs[id] for id in both],
        [record for record in left if record.id not in theirs],
        [id for id in theirs if id not in ours],
    )


def _in_order(batches: Iterator[list[Record]]) -> Iterator[list[Record]]:
    """The batches; out of order, records would be taken for missing that are there."""
    last: str | None = None
    for batch in batches:
        if not batch:
            continue
        ids = [record.id for record in batch]
        for before, after in pairwise(ids if last is None else [last, *ids]):
            if before >= after:
                raise BackendError(
                    f"records are not read in ascending order of id: {short(after)} comes after {short(before)}; "
                    "a store whose scan breaks rule 4.1 cannot be compared: run `vectorkit conformance` on it"
                )
        last = ids[-1]
        yield batch


def _id(record: Record) -> str:
    return record.id
