"""How values are shown on the terminal, and arguments that several commands take."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from vectorkit._json import parse_json
from vectorkit._narrow import is_mapping
from vectorkit.errors import InvalidArgumentError, InvalidFilterError
from vectorkit.paths import local_path
from vectorkit.registry import schemes
from vectorkit.urls import shown_url

__all__ = ["AsJson", "CollectionName", "Url", "check_there", "excerpt", "filter_of", "size_text"]


def _complete_url(incomplete: str) -> list[str]:
    """Complete the scheme; what the store holds is not looked up, as a key press should open no database."""
    return [f"{scheme}:" for scheme in schemes() if f"{scheme}:".startswith(incomplete)]


Url = Annotated[str, typer.Argument(help="The URL of a store.", autocompletion=_complete_url)]
CollectionName = Annotated[str, typer.Argument(help="The name of a collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_BY_PATH: Final = ("chroma", "postgresql+embedded")
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")


def check_there(url: str) -> None:
    """Keep a command that only reads from making an empty store of a path that was mistyped.

    Raises:
        InvalidArgumentError: The URL names a path, and there is nothing.
    """
    scheme, _, path = url.partition(":")
    if scheme in _BY_PATH and path and not local_path(path, f"the folder of {scheme}:PATH").exists():
        raise InvalidArgumentError(
            f"there is no store at {shown_url(url).partition(':')[2]}: check the path; ingest makes a new one"
        )


def excerpt(text: str, limit: int) -> str:
    """The beginning of a text on one line, without the control characters by which a document could steer a terminal.

    Args:
        text: The text.
        limit: Characters at most.
    """
    # A text may be megabytes long; what is cut off need not be looked at.
    shown = " ".join("".join(char if char.isprintable() else " " for char in text[: limit * 4]).split())
    return shown if len(shown) <= limit and len(text) <= limit * 4 else shown[: limit - 1].rstrip() + "…"


def size_text(count: int) -> str:
    """A number of bytes in the largest unit of which there is at least one."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"


def filter_of(text: str | None) -> Mapping[str, object] | None:
    """The filter of `--where`.

    Raises:
        InvalidFilterError: It is no JSON object. What the object says is checked by the search.
    """
    if text is None:
        return None
    example = """--where '{"year": {"$gte": 2020}}'"""
    try:
        where = parse_json(text)
    except ValueError as error:
        raise InvalidFilterError(f"--where is no JSON: {error}; it is given as in {example}") from error
    if not is_mapping(where):
        raise InvalidFilterError(f"--where is a JSON object, as in {example}, not {type(where).__name__}")
    return {str(key): value for key, value in where.items()}
