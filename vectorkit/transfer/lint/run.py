"""`lint`: what will not survive a move, or not mean the same elsewhere, while there is still time to change it."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

import numpy as np

from vectorkit.errors import CollectionNotFoundError
from vectorkit.indexes import HNSW
from vectorkit.maintenance import CollectionCondition, StoreCondition, examine
from vectorkit.metrics import METRICS
from vectorkit.registry import schemes
from vectorkit.transfer.arguments import as_names, check_progress
from vectorkit.transfer.copy.rejects import sound
from vectorkit.transfer.lint.findings import Finding, Findings, LintReport
from vectorkit.transfer.lint.values import KeyTypes, record_problems
from vectorkit.transfer.opening import Place, open_source
from vectorkit.transfer.sources import Contents, Malformed, Source
from vectorkit.transfer.stores import StoreSource
from vectorkit.types import CollectionSpec, Record, Vector
from vectorkit.validation import MAX_DIMENSION, allowed_name
from vectorkit.vectors import MAX_NORM

__all__ = ["lint"]

_BATCH: Final = 1000
_INDEXED: Final = 2000
_INDEXED_HALF: Final = 4000
"""The most dimensions that pgvector indexes, as 32 and as 16-bit floats (its README, "Indexing")."""

_WORST_FIRST: Final = ("lost", "changed", "note")


def lint(
    source: Place,
    *,
    collections: Sequence[str] | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> LintReport:
    """Look for what other stores would not take, or take for something else.

    Of records: what breaks rules 2.1 to 2.8 (NUL, lone surrogates, integers beyond 64 bits, NaN, forbidden keys,
    missing or bad embeddings, zero vectors under `cosine`), nested values and mixed types, which filters do not see,
    and texts that are stored twice. Of collections: names, dimensions beyond those of indexes, distances that other
    programs compute otherwise. All records are read, once; memory is bounded but for a hash of each document, and what
    reading a store takes for its ids.

    Args:
        source: A URL as for `connect`, `file:PATH.parquet` or `file:PATH.jsonl`, a store or a backend; the last two
            stay open. Collections that others made in Chroma are looked at too.
        collections: Names; None: all there are.
        progress: Called now and then, in this thread, with the name of the collection, how many of its records were
            read, and how many there are.

    Returns:
        The findings; `portable` says whether nothing will be lost or changed.

    Raises:
        CollectionNotFoundError: There is no collection of that name, or none at all.
        InvalidArgumentError: An argument is not allowed, or a URL.
        MissingDependencyError: A client library is not installed.
        BackendError: The store cannot be opened or read.
    """
    wanted = as_names(collections)
    check_progress(progress)
    condition = examine(source) if isinstance(source, str) and source.partition(":")[0] in schemes() else None
    at_risk = {} if condition is None else {each.name: _at_risk(each, condition) for each in condition.collections}
    with open_source(source) as opened:
        contents = opened.contents() if wanted is None else [opened.content(name) for name in wanted]
        if not contents:
            raise CollectionNotFoundError(f"{opened.label} holds no collection, so there is nothing to look at")
        found: list[Finding] = []
        records = 0
        for content in contents:
            count, findings = _linted(opened, content, progress, at_risk.get(content.name, ""))
            records += count
            found += findings
        found.sort(key=lambda each: _WORST_FIRST.index(each.severity))
        return LintReport(opened.label, tuple(each.name for each in contents), records, tuple(found))


def _at_risk(collection: CollectionCondition, store: StoreCondition) -> str:
    """What may become of a collection's saved index, or has; "" if nothing."""
    if collection.state == "torn":
        return f"its saved index is torn ({collection.detail})"
    if collection.foreign and collection.state == "whole" and not store.keeps_log:
        return "its index is saved in place and its log deleted: a process killed at that moment breaks it for good"
    return ""


def _linted(
    source: Source, content: Contents, progress: Callable[[str, int, int], object] | None, at_risk: str
) -> tuple[int, list[Finding]]:
    findings = Findings(content.name)
    if at_risk:
        findings.add("at-risk", detail=at_risk)
    chroma = content.foreign and isinstance(source, StoreSource)  # no other store has collections of others
    _check_collection(content, findings, chroma=chroma)
    _check_left_out(source, content, findings)
    types, texts, count = KeyTypes(), _Texts(), 0

    def malformed(found: Malformed) -> None:
        findings.add("malformed", [found.place], detail=str(found.error))

    for records in source.read(content.name, batch_size=_BATCH, malformed=malformed):
        _check_records(records, content.spec, findings)
        for record in records:
            types.see(record)
        texts.see(records, findings)
        count += len(records)
        if progress is not None:
            progress(content.name, count, content.count)
    types.report(findings, chroma=chroma)
    return count, findings.found()


def _check_collection(content: Contents, findings: Findings, *, chroma: bool) -> None:
    if content.name != allowed_name(content.name):
        findings.add("name", detail=f"{content.name!r} (a copy calls it {allowed_name(content.name)!r})")
    if not content.foreign:
        for remark in content.remarks:
            findings.add("unfinished", detail=remark)
    spec = content.spec
    if spec is None and content.count:
        findings.add("no-dimension")
    elif spec is None:
        findings.add("empty")
    if spec is None:
        return
    if content.foreign:
        findings.add("embedder", detail="it was made by another program")
    elif spec.embedder is None:
        findings.add("embedder", detail="it was made without one")
    if chroma and spec.metric == "l2":
        findings.add("distance", detail="squared l2 (here: l2, the root of that)")
    if chroma and spec.metric == "ip":
        findings.add("distance", detail="1 - a·b (here: -(a·b), which is less by 1)")
    if content.has_uris:
        findings.add("uris")
    if spec.dimension > MAX_DIMENSION:
        findings.add("dimension", detail=f"{spec.dimension:,}")
    elif spec.dimension > _INDEXED:
        findings.add("index-dimension", detail=_indexed(spec))
    if spec.index is not None and (not isinstance(spec.index, HNSW) or spec.index.quantization is not None):
        findings.add("index", detail=str(spec.index))


def _check_left_out(source: Source, content: Contents, findings: Findings) -> None:
    """Add the rows of an adopted table that are no records, which reading it does not show."""
    if content.foreign or not isinstance(source, StoreSource) or not source.backend.capabilities.storage_figures:
        return
    storage = source.backend.measure_storage(source.backend.open_collection(content.name))
    if storage.left_out:
        findings.add("left-out", storage.left_out_ids, count=storage.left_out)


def _indexed(spec: CollectionSpec) -> str:
    """What pgvector can index of so many dimensions."""
    if spec.dimension <= _INDEXED_HALF:
        how = "an index there holds 16-bit floats"
    elif spec.metric == "cosine":
        how = "an index there holds one bit a dimension"
    else:
        how = "there is no index for them, and every search compares all records"
    return f"{spec.dimension:,} dimensions; Postgres indexes {_INDEXED:,} as they are: {how}"


def _check_records(records: Sequence[Record], spec: CollectionSpec | None, findings: Findings) -> None:
    told: set[str] = set()
    for record in records:
        for code, detail in record_problems(record).items():
            findings.add(code, [record.id], detail=detail)
            if code != "nested":
                told.add(record.id)
    if spec is None:
        if records:
            findings.add("no-embedding", [record.id for record in records])
        return
    told.update(_check_vectors(records, spec, findings))
    for record, error in sound(records, spec)[1]:  # what a copy refuses for any other reason
        if record.id not in told:
            findings.add("refused", [record.id], detail=str(error))


def _check_vectors(records: Sequence[Record], spec: CollectionSpec, findings: Findings) -> set[str]:
    """Add what is wrong with the vectors, and return the ids that it is wrong with."""
    told: set[str] = set()

    def tell(code: str, ids: Sequence[str]) -> None:
        if ids:
            findings.add(code, ids)
            told.update(ids)

    tell("no-embedding", [record.id for record in records if record.embedding is None])
    ids: list[str] = []
    rows: list[Vector] = []
    others: list[str] = []
    for record in records:
        if record.embedding is not None and len(record.embedding) == spec.dimension:
            ids.append(record.id)
            rows.append(record.embedding)
        elif record.embedding is not None:
            others.append(record.id)
    tell("length", others)
    if rows:
        with np.errstate(invalid="ignore", over="ignore"):
            norms = np.linalg.norm(np.stack(rows).astype(np.float64), axis=1)
        tell("not-finite", [ids[row] for row in np.flatnonzero(~(norms <= MAX_NORM)).tolist()])
        least = METRICS[spec.metric].min_norm
        zero = "zero-vector" if least else "zero-vector-note"
        least = least or np.finfo(np.float64).tiny
        tell(zero, [ids[row] for row in np.flatnonzero(norms < least).tolist()])
    return told


class _Texts:
    """Finds documents that were there before, by a hash of eight bytes.

    Of a million texts, the chance that any two different ones share it is 3e-8.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def see(self, records: Sequence[Record], findings: Findings) -> None:
        """Look at the next records."""
        again: list[str] = []
        for record in records:
            if record.document:
                text = blake2b(record.document.encode(errors="surrogatepass"), digest_size=8).digest()
                if text in self._seen:
                    again.append(record.id)
                self._seen.add(text)
        if again:
            findings.add("duplicate-text", again)
