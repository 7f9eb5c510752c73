"""`Reembedding`: the part of a collection that makes its vectors anew, with another embedder."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Final, Literal, Self, TypeAlias

from vectorkit.backend.requests import Read, Scan
from vectorkit.embedding import identity_of
from vectorkit.errors import CollectionNotFoundError, EmbeddingError, UnsupportedError
from vectorkit.ingest import BATCH, Ingesting, Run, as_batch_size
from vectorkit.intake import Intake
from vectorkit.progress import Ingested, Progress, reporting
from vectorkit.protocol import Embedder
from vectorkit.types import CollectionInfo, CollectionSpec, EmbedderIdentity, Record
from vectorkit.validation import check_choice, check_dimension, short

__all__ = ["Reembedding"]

WithoutDocument: TypeAlias = Literal["refuse", "drop"]
"""What becomes of records that have nothing to embed."""

_WITHOUT_DOCUMENT: Final[tuple[WithoutDocument, ...]] = ("refuse", "drop")
_PAGE: Final = 1000
_SHOWN: Final = 10


class Reembedding(Ingesting):
    """Changing the embedder of a collection."""

    def reembed(
        self,
        embedder: Embedder,
        *,
        without_document: WithoutDocument = "refuse",
        batch_size: int = BATCH,
        progress: Progress = None,
    ) -> Self:
        """Embed all stored documents with another embedder, and put the result in the place of this collection.

        The vectors are made in a second collection beside this one (`reembed-NAME-…` in `list_collections`), which
        stays as it is and is searched as before. When all are there, the second one takes its name, and this one is
        dropped: opened by its name, the collection is either the old or the new one, whole, also if the process or the
        server dies at that moment. Ids, documents, metadata, metric, index and language stay; vectors that were given
        instead of made are made too.

        After an error, Ctrl-C or a crash the same call goes on where it stopped; `drop_collection` of the second
        collection gives up. What is written to this collection meanwhile is taken over in a second pass, which takes
        little time; what is written during that pass is lost, so pause writers at the end. Other handles of this
        collection then raise `CollectionNotFoundError`, this one too: use the one returned.

        If the collection has this very embedder already, nothing is done.

        Args:
            embedder: The new one; its dimension may be another.
            without_document: Records without a document have nothing to embed: `"refuse"` raises if there are any,
                `"drop"` leaves them behind, so that they are gone with this collection.
            batch_size: As for `ingest`.
            progress: As for `ingest`.

        Returns:
            The collection with its new vectors, opened with `embedder`.

        Raises:
            UnsupportedError: The backend cannot put one collection in the place of another; the message has the way to
                do it in a collection of another name.
            EmbeddingError: There are records without a document; lists at most ten of them, and nothing was done. Or
                one could not be embedded; the message says which.
            InvalidArgumentError: An argument is of another type, or not one of those.
            MissingDependencyError: `progress=True`, and rich is not installed.
        """
        identity = identity_of(embedder)
        dimension = check_dimension(identity.dimension)
        check_choice(without_document, _WITHOUT_DOCUMENT, "without_document")
        batch_size = as_batch_size(batch_size)
        here = self._backend.open_collection(self.name)
        if here.generation != self._info.generation:
            raise CollectionNotFoundError(
                f"collection {self.name!r} was dropped since it was opened; open or create it again"
            )
        stored = here.spec.embedder
        if stored is not None and stored == identity and stored.revision == identity.revision:
            return type(self)(self._backend, here, embedder)
        if not self._backend.capabilities.replacing:
            raise UnsupportedError(
                f"{self._backend.name} cannot put one collection in the place of another; fill one of another name: "
                f"store.create_collection({self.name[:46] + '-2'!r}, embedder=embedder).ingest(collection.scan())"
            )
        total = self._count_documents(here, without_document)
        spec = replace(here.spec, name=_name_beside(here, identity), embedder=identity, dimension=dimension)
        with reporting(progress, total, f"embedding {self.name} anew") as report:
            try:
                beside = self._open_or_create(spec)
                for each in (report, _silent):  # the second time it embeds only what was written meanwhile
                    Run(self._backend, beside, Intake(spec, embedder), "given", batch_size, each, total).take_in(
                        record for record in self._records(here) if record.document is not None
                    )
                    self._forget_others(beside, here)
            except BaseException as error:
                error.add_note(
                    f"reembed: collection {self.name!r} is as it was; call it again to go on, or give up with "
                    f"drop_collection({spec.name!r})"
                )
                raise
        info = self._backend.replace_collection(here, beside)
        return type(self)(self._backend, info, embedder)

    def _records(self, collection: CollectionInfo) -> Iterator[Record]:
        return (record for page in self._backend.scan(collection, Scan(batch_size=_PAGE)) for record in page)

    def _count_documents(self, here: CollectionInfo, without_document: WithoutDocument) -> int:
        count, lacking, first = 0, 0, list[str]()
        for record in self._records(here):
            if record.document is not None:
                count += 1
            else:
                lacking += 1
                if len(first) < _SHOWN:
                    first.append(short(record.id))
        if lacking and without_document == "refuse":
            raise EmbeddingError(
                f"{lacking:,} record(s) of {self.name!r} have no document to embed: {', '.join(first)}; nothing was "
                "done; give them one with update(), delete them, or leave them behind with without_document='drop'"
            )
        return count

    def _open_or_create(self, spec: CollectionSpec) -> CollectionInfo:
        try:
            return self._backend.open_collection(spec.name)
        except CollectionNotFoundError:
            return self._backend.create_collection(spec)

    def _forget_others(self, beside: CollectionInfo, here: CollectionInfo) -> None:
        """Delete records that were deleted here, or lost their document, since they were embedded."""
        for page in self._backend.scan(beside, Scan(batch_size=_PAGE)):
            ids = [record.id for record in page]
            kept = {record.id for record in self._backend.get(here, Read(ids)) if record.document is not None}
            if others := [id for id in ids if id not in kept]:
                self._backend.delete(beside, ids=others)


def _name_beside(here: CollectionInfo, identity: EmbedderIdentity) -> str:
    """The name of the second collection: the same one for the same call, so that it is found again."""
    call = json.dumps([here.generation, repr(here.spec), asdict(identity)], ensure_ascii=False)
    return f"reembed-{here.name[:22]}-{hashlib.sha256(call.encode()).hexdigest()[:16]}"


def _silent(counts: Ingested) -> None:
    """Report nothing."""
