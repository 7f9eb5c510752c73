"""Checks of what `copy`, `verify`, `compare` and `lint` are given, made before a store is opened."""

from vectorkit._narrow import is_mapping
from vectorkit.errors import InvalidArgumentError
from vectorkit.validation import as_list, check_text, plain_text, short

__all__ = ["as_names", "as_renaming", "check_progress"]


def as_names(collections: object) -> list[str] | None:
    """Return the names of collections, each once; None for all there are.

    Others' collections may have names that rule 1.1 forbids, so any text is taken.

    Raises:
        InvalidArgumentError: It is not a list of texts.
    """
    if collections is None:
        return None
    if isinstance(collections, str):
        raise InvalidArgumentError(
            f"collections must be a list of names, got the text {short(collections)}; put it into a list"
        )
    return list(dict.fromkeys(_text(name, "a name in collections") for name in as_list(collections, "collections")))


def as_renaming(names: object) -> dict[str, str]:
    """Return what collections are called in the target, by their names in the source; empty for None.

    Raises:
        InvalidArgumentError: It is no mapping from texts to texts.
    """
    if names is None:
        return {}
    if not is_mapping(names):
        raise InvalidArgumentError(f"names must map names in the source to those in the target, got {short(names)}")
    return {_text(old, "a name in names"): _text(new, "a name in names") for old, new in names.items()}


def check_progress(progress: object) -> None:
    """Refuse what is given to be called now and then, and cannot be."""
    if progress is not None and not callable(progress):
        raise InvalidArgumentError(f"progress must be a function, got {short(progress)}")


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{what} must be a str, got {short(value)} ({type(value).__name__})")
    check_text(value, what)
    return plain_text(value)
