"""Making the vectors of a collection anew, with another embedder."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Final, Literal, TypeAlias

from vectorkit.backend.requests import Read, Scan
from vectorkit.embedding import identity_of
from vectorkit.errors import CollectionNotFoundError, EmbeddingError, UnsupportedError
from vectorkit.ingest import Run, as_batch_size
from vectorkit.intake import Intake
from vectorkit.progress import Ingested, Progress, reporting
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.types import CollectionInfo, CollectionSpec, EmbedderIdentity, Record
from vectorkit.validation import check_choice, check_dimension, short

__all__ = ["WithoutDocument", "reembed"]

WithoutDocument: TypeAlias = Literal["refuse", "drop"]
"""What becomes of records that have nothing to embed."""

_WITHOUT_DOCUMENT: Final[tuple[WithoutDocument, ...]] = ("refuse", "drop")
_PAGE: Final = 1000
_SHOWN: Final = 10


def reembed(
    backend: VectorBackend,
    info: CollectionInfo,
    embedder: Embedder,
    without_document: WithoutDocument,
    batch_size: int,
    progress: Progress,
) -> CollectionInfo:
    """See `Collection.reembed`; returns the collection with its new vectors."""
    identity = identity_of(embedder)
    dimension = check_dimension(identity.dimension)
    check_choice(without_document, _WITHOUT_DOCUMENT, "without_document")
    batch_size = as_batch_size(batch_size)
    here = backend.open_collection(info.name)
    if here.generation != info.generation:
        raise CollectionNotFoundError(
            f"collection {info.name!r} was dropped since it was opened; open or create it again"
        )
    stored = here.spec.embedder
    if stored is not None and stored == identity and stored.revision == identity.revision:
        return here
    if not backend.capabilities.replacing:
        raise UnsupportedError(
            f"{backend.name} cannot put one collection in the place of another; fill one of another name: "
            f"store.create_collection({info.name[:46] + '-2'!r}, embedder=embedder).ingest(collection.scan())"
        )
    total = _count_documents(backend, here, without_document)
    spec = replace(here.spec, name=_name_beside(here, identity), embedder=identity, dimension=dimension)
    with reporting(progress, total, f"embedding {info.name} anew") as report:
        try:
            beside = _open_or_create(backend, spec)
            for each in (report, _silent):  # the second time it embeds only what was written meanwhile
                Run(backend, beside, Intake(spec, embedder), "given", batch_size, each, total).take_in(
                    record for record in _records(backend, here) if record.document is not None
                )
                _forget_others(backend, beside, here)
        except BaseException as error:
            error.add_note(
                f"reembed: collection {info.name!r} is as it was; call it again to go on, or give up with "
                f"drop_collection({spec.name!r})"
            )
            raise
    return backend.replace_collection(here, beside)


def _records(backend: VectorBackend, collection: CollectionInfo) -> Iterator[Record]:
    return (record for page in backend.scan(collection, Scan(batch_size=_PAGE)) for record in page)


def _count_documents(backend: VectorBackend, here: CollectionInfo, without_document: WithoutDocument) -> int:
    count, lacking, first = 0, 0, list[str]()
    for record in _records(backend, here):
        if record.document is not None:
            count += 1
        else:
            lacking += 1
            if len(first) < _SHOWN:
                first.append(short(record.id))
    if lacking and without_document == "refuse":
        raise EmbeddingError(
            f"{lacking:,} record(s) of {here.name!r} have no document to embed: {', '.join(first)}; nothing was "
            "done; give them one with update(), delete them, or leave them behind with without_document='drop'"
        )
    return count


def _open_or_create(backend: VectorBackend, spec: CollectionSpec) -> CollectionInfo:
    try:
        return backend.open_collection(spec.name)
    except CollectionNotFoundError:
        return backend.create_collection(spec)


def _forget_others(backend: VectorBackend, beside: CollectionInfo, here: CollectionInfo) -> None:
    """Delete records that were deleted here, or lost their document, since they were embedded."""
    for page in backend.scan(beside, Scan(batch_size=_PAGE)):
        ids = [record.id for record in page]
        kept = {record.id for record in backend.get(here, Read(ids)) if record.document is not None}
        if others := [id for id in ids if id not in kept]:
            backend.delete(beside, ids=others)


def _name_beside(here: CollectionInfo, identity: EmbedderIdentity) -> str:
    """The name of the second collection: the same one for the same call, so that it is found again."""
    call = json.dumps([here.generation, repr(here.spec), asdict(identity)], ensure_ascii=False)
    return f"reembed-{here.name[:22]}-{hashlib.sha256(call.encode()).hexdigest()[:16]}"


def _silent(counts: Ingested) -> None:
    """Report nothing."""
