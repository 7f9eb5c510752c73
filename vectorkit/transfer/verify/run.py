"""`verify`: whether two stores hold the same, and answer the same."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from vectorkit.embedding import embed_query, identity_of
from vectorkit.errors import CollectionNotFoundError, EmbeddingError, InvalidArgumentError
from vectorkit.protocol import Embedder
from vectorkit.transfer.arguments import as_names, as_renaming, check_progress
from vectorkit.transfer.merging import aligned
from vectorkit.transfer.opening import Place, open_source
from vectorkit.transfer.records import compare_records
from vectorkit.transfer.sources import Contents, Malformed, Source
from vectorkit.transfer.stores import StoreSource
from vectorkit.transfer.verify.report import CollectionCheck, Differences, Kind, Verification
from vectorkit.transfer.verify.sampling import Sample
from vectorkit.transfer.verify.searches import NamedQuery, Side, compare_searches, filters_from
from vectorkit.types import CollectionSpec, EmbedderIdentity, FloatArray, Record, Vector
from vectorkit.validation import as_list, check_between, check_natural, check_text, short
from vectorkit.vectors import as_vectors

__all__ = ["verify"]

_MANY: Final = 2**31 - 1
_BATCH: Final = 1000


def verify(
    source: Place,
    target: Place,
    *,
    collections: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    queries: Sequence[str | Vector] = (),
    embedder: Embedder | Callable[[EmbedderIdentity], Embedder] | None = None,
    sample: int = 10,
    k: int = 10,
    seed: int = 0,
    progress: Callable[[str, int, int], object] | None = None,
) -> Verification:
    """Compare all that two stores hold, then how they answer.

    Every record is read on both sides, in ascending order of id, and compared: that it is there, its document (`""` is
    not None), its metadata with their types (`1` is neither `1.0` nor `true`), its vector (within 1e-6 of the norm,
    rule 6.10). So are the settings of the collection: metric, dimension, identity of the embedder, language, text
    index, and the number of records; index and typed columns may differ, they change no result. Memory is bounded
    however many records there are, apart from what reading a store takes for its ids.

    Then both sides are searched, with the queries given, without a filter and with filters taken from the data, and
    with the vectors of a sample of the source's records, each in one of these ways, in turn. Exact searches must find
    the same hits with the same scores in the same order, up to rules 6.4 and 6.5; what default searches have in common
    is reported (no index is exact: rule 6.7).

    Files, and collections that other programs made, are compared record by record and not searched: `remarks` says so.

    Args:
        source: A URL as for `connect`, `file:PATH.parquet` or `file:PATH.jsonl`, a store or a backend; the last two
            stay open.
        target: The same.
        collections: Names in the source; None: all there are. What else the target holds is not looked at.
        names: For those that are called otherwise in the target: from the name in the source to that in the target.
        queries: Texts, or vectors of the collections' dimension, to search with besides the sample.
        embedder: Embeds the texts among them; or a function that makes one of the identity that is stored with a
            collection of the source.
        sample: How many records' vectors to search with, >= 0; drawn evenly over all records. Each costs one exact
            search of each side.
        k: How many hits a search asks for, >= 1.
        seed: Of the sample, 0 to 2^64 - 1: the same seed draws the same records.
        progress: Called now and then, in this thread, with what is being done, how much is done, and how much there is.

    Returns:
        What was found; `agrees` says whether all is the same.

    Raises:
        CollectionNotFoundError: A collection of that name is not in the source, or the source is empty. (One that the
            target lacks is a difference.)
        InvalidArgumentError: An argument is not allowed, or a URL.
        InvalidVectorError: A query is no vector of the dimension of a collection (`DimensionMismatchError`).
        EmbeddingError: A text among the queries, and no embedder, or another one than the collection's.
        MissingDependencyError: A client library is not installed.
        BackendError: A store cannot be opened or read.
    """
    k = check_between(k, 1, _MANY, "k")
    sample = check_natural(sample, "sample")
    asked = as_list(queries, "queries")
    seed = check_between(seed, 0, 2**64 - 1, "seed")
    wanted, renamed = as_names(collections), as_renaming(names)
    check_progress(progress)
    if embedder is not None and not isinstance(embedder, Embedder) and not callable(embedder):
        raise InvalidArgumentError(
            f"embedder must be an embedder, or a function that makes one of an identity, got {short(embedder)}"
        )
    with open_source(source) as left, open_source(target) as right:
        found = left.contents() if wanted is None else [left.content(name) for name in wanted]
        if not found:
            raise CollectionNotFoundError(f"{left.label} holds no collection, so there is nothing to verify")
        run = _Run(left, right, asked, embedder, sample, k, seed, progress or _silent)
        # As `copy` calls them: a name that rule 1.1 forbids becomes one that it allows.
        usual = {each.name: each.name if each.spec is None else each.spec.name for each in found}
        checks = [run.check(each, renamed.get(each.name, usual[each.name])) for each in found]
        return Verification(left.label, right.label, tuple(checks))


class _Run:
    """The arguments of one verification."""

    def __init__(
        self,
        source: Source,
        target: Source,
        queries: list[object],
        embedder: Embedder | Callable[[EmbedderIdentity], Embedder] | None,
        sample: int,
        k: int,
        seed: int,
        progress: Callable[[str, int, int], object],
    ) -> None:
        self._source = source
        self._target = target
        self._queries = queries
        self._embedder = embedder
        self._made: dict[EmbedderIdentity, Embedder] = {}
        self._sample = sample
        self._k = k
        self._seed = seed
        self._progress = progress

    def check(self, ours: Contents, target_name: str) -> CollectionCheck:
        """Compare one collection."""
        begun = time.monotonic()
        found, remarks = Differences(), list(ours.remarks)
        try:
            theirs = self._target.content(target_name)
        except CollectionNotFoundError:
            found.add("collection", f"{target_name!r} is not in the target")
            theirs = None
        counts = (ours.count, 0 if theirs is None else theirs.count)
        compared, error, searches = 0, 0.0, None
        if theirs is not None:
            remarks += [remark for remark in theirs.remarks if remark not in remarks]
            _compare_settings(ours, theirs, found, remarks)
            queries = self._given_queries(ours.spec)
            sample = Sample(self._sample, self._seed)
            for left, right in self._pairs(ours, target_name, found, sample):
                error = max(error, compare_records(left, right, found))
                compared += len(left)
            sides = self._sides(ours, theirs, found, remarks)
            sampled = sample.queries()
            if sides is not None and not queries + sampled:
                remarks.append("not searched: there is no vector to search with")
            elif sides is not None:
                searches = compare_searches(
                    *sides,
                    queries,
                    sampled,
                    filters_from(sample.records),
                    self._k,
                    found,
                    lambda done, total: self._progress(f"searching {ours.name}", done, total),
                )
        return CollectionCheck(
            name=ours.name,
            target_name=target_name,
            counts=counts,
            compared=compared,
            vector_error=error,
            differences=dict(found.counts),
            first=tuple(found.first),
            searches=searches,
            remarks=tuple(remarks),
            seconds=time.monotonic() - begun,
        )

    def _pairs(
        self, ours: Contents, target_name: str, found: Differences, sample: "Sample"
    ) -> Iterator[tuple[list[Record], list[Record]]]:
        """Records of the same ids; ids that are on one side alone are differences."""

        def malformed(side: str, what: Malformed) -> None:
            found.add("malformed", f"{what.place} of the {side} holds no record: {what.error}")

        streams = (
            self._source.read(ours.name, batch_size=_BATCH, malformed=partial(malformed, "source")),
            self._target.read(target_name, batch_size=_BATCH, malformed=partial(malformed, "target")),
        )
        done = 0
        for part in aligned(*streams):
            for record in part.only_left:
                found.add("missing", f"{short(record.id)} is not in the target", record.id)
            for id in part.only_right:
                found.add("extra", f"{short(id)} is not in the source", id)
            sample.draw(part.left)
            yield part.left, part.right
            done += len(part.left) + len(part.only_left)
            self._progress(f"comparing {ours.name}", done, ours.count)

    def _sides(
        self, ours: Contents, theirs: Contents, found: Differences, remarks: list[str]
    ) -> tuple[Side, Side] | None:
        """Both collections, if they can be searched and their searches mean the same."""
        if differing := [kind for kind in ("metric", "dimension") if kind in found.counts]:
            verb = "differs" if len(differing) == 1 else "differ"
            remarks.append(f"not searched: the {' and the '.join(differing)} {verb}")
            return None
        sides: list[Side] = []
        for source, content in ((self._source, ours), (self._target, theirs)):
            if not isinstance(source, StoreSource):
                remarks.append(f"not searched: {source.label} is no store, and answers no queries")
                return None
            if content.foreign:
                remarks.append(f"not searched: {content.name!r} of {source.label} was made by another program")
                return None
            sides.append(Side(source.backend, source.backend.open_collection(content.name)))
        return sides[0], sides[1]

    def _given_queries(self, spec: CollectionSpec | None) -> list[NamedQuery]:
        if spec is None:
            return []
        queries: list[NamedQuery] = []
        for number, query in enumerate(self._queries, start=1):
            if isinstance(query, str):
                queries.append(NamedQuery(self._embedded(query, spec), f"query {short(query)}"))
            else:
                name = f"query {number}"
                vectors = as_vectors([query], spec.dimension, spec.metric, partial(_always, name))
                queries.append(NamedQuery(vectors[0], name))
        return queries

    def _embedded(self, query: str, spec: CollectionSpec) -> FloatArray:
        check_text(query, "the query")
        embedder = self._embedder
        if embedder is not None and not isinstance(embedder, Embedder) and spec.embedder is not None:
            embedder = self._made.get(spec.embedder) or embedder(spec.embedder)
            self._made[spec.embedder] = embedder
        if not isinstance(embedder, Embedder):
            raise EmbeddingError(
                f"the query {short(query)} is a text, and there is no embedder for collection {spec.name!r}: pass "
                "embedder=, or vectors as queries"
            )
        if spec.embedder is not None and identity_of(embedder) != spec.embedder:
            raise EmbeddingError(
                f"collection {spec.name!r} was made with the embedder {spec.embedder.model!r}, "
                f"not {identity_of(embedder).model!r}, whose queries mean something else"
            )
        return embed_query(embedder, spec, query).reshape(-1)


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def _always(name: str, _: int) -> str:
    return name


def _compare_settings(ours: Contents, theirs: Contents, found: Differences, remarks: list[str]) -> None:
    if ours.count != theirs.count:
        found.add("count", f"{ours.count:,} records in the source, {theirs.count:,} in the target")
    a, b = ours.spec, theirs.spec
    if a is None or b is None:
        side = "source" if a is None else "target"
        remarks.append(f"settings not compared: the {side} has no record yet that would tell its dimension")
        return
    settings: list[tuple[Kind, object, object]] = [
        ("metric", a.metric, b.metric),
        ("dimension", a.dimension, b.dimension),
        ("text index", a.text_index, b.text_index),
    ]
    if a.embedder is None and b.embedder is not None:
        remarks.append(f"the target knows the embedder, {b.embedder.model!r}, and the source does not")
    else:
        settings.append(("embedder", a.embedder, b.embedder))
    if a.text_index or b.text_index:  # without one it has no meaning
        settings.append(("language", a.language, b.language))
    for kind, mine, yours in settings:
        if mine != yours:
            found.add(kind, f"{kind} {short(mine, 200)} in the source, {short(yours, 200)} in the target")
    if a.embedder and b.embedder and a.embedder == b.embedder and a.embedder.revision != b.embedder.revision:
        remarks.append(
            f"the embedder's revision is {a.embedder.revision} in the source, {b.embedder.revision} in the target"
        )
