"""The types of an application's columns that metadata can be made of: as JSON, in filters and in writing.

SQL knows values that JSON or Python does not: infinite numbers and dates, NaN, years before 1 or after 9999. They read
as None, and filters take them for that.
"""

import re
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from vectorkit.filters import Scalar
from vectorkit_pgvector.sql.columns import bool_text, date_text, number_text

__all__ = ["ELEMENTS", "ID_TYPES", "KINDS", "METADATA_TYPES", "Kind"]

_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(\+00:00)?", re.ASCII)

_FINITE: Final = ("> '-Infinity'", "< 'Infinity'")
_YEARS: Final = (">= '0001-01-01'", "< '10000-01-01'")
_YEARS_UTC: Final = (">= '0001-01-01 00:00:00+00'", "< '10000-01-01 00:00:00+00'")


def _integer_text(operand: Scalar) -> str | None:
    """A whole number of 64 bits, so that an index on the column serves."""
    if isinstance(operand, bool) or not isinstance(operand, int | float) or operand != operand // 1:
        return None
    return str(int(operand)) if -(2**63) <= operand < 2**63 else None


def _float_text(operand: Scalar) -> str | None:
    """A number that is a float; few integers beyond 53 bits are."""
    if isinstance(operand, bool) or not isinstance(operand, int | float) or abs(operand) > sys.float_info.max:
        return None
    return repr(float(operand)) if float(operand) == operand else None


def _text(operand: Scalar) -> str | None:
    return operand if isinstance(operand, str) else None


def _uuid(operand: Scalar) -> str | None:
    """A UUID as it is read: such strings order as the UUIDs do."""
    try:
        return operand if isinstance(operand, str) and str(UUID(operand)) == operand else None
    except ValueError:
        return None


def _moment(operand: Scalar, zone: str) -> str | None:
    """A point in time as PostgreSQL's JSON writes it: such strings order as the times do."""
    found = _MOMENT.fullmatch(operand) if isinstance(operand, str) else None
    if found is None or (found[3] or "") != zone or (found[2] or "1").endswith("0"):
        return None
    try:
        datetime.fromisoformat(found[1])
    except ValueError:
        return None
    return found[0]


def _within(bounds: tuple[str, str], json: str) -> str:
    least, most = bounds
    return f"CASE WHEN {{0}} {least} AND {{0}} {most} THEN {json} END"


def _nothing(_: Scalar) -> str | None:
    return None


class Kind(NamedTuple):
    """A kind of column.

    Attributes:
        json: SQL of the value as `jsonb`, the column at `{0}`.
        takes: Python types of the values that can be written; none means any. None, which is NULL, always can.
        said: What those are, for a message.
        type: The type that conditions compare the column in; empty where they are made on the metadata.
        text: See `vectorkit_pgvector.sql.columns.Column`.
        bounds: See there.
        value: SQL of what is compared, the column at `{0}`.
    """

    json: str
    takes: tuple[type, ...]
    said: str
    type: str = ""
    text: Callable[[Scalar], str | None] = _nothing
    bounds: tuple[str, str] = ("", "")
    value: str = "{0}"


_INTEGER: Final = Kind("to_jsonb({0})", (int,), "an int", "bigint", _integer_text)
# Adding 0.0 keeps a fraction in the text, so that a float with none stays one.
_FLOAT: Final = Kind(
    _within(_FINITE, "to_jsonb({0}::text::numeric + 0.0)"), (int, float), "a number", "float8", _float_text, _FINITE
)
_TEXT: Final = Kind("to_jsonb({0})", (str,), "a str", "text", _text)

KINDS: Final[dict[str, Kind]] = {
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    "numeric": Kind(
        _within(_FINITE, "to_jsonb({0})"),
        (int, float),
        "a number",
        "numeric",
        number_text,
        _FINITE,
    ),
    "real": _FLOAT._replace(value="({0}::text::float8)"),  # 0.1 as it is read, not as the nearest of 32 bits
    "double precision": _FLOAT,
    "boolean": Kind("to_jsonb({0})", (bool,), "a bool", "boolean", bool_text),
    "text": _TEXT,
    "character varying": _TEXT,
    "bpchar": Kind("to_jsonb({0})", (str,), "a str"),
    "enum": Kind("to_jsonb({0}::text)", (str,), "a str"),
    "uuid": Kind("to_jsonb({0})", (str,), "a UUID as a str", "uuid", _uuid),
    "date": Kind(_within(_YEARS, "to_jsonb({0})"), (str,), "a date like '2024-12-31'", "date", date_text, _YEARS),
    "timestamp without time zone": Kind(
        _within(_YEARS, "to_jsonb({0})"),
        (str,),
        "a time like '2024-12-31T23:59:59'",
        "timestamp",
        partial(_moment, zone=""),
        _YEARS,
    ),
    "timestamp with time zone": Kind(
        _within(_YEARS_UTC, "to_jsonb((to_jsonb({0} AT TIME ZONE 'UTC') #>> '{{}}') || '+00:00')"),
        (str,),
        "a time like '2024-12-31T23:59:59+00:00'",
        "timestamptz",
        partial(_moment, zone="+00:00"),
        _YEARS_UTC,
    ),
    "json": Kind("to_jsonb({0})", (), "JSON"),
    "jsonb": Kind("to_jsonb({0})", (), "JSON"),
    "array": Kind("to_jsonb({0})", (list,), "a list"),
}

ELEMENTS: Final = frozenset(KINDS) - {"array", "enum", "timestamp with time zone"}
"""Types that the elements of an array can have."""
ID_TYPES: Final = ("smallint", "integer", "bigint", "uuid", "text", "character varying")
METADATA_TYPES: Final = ("json", "jsonb")
