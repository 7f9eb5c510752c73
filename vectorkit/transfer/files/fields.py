"""Which field of a file holds which part of a record, where others chose the names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from vectorkit.errors import InvalidArgumentError
from vectorkit.validation import short

__all__ = ["PARTS", "Fields", "Others"]

Others: TypeAlias = Literal["refuse", "metadata", "drop"]
"""What becomes of fields that are no part of a record: an error, keys of the metadata, or nothing."""

PARTS: Final = ("id", "document", "embedding", "metadata")

_USUAL: Final = {
    "document": ("text", "page_content", "content", "body", "chunk", "chunk_text", "documents"),
    "embedding": ("values", "vector", "embeddings", "dense_vector", "emb"),
    "metadata": ("payload", "meta", "metadatas", "attributes"),
    "id": ("_id", "ids", "uuid", "key", "pk"),
}
"""Names that other programs give to the parts: the message about unknown fields proposes what they probably are."""

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Fields:
    """What the fields of a file are called.

    Attributes:
        id: The name of the field with the id.
        document: With the document.
        embedding: With the vector.
        metadata: With the metadata, an object.
        others: What becomes of all other fields.
    """

    id: str = "id"
    document: str = "document"
    embedding: str = "embedding"
    metadata: str = "metadata"
    others: Others = "refuse"

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "Fields":
        """From the options of a URL.

        Raises:
            InvalidArgumentError: A value is not allowed, or one field is named for two parts.
        """
        fields = cls(**{name: value for name, value in options.items() if name in (*PARTS, "others")})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        if fields.others not in get_args(Others):
            raise InvalidArgumentError(
                f"others must be refuse, metadata or drop, got {short(fields.others)}: whether fields that are no part "
                "of a record are an error, are kept in the metadata, or are left out"
            )
        named = fields.names
        if "" in named or len(set(named)) < len(named):
            raise InvalidArgumentError(
                f"each part of a record must have a field of its own, got {', '.join(map(short, named))} for "
                f"{', '.join(PARTS)}"
            )
        return fields

    @property
    def names(self) -> tuple[str, str, str, str]:
        """The names of the fields of a record, in the order of `PARTS`."""
        return self.id, self.document, self.embedding, self.metadata

    @property
    def chosen(self) -> list[str]:
        """Those of the names that are not the usual ones; a file that has none of such a name was described wrongly."""
        return [name for part, name in zip(PARTS, self.names, strict=True) if part != name]

    def __str__(self) -> str:
        """As in a URL; `""` if all is as usual."""
        options = zip((*PARTS, "others"), (*self.names, self.others), strict=True)
        return "&".join(f"{option}={value}" for option, value in options if value not in (option, "refuse"))

    def check_known(self, names: Iterable[str], where: str) -> None:
        """Raise `InvalidArgumentError` if one of the names is no part of a record and it was not said what it is.

        Args:
            names: Names of fields.
            where: Of which file and line, for the message.
        """
        if self.others != "refuse":
            return
        unknown = [name for name in names if name not in self.names]
        if unknown:
            shown = ", ".join(map(short, unknown[:_SHOWN]))
            more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
            raise InvalidArgumentError(
                f"{where} has fields that are not part of a record: {shown}{more}; a record has {', '.join(PARTS)}. "
                f"{self._proposed(unknown)}To keep such fields in the metadata, add others=metadata to the URL; to "
                "leave them out, others=drop"
            )

    def check_seen(self, names: Iterable[str], label: str) -> None:
        """Raise `InvalidArgumentError` if a name that was chosen is none of those that the file has."""
        seen = set(names)
        if missing := [name for name in self.chosen if name not in seen]:
            raise InvalidArgumentError(
                f"{label} has no field {', '.join(map(short, missing))}; it has {', '.join(sorted(seen)[:_SHOWN])}"
            )

    def metadata_of(self, row: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        """The metadata of a record.

        Args:
            row: All its fields.
            metadata: What its field of metadata holds.

        Raises:
            InvalidArgumentError: A field and the metadata have the same name.
        """
        kept = dict(metadata or {})
        if self.others == "metadata":
            for name, value in row.items():
                if name in self.names:
                    continue
                if name in kept:
                    raise InvalidArgumentError(f"both the record and its metadata have a field {short(name)}")
                kept[name] = value
        return kept

    def _proposed(self, unknown: list[str]) -> str:
        known = {name: part for part, names in _USUAL.items() for name in names}
        likely = {known[name]: name for name in unknown if name in known and getattr(self, known[name]) == known[name]}
        if not likely:
            return ""
        options = "&".join(f"{part}={name}" for part, name in likely.items())
        return f"If they have other names for parts of it, add them to the URL: {options}. "
