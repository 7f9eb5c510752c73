"""The checks every argument passes once, above the seam, whatever the backend (sections 1 and 2 of the contract)."""

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeGuard, TypeVar

from vectorkit._narrow import is_dict, is_iterable, is_list, is_mapping, is_sequence
from vectorkit.errors import (
    DuplicateIdError,
    InvalidArgumentError,
    InvalidIdError,
    InvalidNameError,
    RecordNotFoundError,
)

if TYPE_CHECKING:
    from vectorkit.types import Metric

__all__ = [
    "MAX_DIMENSION",
    "MAX_ID",
    "MetricName",
    "allowed_name",
    "already_stored",
    "as_list",
    "as_metric",
    "check_between",
    "check_choice",
    "check_dimension",
    "check_document",
    "check_flag",
    "check_id",
    "check_name",
    "check_natural",
    "check_score",
    "check_share",
    "check_text",
    "check_unique",
    "is_plain_ascii",
    "not_stored",
    "plain_text",
    "short",
]

MetricName: TypeAlias = Literal["cosine", "l2", "ip", "dot"]
"""A metric, or the alias `"dot"` of `"ip"`."""

Choice = TypeVar("Choice", bound=str)

MAX_DIMENSION: Final = 16_000
"""The most a `vector` column of pgvector takes (its README, "Vectors have up to 16,000 dimensions")."""

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{1,46}[a-zA-Z0-9]", re.ASCII)
_METRICS: Final[tuple[MetricName, ...]] = ("cosine", "l2", "ip", "dot")
MAX_ID: Final = 512


def check_text(text: str, what: str) -> None:
    """Refuse NUL, which PostgreSQL cannot store, and lone surrogates, which no UTF-8 text can hold (rule 2.6).

    Args:
        text: Any string.
        what: What the string is, for the message.

    Raises:
        InvalidArgumentError: `text` holds NUL or a lone surrogate.
    """
    if "\0" in text:
        raise InvalidArgumentError(f"{what} holds NUL (\\x00) at position {text.index(chr(0))}; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"{what} holds a lone surrogate ({text[error.start]!a}) at position {error.start}; "
                "that is no valid Unicode text: decode its source with errors='replace'"
            ) from None


def check_name(name: object) -> str:
    """Return `name` if it is a collection name by rule 1.1, or raise `InvalidNameError`."""
    if not isinstance(name, str):
        raise InvalidNameError(f"a collection name is a str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{short(name)} is no collection name: 3 to 48 characters of [a-zA-Z0-9_-], "
            "the first and the last one a letter or digit"
        )
    return plain_text(name)


def allowed_name(name: str) -> str:
    """A collection name by rule 1.1 for a name that others gave: that name itself if it is one.

    What is not allowed becomes `-`, and what is too long or too short is told from others by a hash of the whole.
    """
    if _NAME.fullmatch(name):
        return name
    kept = re.sub(r"[^a-zA-Z0-9_-]+", "-", name).strip("-_")
    if _NAME.fullmatch(kept):
        return kept
    return f"{kept[:39].strip('-_') or 'c'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def check_dimension(dimension: object) -> int:
    """Return `dimension` if it is an int from 1 to 16,000, or raise `InvalidArgumentError`."""
    return check_between(dimension, 1, MAX_DIMENSION, "dimension")


def as_metric(metric: object) -> "Metric":
    """Return the metric of that name (`"dot"` is `"ip"`), or raise `InvalidArgumentError`."""
    chosen = check_choice(metric, _METRICS, "metric")
    return "ip" if chosen == "dot" else chosen


def check_natural(value: object, what: str) -> int:
    """Return `value` as an int if it is a whole number >= 0 (NumPy's too, no bool), or raise `InvalidArgumentError`."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise InvalidArgumentError(f"{what} is an int >= 0, not {short(value)} ({type(value).__name__})")
        value = int(value)
    if value < 0:
        raise InvalidArgumentError(f"{what} is an int >= 0, not {short(value)}")
    return value


def check_between(value: object, least: int, most: int, what: str) -> int:
    """Return `value` as an int if it is a whole number in a range, or raise `InvalidArgumentError`."""
    number = check_natural(value, what)
    if not least <= number <= most:
        raise InvalidArgumentError(f"{what} is {least:,} to {most:,}, not {short(value)}")
    return number


def check_flag(value: object, what: str) -> bool:
    """Return `value` if it is a bool, or raise `InvalidArgumentError`."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{what} is True or False, not {short(value)}")
    return value


def check_choice(value: object, choices: Sequence[Choice], what: str) -> Choice:
    """Return `value` if it is one of `choices`, or raise `InvalidArgumentError`."""
    for choice in choices:
        if isinstance(value, str) and value == choice:
            return choice
    raise InvalidArgumentError(f"{what} is one of {', '.join(map(repr, choices))}, not {short(value)}")


def check_score(value: object) -> float:
    """Return `value` as a float if it is a real number (no NaN), or raise `InvalidArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidArgumentError(f"min_score is a number, not {short(value)} ({type(value).__name__})")
    try:
        score = float(value)
    except OverflowError:
        raise InvalidArgumentError("min_score is a number that a float can hold") from None
    if math.isnan(score):
        raise InvalidArgumentError("min_score is a number, not NaN")
    return score


def check_share(value: object, what: str) -> float:
    """Return `value` as a float if it is a real number from 0 to 1, or raise `InvalidArgumentError`."""
    if type(value) is float and 0.0 <= value <= 1.0:
        return value
    number: Any = value  # compared as it is: an int may be too large for a float
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= number <= 1:  # NaN is not
        raise InvalidArgumentError(f"{what} is a number from 0 to 1, not {short(value)} ({type(value).__name__})")
    return float(value)


def as_list(values: object, what: str) -> list[Any]:
    """Return the column `values` as a list of its own.

    Raises:
        InvalidArgumentError: `values` is a single string, a mapping, or not iterable.
    """
    if isinstance(values, str | bytes) or is_mapping(values) or not is_iterable(values):
        raise InvalidArgumentError(f"{what} is a list with one element a record, not {type(values).__name__}")
    return list(values)


def check_id(value: object) -> str:
    """Return `value` if it is a record id by rules 2.1 and 2.6, or raise `InvalidIdError`."""
    if not isinstance(value, str):
        raise InvalidIdError(f"an id is a str, not {short(value)} ({type(value).__name__}); convert it with str()")
    if not 1 <= len(value) <= MAX_ID:
        raise InvalidIdError(f"an id has 1 to {MAX_ID} characters, not {len(value):,}: {short(value)}")
    if is_plain_ascii(value):
        return value
    try:
        check_text(value, f"the id {short(value)}")
    except InvalidArgumentError as error:
        raise InvalidIdError(str(error)) from None
    return plain_text(value)


def check_unique(ids: Sequence[str]) -> None:
    """Raise `DuplicateIdError`, listing at most ten, if an id stands in `ids` twice (rule 2.2)."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    twice: set[str] = set()
    for id in ids:
        (twice if id in seen else seen).add(id)
    raise DuplicateIdError(
        f"{len(twice):,} id(s) are named more than once in this call: {_first_ten(twice)}; nothing was written"
    )


def already_stored(ids: Collection[str], count: int | None = None) -> DuplicateIdError:
    """Return the error with which a backend's `add` refuses ids that are stored (rule 3.2).

    Args:
        ids: Those of the call that are stored; the message lists the first ten.
        count: How many there are, if `ids` holds no more than the first of them.
    """
    return DuplicateIdError(
        f"{len(ids) if count is None else count:,} id(s) are stored already: {_first_ten(ids)}; nothing was written; "
        "use upsert to replace records"
    )


def not_stored(ids: Collection[str]) -> RecordNotFoundError:
    """Return the error with which a backend's `update` refuses ids that are not stored (rule 3.4).

    Args:
        ids: Those of the call that are missing; the message lists the first ten.
    """
    return RecordNotFoundError(
        f"{len(ids):,} id(s) are not stored: {_first_ten(ids)}; nothing was written; use upsert to add records"
    )


def check_document(value: object, record_id: str) -> str | None:
    """Return `value` if it is a document by rules 2.4 and 2.6, or raise `InvalidArgumentError`."""
    if value is None or is_plain_ascii(value):
        return value
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"the document of record {short(record_id)} is a str or None, not {type(value).__name__}"
        )
    check_text(value, f"the document of record {short(record_id)}")
    return plain_text(value)


def _first_ten(ids: Iterable[str]) -> str:
    return ", ".join(short(id) for id in sorted(ids)[:10])


def is_plain_ascii(value: object) -> TypeGuard[str]:
    """Whether a value is a text that needs no further look, as most are."""
    return type(value) is str and value.isascii() and "\0" not in value


def plain_text(value: str) -> str:
    """The text itself of any kind of `str`; `str()` of a member of a string enum is its name instead."""
    return str.__str__(value)


def short(value: object, limit: int = 80) -> str:
    """A value for a message, cut where it is long; never an error of its own, nor more work than what is shown."""
    text = ""
    for piece in _pieces(value, limit):
        text += piece
        if len(text) > limit:
            return text[: limit - 3] + "..."
    return text


_PLAIN_KINDS: Final[tuple[type, ...]] = (dict, list, tuple)
_SHOW_DICT, _SHOW_LIST, _SHOW_TUPLE = (vars(kind)["__repr__"] for kind in _PLAIN_KINDS)


def _pieces(value: object, limit: int) -> Iterator[str]:
    """The `repr` of a value bit by bit: one that shares its parts may be exponentially longer than it is large."""
    if is_dataclass(value) and hasattr(type(value).__repr__, "__wrapped__"):  # by the method that `dataclass` made
        parts = ((f"{field.name}=", getattr(value, field.name)) for field in fields(value) if field.repr)
        yield from _joined(f"{type(value).__qualname__}(", parts, ")", limit)
        return
    shown: object = type(value).__repr__
    if isinstance(value, str | bytes) and shown in (str.__repr__, bytes.__repr__):
        yield repr(value[: limit + 1])
    elif is_dict(value) and shown is _SHOW_DICT:
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield ", " if number else ""
            yield from _pieces(key, limit)
            yield ": "
            yield from _pieces(item, limit)
        yield "}"
    elif is_list(value) and shown is _SHOW_LIST:
        yield from _joined("[", (("", item) for item in value), "]", limit)
    elif is_sequence(value) and shown is _SHOW_TUPLE:
        yield from _joined("(", (("", item) for item in value), ",)" if len(value) == 1 else ")", limit)
    else:
        try:
            yield repr(value)
        except Exception:  # an int of more than 4,300 digits, or an object of the caller's
            yield f"<{type(value).__name__}>"


def _joined(start: str, parts: Iterable[tuple[str, object]], end: str, limit: int) -> Iterator[str]:
    yield start
    for number, (name, part) in enumerate(parts):
        yield f", {name}" if number else name
        yield from _pieces(part, limit)
    yield end
