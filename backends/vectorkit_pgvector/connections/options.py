"""Options of ours in a Postgres URL, beside those that libpq knows: each is an argument of `PgVectorBackend` too."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from psycopg.pq import Conninfo

from vectorkit.errors import InvalidArgumentError
from vectorkit.validation import check_between, check_flag, check_text, short
from vectorkit_pgvector.sql.partitions import MAX_PARTITIONS

__all__ = ["Options", "read"]

_MAX_POOL: Final = 1000
_MAX_TIMEOUT: Final = 86_400  # seconds: a day
_LONGEST_NAME: Final = 63  # bytes of a name, before PostgreSQL cuts it


@dataclass(frozen=True, slots=True)
class Options:
    """What the arguments and the URL say.

    Attributes:
        pool_size: The most connections of a pool of one's own.
        schema: The schema that the tables are in.
        timeout: Seconds without a sign of the server after which a statement is given up.
        pooler: Whether there is a transaction pooler in between; None: find out.
        partitions: How many partitions a new collection's table has.
    """

    pool_size: int = 10
    schema: str = "public"
    timeout: float = 60.0
    pooler: bool | None = None
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class _Option:
    parse: Callable[[str], object]  # of what stands in a URL; raises ValueError
    check: Callable[[Any], object]
    expected: str


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _schema(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(f"schema must be the name of a schema, got {short(value)}")
    check_text(value, "schema")
    if len(value.encode()) > _LONGEST_NAME or value.startswith("pg_"):
        raise InvalidArgumentError(
            f"schema must have at most {_LONGEST_NAME} bytes and not begin with pg_, which is PostgreSQL's own, got "
            f"{short(value)}"
        )
    return value


def _timeout(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= _MAX_TIMEOUT:
        raise InvalidArgumentError(f"timeout must be 0.1 to {_MAX_TIMEOUT:,} seconds, got {short(value)}")
    return float(value)


_OPTIONS: Final[dict[str, _Option]] = {
    "pool_size": _Option(int, lambda value: check_between(value, 1, _MAX_POOL, "pool_size"), "a whole number"),
    "schema": _Option(str, _schema, "a name"),
    "timeout": _Option(float, _timeout, "a number of seconds"),
    "pooler": _Option(_flag, lambda value: check_flag(value, "pooler"), "true or false"),
    "partitions": _Option(int, lambda value: check_between(value, 1, MAX_PARTITIONS, "partitions"), "a whole number"),
}
_LIBPQ: Final = frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def read(url: str | None, arguments: Mapping[str, object]) -> tuple[str | None, Options]:
    """Take our options out of a URL, and check them and the arguments.

    Args:
        url: As it was given; None if there is none.
        arguments: By name; None for what was left out.

    Returns:
        The URL without them, as libpq takes it, and the options.

    Raises:
        InvalidArgumentError: An option is unknown, malformed, out of its range, or given twice.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if (isinstance(url, str) and "://" in url) or (isinstance(url, str) and url.startswith("postgresql+embedded:")):
        url, found = _split(url)
        for name, value in found.items():
            if name in given:
                raise InvalidArgumentError(f"{name} is given in the URL and as an argument; give it once")
            given[name] = value
    checked: dict[str, Any] = {name: _OPTIONS[name].check(value) for name, value in given.items()}
    return url, Options(**checked)


def _split(url: str) -> tuple[str, dict[str, object]]:
    place, mark, query = url.partition("?")
    if "@" in query:  # part of a password, which is not to be shown: the check of the whole URL says so
        return url, {}
    ours: dict[str, object] = {}
    rest: list[str] = []
    for part in query.split("&") if mark else ():
        name, _, text = part.partition("=")
        if name not in _OPTIONS:
            if place.startswith("postgresql+embedded:") or (name not in _LIBPQ and re.fullmatch(r"[A-Za-z_]+", name)):
                raise InvalidArgumentError(
                    f"the URL's option {short(name)} is unknown; vectorkit's are {', '.join(_OPTIONS)}, "
                    "and a postgresql:// URL takes those of libpq, such as sslmode"
                )
            rest.append(part)
            continue
        if name in ours:
            raise InvalidArgumentError(f"the URL's option {name} is given twice; give it once")
        try:
            ours[name] = _OPTIONS[name].parse(unquote(text))
        except ValueError:
            raise InvalidArgumentError(
                f"the URL's option {name} must be {_OPTIONS[name].expected}, got {short(unquote(text))}"
            ) from None
    return place + (f"?{'&'.join(rest)}" if rest else ""), ours
