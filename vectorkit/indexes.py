"""Vector indexes as objects: what kind, with which settings (given at creation, or to `Collection.create_index`).

A collection without one compares all records in every search. The ranges are those that pgvector takes
(https://github.com/pgvector/pgvector: `src/hnsw.h`, `src/ivfflat.h`), the widest of the stores here.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from vectorkit._json import parse_json
from vectorkit.errors import BackendError, InvalidArgumentError, UnsupportedError
from vectorkit.validation import check_between, check_choice, short

__all__ = [
    "HNSW",
    "MAX_EF_SEARCH",
    "MAX_PROBES",
    "IVFFlat",
    "Index",
    "IndexChoice",
    "IndexProgress",
    "Quantization",
    "as_index",
    "check_metric",
    "index_text",
    "read_index",
]

Quantization: TypeAlias = Literal["half", "binary"]
"""What an index holds in place of the vectors: `"half"`, 16-bit floats; `"binary"`, one bit a dimension, its sign.
Hits are always ordered and scored by the vectors themselves."""

MAX_EF_SEARCH: Final = 1000
MAX_PROBES: Final = 32_768


@dataclass(frozen=True, slots=True)
class HNSW:
    """A graph of near neighbours: the best recall for its speed; slow to build.

    Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
    World graphs", 2016.

    Attributes:
        m: Neighbours of a record in each layer, 2 to 100.
        ef_construction: Candidates looked at to find them, 4 to 1,000, and at least `2 * m`.
        ef_search: Candidates that a search looks at, 1 to 1,000; None: so many that recall@10 on embeddings of real
            text is at least 0.99.
        quantization: What the index holds; None: the vectors, or what a store can index in their place where they have
            too many dimensions for it.

    Raises:
        InvalidArgumentError: A setting is of another type, or out of its range.
    """

    m: int = 16
    ef_construction: int = 128
    ef_search: int | None = None
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        """Check the settings, and make plain ints of NumPy's."""
        object.__setattr__(self, "m", check_between(self.m, 2, 100, "m"))
        least = max(4, 2 * self.m)
        object.__setattr__(
            self, "ef_construction", check_between(self.ef_construction, least, 1000, f"ef_construction (m={self.m})")
        )
        if self.ef_search is not None:
            object.__setattr__(self, "ef_search", check_between(self.ef_search, 1, MAX_EF_SEARCH, "ef_search"))
        _check_quantization(self.quantization)


@dataclass(frozen=True, slots=True)
class IVFFlat:
    """Lists of records around centres that k-means finds: quick to build, small, of lower recall for its speed.

    The centres are those of the data at the time of building, so the index is built when records have come, and built
    anew (`Collection.reindex`) when there are many more of them.

    Attributes:
        lists: How many centres, 1 to 32,768; None: as pgvector's README advises, rows / 1,000 up to a million rows and
            the square root of their number above.
        probes: How many lists a search looks at, 1 to 32,768; None: so many that recall@10 on embeddings of real text
            is at least 0.99 with the default `lists` (0.97 was measured with eight times as many).
        quantization: As for `HNSW`.

    Raises:
        InvalidArgumentError: A setting is of another type, or out of its range.
    """

    lists: int | None = None
    probes: int | None = None
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        """Check the settings, and make plain ints of NumPy's."""
        if self.lists is not None:
            object.__setattr__(self, "lists", check_between(self.lists, 1, 32_768, "lists"))
        if self.probes is not None:
            object.__setattr__(self, "probes", check_between(self.probes, 1, MAX_PROBES, "probes"))
        _check_quantization(self.quantization)


Index: TypeAlias = HNSW | IVFFlat

IndexChoice: TypeAlias = Literal["hnsw", "ivfflat", "none"] | Index
"""An index by name, with its default settings, or as an object."""

_KINDS: Final[dict[str, type[HNSW] | type[IVFFlat]]] = {"hnsw": HNSW, "ivfflat": IVFFlat}


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the building of an index is.

    Attributes:
        phase: What is being done, in the store's words; `"ready"` at the end.
        done: How much of this phase is done, in its own unit (blocks of the table, or records).
        total: How much there is to do; 0 where that is not known.
    """

    phase: str
    done: int
    total: int

    def __str__(self) -> str:
        share = f" {self.done / self.total:.0%}" if self.total else ""
        return f"{self.phase}{share}"


def as_index(index: object) -> Index | None:
    """Return the index that `"hnsw"`, `"ivfflat"`, `"none"` or an object means, or raise `InvalidArgumentError`."""
    if isinstance(index, HNSW | IVFFlat):
        return index
    if not isinstance(index, str):
        raise InvalidArgumentError(f"index is 'hnsw', 'ivfflat', 'none', HNSW(…) or IVFFlat(…), not {short(index)}")
    name = check_choice(index, (*_KINDS, "none"), "index")
    return None if name == "none" else _KINDS[name]()


def check_metric(index: Index | None, metric: str) -> None:
    """Raise `UnsupportedError` if the index cannot approximate the metric.

    The bits of `quantization="binary"` are signs: how many differ follows the angle between two vectors and nothing
    else (Charikar, "Similarity estimation techniques from rounding algorithms", 2002).
    """
    if index is not None and index.quantization == "binary" and metric != "cosine":
        raise UnsupportedError(
            f"quantization='binary' keeps the signs of a vector, which tell of angles alone, not of {metric!r}; "
            "use metric='cosine', or quantization='half'"
        )


def index_text(index: Index | None) -> str:
    """An index as a store keeps it: its kind, or JSON of its kind and of the settings that are not the default."""
    if index is None:
        return "none"
    kind = next(kind for kind, made in _KINDS.items() if isinstance(index, made))
    defaults = asdict(_KINDS[kind]())
    given = {name: value for name, value in asdict(index).items() if value != defaults[name]}
    return json.dumps({"kind": kind, **given}) if given else kind


def read_index(text: str) -> Index | None:
    """The index of what `index_text` wrote.

    Raises:
        BackendError: A later release wrote it, or it was changed.
    """
    try:
        settings: Any = parse_json(text) if text.startswith("{") else {"kind": text}
        kind = settings.pop("kind")
        if kind == "none":
            return None
        return _KINDS[kind](**settings)
    except (ValueError, KeyError, TypeError):
        raise BackendError(
            f"the collection's index {short(text)} was changed, or made by a newer release; update vectorkit-db"
        ) from None


def _check_quantization(value: object) -> None:
    if value is not None:
        check_choice(value, ("half", "binary"), "quantization")
