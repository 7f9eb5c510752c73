"""Which records a call is about, as a SQL condition.

The filter itself is not turned into SQL: SQLite calls vectorkit's reference for each row, so that a filter means here
what it means everywhere, and decides before `LIMIT` and before the cut. That costs some microseconds a row, and what
it would save is small beside a search that compares every vector anyway. Translated, it would meet SQLite's own rules:
JSON paths cannot name every key, JSON's booleans are numbers, and a comparison with NULL is neither true nor false.
A store that is searched on a server has to translate; `vectorkit_pgvector/sql/filters.py` does, in a hundred lines.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from vectorkit.filters import Filter, evaluate
from vectorkit_sqlite._codec import dump_json, load_json

__all__ = ["condition"]


def condition(
    connection: sqlite3.Connection,
    number: int,
    *,
    ids: Sequence[str] | None = None,
    where: Filter | None = None,
    after: str | None = None,
) -> tuple[str, list[Any]]:
    """The condition on `vectorkit_records`, and its parameters.

    Args:
        connection: Where the statement will run; the filter is made known to it.
        number: The collection's number.
        ids: Those asked for, any number of them; None: all.
        where: The filter; None matches everything.
        after: An id; only records that follow it.
    """
    conditions, parameters = ["collection = ?"], list[Any]([number])
    if ids is not None:  # one parameter, as SQLite takes 32,766 in a statement at the most
        conditions.append("id IN (SELECT value FROM json_each(?))")
        parameters.append(dump_json(ids))
    if after is not None:
        conditions.append("id > ?")
        parameters.append(after)
    if where is not None:
        test = evaluate(where)

        def matches(document: str | None, metadata: str) -> bool:
            return test(document, load_json(metadata))

        connection.create_function("vectorkit_matches", 2, matches)
        conditions.append("vectorkit_matches(document, metadata)")
    return " AND ".join(conditions), parameters
