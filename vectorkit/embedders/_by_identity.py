"""From the identity that is stored with a collection to an embedder that makes such vectors."""

from collections.abc import Callable

from vectorkit.embedders.hashing import HashEmbedder
from vectorkit.embedders.openai import OpenAIEmbedder
from vectorkit.embedders.sentence_transformers import SentenceTransformerEmbedder
from vectorkit.errors import EmbeddingError
from vectorkit.protocol import Embedder
from vectorkit.types import EmbedderIdentity

__all__ = ["embedder_of"]


def embedder_of(identity: EmbedderIdentity, *, model: str | None = None) -> Embedder:
    """Make the embedder of an identity.

    A model of kind `"sentence-transformers"` is looked for as `SentenceTransformerEmbedder` does; one of kind
    `"openai"` where `OPENAI_BASE_URL` says, with the key of `OPENAI_API_KEY`.

    Args:
        identity: As a collection holds it.
        model: Where the model is if it is not to be found under its name: the path of its folder.

    Raises:
        EmbeddingError: The identity is of a kind that is made by a program only (a function), or the model that was
            found makes other vectors.
        MissingDependencyError: A package that is needed is not installed; the message has the line that does it.
    """
    name = model or identity.model
    makers: dict[str, Callable[[int | None], Embedder]] = {
        "sentence-transformers": lambda dimension: SentenceTransformerEmbedder(
            name,
            normalize=identity.normalize,
            query_prompt=identity.query_prompt,
            document_prompt=identity.document_prompt,
            truncate_dim=dimension,
        ),
        "openai": lambda dimension: OpenAIEmbedder(
            name,
            dimensions=dimension,
            query_prompt=identity.query_prompt,
            document_prompt=identity.document_prompt,
        ),
        "hash": lambda dimension: HashEmbedder(identity.dimension),
    }
    make = makers.get(identity.kind)
    if make is None:
        raise EmbeddingError(
            f"the embedder {identity.model!r} is of kind {identity.kind!r}, which cannot be made from its name "
            f"({', '.join(makers)} can): search from the program that has it, with get_collection(name, embedder=…), "
            "or by words, with mode='text'"
        )
    embedder = make(None)
    if embedder.identity.dimension > identity.dimension:  # the collection holds vectors that were shortened
        embedder = make(identity.dimension)
    made = embedder.identity
    if made != identity:
        raise EmbeddingError(
            f"the collection was made with {_described(identity)}, and {name!r} is {_described(made)}: their vectors "
            "do not compare; give the model that it was made with"
        )
    return embedder


def _described(identity: EmbedderIdentity) -> str:
    scaled = "" if identity.normalize else ", not normalised"
    return f"{identity.model!r} ({identity.kind}, {identity.dimension:,} dimensions{scaled})"
