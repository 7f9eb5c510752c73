"""Queries to ask of stores, and files of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict, is_list, is_mapping
from vectorkit.errors import InvalidArgumentError
from vectorkit.types import Vector
from vectorkit.validation import short

__all__ = ["Query", "read_queries"]


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask.

    Attributes:
        text: A text, or None if the vector says all.
        vector: A vector of the collection's dimension; None: the text is embedded.
        where: A filter for this query, besides the one for all.
    """

    text: str | None = None
    vector: Vector | None = None
    where: Mapping[str, Any] | None = None


def read_queries(file: str | Path) -> list[Query]:
    """Read queries, one a line that is not blank: a text, or a JSON object.

    Such an object is `{"query": "a text"}` or `{"vector": [0.1, …]}` or has both, and may have a filter as `"where"`.

    Raises:
        InvalidArgumentError: The file cannot be read, or holds no query, or a line is malformed; says which.
    """
    path = Path(file)
    try:
        # Lines end as files end them: a text may hold other separators (U+2028), which `splitlines` splits at.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{path} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    found: list[Query] = []
    for at, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_query(line.strip()))
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"{path}, line {at:,}: {error}") from error
    if not found:
        raise InvalidArgumentError(f"{path} holds no query: write one a line")
    return found


def _query(line: str) -> Query:
    if not line.startswith("{"):
        return Query(line)
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InvalidArgumentError(f"no JSON: {error}") from error
    assert is_dict(row)  # JSON that begins with a brace is an object
    keys = {"query", "vector", "where"}
    if not row.keys() <= keys or not row.keys() & {"query", "vector"}:
        raise InvalidArgumentError(
            f'expected an object with "query" or "vector", and maybe "where", not one with {short(list(row))}'
        )
    text, vector, where = row.get("query"), row.get("vector"), row.get("where")
    if not isinstance(text, str | None) or not (vector is None or is_list(vector)):
        raise InvalidArgumentError('"query" is a string, "vector" a list of numbers')
    if not (where is None or is_mapping(where)):
        raise InvalidArgumentError('"where" is a filter: an object')
    filter = None if where is None else {str(key): value for key, value in where.items()}
    numbers: Any = vector  # what they are is checked by the search
    return Query(text, numbers, filter)
