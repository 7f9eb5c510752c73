"""Reading back what a store keeps of a collection. It is data: whoever may write to the store may have changed it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from vectorkit._narrow import is_mapping
from vectorkit.columns import read_columns
from vectorkit.errors import BackendError, InvalidArgumentError
from vectorkit.indexes import read_index
from vectorkit.text import check_language
from vectorkit.types import CollectionSpec, EmbedderIdentity
from vectorkit.validation import as_metric, check_dimension, check_flag, check_name, check_text, plain_text, short

__all__ = ["damaged", "read_spec", "read_text"]


def read_spec(stored: Mapping[str, object], where: str) -> CollectionSpec:
    """The collection that stored fields tell of, each checked as it was when the collection was created.

    Args:
        stored: By the names of `CollectionSpec`'s fields: `embedder` a mapping of `EmbedderIdentity`'s or None, `index`
            what `index_text` made. `columns`, `text_index` and `language` may be missing.
        where: Where it is stored, for the message.

    Raises:
        BackendError: A field is missing, or does not hold what this library writes there.
    """
    fields: dict[str, Any] = {}
    for name, read in _FIELDS.items():
        if name not in stored and name in _OPTIONAL:
            continue
        try:
            fields[name] = read(stored[name])
        except KeyError:
            raise damaged(where, name, "it is missing") from None
        except InvalidArgumentError as error:
            raise damaged(where, name, str(error)) from None
    spec = CollectionSpec(**fields)
    if spec.embedder is not None and spec.embedder.dimension != spec.dimension:
        raise damaged(where, "embedder", f"it makes vectors of {spec.embedder.dimension} dimensions")
    return spec


def damaged(where: str, field: str, problem: str) -> BackendError:
    """The error for a field that this library did not write so."""
    return BackendError(f"{where}: the stored {field} was changed or damaged ({problem}); restore it from a backup")


def read_text(value: object) -> str:
    """A stored string, or `InvalidArgumentError`."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"expected a string, got {short(value)}")
    check_text(value, "the string")
    return plain_text(value)


def _embedder(value: object) -> EmbedderIdentity | None:
    """The stored identity; fields of a later release are left out."""
    if value is None:
        return None
    if not is_mapping(value):
        raise InvalidArgumentError(f"expected an object, got {short(value)}")
    if missing := [name for name in ("kind", "model", "dimension") if name not in value]:
        raise InvalidArgumentError(f"it lacks {', '.join(missing)}")
    return EmbedderIdentity(**{name: read(value[name]) for name, read in _IDENTITY.items() if name in value})


_IDENTITY: Final[dict[str, Callable[[object], Any]]] = {
    "kind": read_text,
    "model": read_text,
    "dimension": check_dimension,
    "query_prompt": read_text,
    "document_prompt": read_text,
    "normalize": lambda value: check_flag(value, "normalize"),
    "revision": lambda value: None if value is None else read_text(value),
}

_FIELDS: Final[dict[str, Callable[[object], Any]]] = {
    "name": check_name,
    "metric": as_metric,
    "dimension": check_dimension,
    "embedder": _embedder,
    "index": lambda value: read_index(read_text(value)),
    "text_index": lambda value: check_flag(value, "text_index"),
    "language": check_language,
    "columns": read_columns,
}

_OPTIONAL: Final = ("text_index", "language", "columns")
