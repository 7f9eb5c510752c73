"""What a lint finds: every kind of finding, with its rule, how bad it is, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

__all__ = ["Finding", "Findings", "LintReport", "Severity"]

Severity: TypeAlias = Literal["lost", "changed", "note"]
"""`lost`: will not survive a move, no other store takes it. `changed`: will not mean the same elsewhere. `note`: worth
knowing."""

_SHOWN: Final = 5
"""Ids of a finding that are kept; the others are counted."""

_DETAILS: Final = 3
"""Details of a finding that are kept."""


class _Kind(NamedTuple):
    rule: str
    severity: Severity
    what: str
    advice: str


_KINDS: Final[Mapping[str, _Kind]] = {
    "name": _Kind(
        "1.1", "changed", "the name {detail} is none that every store takes", "name it yourself: copy with --as NAME"
    ),
    "dimension": _Kind("1.2", "lost", "{detail} dimensions; at most 16,000 are taken", "embed with a smaller model"),
    "index-dimension": _Kind(
        "9.1",
        "note",
        "{detail}",
        "choose a smaller embedding if searches must be fast there, or measure first with `vectorkit bench`",
    ),
    "index": _Kind(
        "9.1", "note", "its index {detail} is none that every store has", "another store is given its own default"
    ),
    "distance": _Kind(
        "6.2",
        "changed",
        "it was made by another program, and its distances are {detail}",
        "the order of hits is the same; change thresholds on distances",
    ),
    "embedder": _Kind(
        "1.4",
        "note",
        "which embedder made its vectors is not stored: {detail}",
        "give the same embedder when you open the copy, or searches by text mean nothing",
    ),
    "uris": _Kind(
        "2.5",
        "changed",
        "its records have URIs, which a copy keeps in the metadata, under the key 'uri'",
        "read them there; a record that has another value under this key is refused: rename the key first",
    ),
    "at-risk": _Kind("", "note", "{detail}", "look at it with `vectorkit repair`, and copy it to a store of its own"),
    "unfinished": _Kind("", "changed", "{detail}", "run that copy again, until it says that it is complete"),
    "empty": _Kind(
        "", "note", "it holds no record, so nothing tells its dimension", "create it anew where you need it"
    ),
    "no-dimension": _Kind(
        "2.3",
        "lost",
        "no record has an embedding that can be read, so nothing tells its dimension",
        "name the field of the embeddings in the URL, ?embedding=NAME, or embed the documents with ingest",
    ),
    "left-out": _Kind(
        "2.8",
        "lost",
        "rows of the adopted table that cannot be records, and take no part: a zero or huge vector, metadata that is "
        "not an object, an id of more than 512 characters",
        "repair them in the table",
    ),
    "malformed": _Kind(
        "2",
        "lost",
        "lines or rows that hold no record: {detail}",
        "repair them, or copy with --skip-bad FILE",
    ),
    "id": _Kind("2.1", "lost", "ids that are empty or longer than 512 characters", "give these records other ids"),
    "nul": _Kind("2.6", "lost", "NUL in an id, a document or metadata", "remove it: text.replace(chr(0), '')"),
    "surrogate": _Kind(
        "2.6",
        "lost",
        "a lone surrogate in an id, a document or metadata: no valid Unicode",
        "decode its source with errors='replace'",
    ),
    "integer": _Kind("2.5", "lost", "integers beyond 64 bits in metadata", "store them as strings"),
    "nan": _Kind("2.5", "lost", "NaN or infinity in metadata", "leave the key out, or store None"),
    "key": _Kind(
        "2.5",
        "lost",
        "metadata keys that are empty, longer than 256 characters, or begin with $, #, _vk or chroma:",
        "rename them",
    ),
    "size": _Kind(
        "2.5",
        "lost",
        "metadata with more than 256 keys, 1,000 list elements or 32 levels",
        "put what you do not filter by into one key, as a text of JSON",
    ),
    "refused": _Kind("2", "lost", "records that break a rule: {detail}", "repair them, or copy with --skip-bad FILE"),
    "no-embedding": _Kind("2.3", "lost", "records without an embedding", "embed their documents, or delete them"),
    "length": _Kind(
        "2.3", "lost", "embeddings of another dimension than the collection's", "embed them with the same model"
    ),
    "not-finite": _Kind("2.3", "lost", "embeddings with NaN, infinity or a norm above 1e15", "embed them anew"),
    "zero-vector": _Kind(
        "2.3", "lost", "zero vectors, which have no cosine with anything", "embed them anew, or delete them"
    ),
    "zero-vector-note": _Kind(
        "2.3", "note", "zero vectors: a collection with metric cosine refuses them", "look at them"
    ),
    "nested": _Kind(
        "5.8",
        "note",
        "dicts, or lists in lists, in metadata: no filter but $exists finds what is in them (under {detail})",
        "lift what you filter by to a key of its own",
    ),
    "mixed-types": _Kind(
        "5.4",
        "note",
        "values of several types under one key, of which a filter finds one: {detail}",
        "store one type under a key",
    ),
    "mixed-numbers": _Kind(
        "5.4",
        "changed",
        "ints and floats under one key, which Chroma's own filters do not compare exactly: {detail}",
        "expect other answers than Chroma gave you: 1.5 is not 1 here",
    ),
    "many-keys": _Kind(
        "", "note", "more than {detail} different metadata keys: types under the others not compared", ""
    ),
    "duplicate-text": _Kind(
        "",
        "note",
        "documents that an earlier record has too",
        "delete them, or have fewer different hits in every search",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a move would lose or change, or that is worth knowing before one.

    Attributes:
        code: What kind it is, in a word.
        severity: How bad it is.
        rule: The rule of the contract (docs/SEMANTICS.md); `""` if there is none.
        collection: Where.
        count: Of how many records; 0 if it is of the collection itself.
        ids: The first of them.
        message: A sentence for people.
        advice: What to do.
    """

    code: str
    severity: Severity
    rule: str
    collection: str
    count: int
    ids: tuple[str, ...]
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in a source.

    Attributes:
        source: Where, without passwords.
        collections: The names of those that were read.
        records: How many records were read.
        findings: The worst first.
    """

    source: str
    collections: tuple[str, ...]
    records: int
    findings: tuple[Finding, ...]

    @property
    def portable(self) -> bool:
        """Whether everything will survive a move and mean the same: there is nothing but notes."""
        return all(finding.severity == "note" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, with `portable`."""
        return {"portable": self.portable, **asdict(self)}


class Findings:
    """Collects the findings of one collection: counts, the first ids, the first details.

    Args:
        collection: Its name.
    """

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._counts: dict[str, int] = {}
        self._ids: dict[str, list[str]] = {}
        self._details: dict[str, list[str]] = {}

    def add(self, code: str, ids: Sequence[str] = (), *, count: int | None = None, detail: str = "") -> None:
        """Take a finding.

        Args:
            code: What kind.
            ids: Records that it is of.
            count: How many there are, if `ids` has only the first of them.
            detail: What stands in its message; of many, the first few.
        """
        self._counts[code] = self._counts.get(code, 0) + (len(ids) if count is None else count)
        kept = self._ids.setdefault(code, [])
        kept.extend(ids[: _SHOWN - len(kept)])
        details = self._details.setdefault(code, [])
        if len(details) < _DETAILS and detail not in details:
            details.append(detail)

    def found(self) -> list[Finding]:
        """All of them, in the order of the table above."""
        return [
            Finding(
                code=code,
                severity=kind.severity,
                rule=kind.rule,
                collection=self._collection,
                count=self._counts[code],
                ids=tuple(self._ids[code]),
                message=kind.what.format(detail="; ".join(self._details[code])),
                advice=kind.advice,
            )
            for code, kind in _KINDS.items()
            if code in self._counts
        ]
