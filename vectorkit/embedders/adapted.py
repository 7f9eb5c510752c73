"""Embedders of other libraries, as ours: `as_embedder`. None of these libraries is imported here."""

import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from vectorkit.embedders._files import full_name
from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.errors import EmbeddingError, InvalidArgumentError, VectorKitError
from vectorkit.protocol import Embedder
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.validation import check_dimension
from vectorkit.vectors import as_embeddings

__all__ = ["AdaptedEmbedder", "as_embedder"]

_PROBE: Final = "dimension"
"""Any short text: its vector tells how long the vectors of a model are that does not say."""

_MODEL_ATTRIBUTES: Final = ("model", "model_name", "model_id", "repo_id", "deployment")
"""Where embedders of other libraries keep the name of their model, in the order in which they are asked."""

_UNSAID: Final = ("", "unknown")
"""Values of these attributes that name no model; the second is LlamaIndex's default."""


def as_embedder(
    source: object,
    *,
    queries: object = None,
    model: str | None = None,
    dimension: int | None = None,
) -> Embedder:
    """Make an embedder of what another library calls one.

    ::

        docs = store.get_or_create_collection("docs", embedder=vk.as_embedder(OpenAIEmbeddings(model="…")))

    Args:
        source: LangChain `Embeddings`, a LlamaIndex `BaseEmbedding`, a Haystack text or document embedder, an
            embedding function of Chroma, a `SentenceTransformer`, a function from a list of texts to their vectors,
            or an `Embedder`, which is returned as it is.
        queries: With a Haystack document embedder, the text embedder of the same model, for queries; None embeds
            queries as if they were documents.
        model: What the identity calls the model; None takes the name from `source`.
        dimension: Length of the vectors, 1 to 16,000; None embeds a short text to find out, when it is first needed.

    Returns:
        An embedder whose identity holds the library (`kind`) and the model's name. It may be used from many threads
        at once if `source` may.

    Raises:
        InvalidArgumentError: `source` is none of these, or does not say which model it runs: pass `model=`.
    """
    if inspect.isclass(source):
        raise InvalidArgumentError(
            f"source must be an instance of an embedder, got the class {source.__name__}; construct it first"
        )
    if isinstance(source, Embedder):
        return source
    for reads in _READERS:
        if (found := reads(source, queries)) is not None:
            break
    else:
        raise InvalidArgumentError(
            "source must be an embedder of LangChain, LlamaIndex, Haystack, Chroma or sentence-transformers, or a "
            f"function of a list of texts, got {type(source).__name__}"
        )
    name = found.model if model is None else as_text(model, "model")
    if name is None or name.strip() in _UNSAID:
        raise InvalidArgumentError(
            f"{type(source).__name__} does not say which model it runs, so its vectors could not be told from those of "
            "another one; pass model='a name that changes when the vectors do'"
        )
    return AdaptedEmbedder(found, name, None if dimension is None else check_dimension(dimension))


@dataclass(frozen=True, slots=True)
class _Source:
    """What is known of an embedder of another library.

    Attributes:
        kind: The library.
        model: The model's name, or None if it does not say.
        documents: Embeds a list of texts to store.
        query: Embeds one text to search with.
        query_prompt: Text that it puts before a query.
        document_prompt: Text that it puts before a document.
        normalize: Whether its vectors are known to have norm 1.
    """

    kind: str
    model: str | None
    documents: Callable[[list[str]], object]
    query: Callable[[str], object]
    query_prompt: str = ""
    document_prompt: str = ""
    normalize: bool = False


class AdaptedEmbedder:
    """An embedder of another library; `as_embedder` makes it."""

    def __init__(self, source: _Source, model: str, dimension: int | None) -> None:
        self._source = source
        self._model = model
        self._dimension = dimension
        self._probing = threading.Lock()

    def __repr__(self) -> str:
        return f"AdaptedEmbedder(kind={self._source.kind!r}, model={self._model!r})"

    @property
    def identity(self) -> EmbedderIdentity:
        """The library, the model's name, and the dimension, for which a short text is embedded once if need be.

        Raises:
            EmbeddingError: That text could not be embedded.
        """
        source = self._source
        return EmbedderIdentity(
            kind=source.kind,
            model=self._model,
            dimension=self._known_dimension(),
            query_prompt=source.query_prompt,
            document_prompt=source.document_prompt,
            normalize=source.normalize,
        )

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored, with one call of the other library.

        Args:
            texts: Any number of str.

        Returns:
            C-contiguous float32 array of shape `(len(texts), dimension)`, in the order of the texts.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
            EmbeddingError: The call fails, or what it returns has another count, length or kind, or holds NaN or
                infinity; the message says for which text.
        """
        checked = as_texts(texts)
        dimension = self._known_dimension()
        if not checked:
            return np.empty((0, dimension), dtype=np.float32)
        made = self._call(lambda: self._source.documents(checked), f"{len(checked):,} text(s)")
        return as_embeddings(made, len(checked), dimension, lambda index: f"the vector of texts[{index}]")

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with; errors are those of `embed_documents`.

        Args:
            text: Any str.

        Returns:
            float32 array of shape `(dimension,)`.
        """
        checked = as_text(text, "the query")
        made = self._call(lambda: self._source.query(checked), "a query")
        vector: FloatArray = as_embeddings([made], 1, self._known_dimension(), lambda _: "the vector of the query")[0]
        return vector

    def _known_dimension(self) -> int:
        if self._dimension is None:
            with self._probing:
                if self._dimension is None:
                    made: Any = self._call(lambda: self._source.query(_PROBE), "a text that tells its dimension")
                    try:
                        self._dimension = check_dimension(len(made))
                    except (TypeError, InvalidArgumentError) as error:
                        raise EmbeddingError(
                            f"embedder {self._model!r} ({self._source.kind}) must return a vector for a text, got "
                            f"{type(made).__name__}"
                        ) from error
        return self._dimension

    def _call(self, embed: Callable[[], object], what: str) -> object:
        try:
            return embed()
        except VectorKitError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"embedder {self._model!r} ({self._source.kind}) failed on {what}: {type(error).__name__}: {error}"
            ) from error


def _named(source: object, names: Sequence[str] = _MODEL_ATTRIBUTES) -> str | None:
    values = (getattr(source, name, None) for name in names)
    return next((value for value in values if isinstance(value, str) and value not in _UNSAID), None)


def _sentence_transformer(source: Any, queries: object) -> _Source | None:
    if not any(kind.__name__ == "SentenceTransformer" for kind in type(source).__mro__):
        return None
    config = getattr(getattr(source[0], "auto_model", None), "config", None)
    name = _named(config, ("_name_or_path",))
    prompts: dict[str, str] = source.prompts or {}
    document = next(filter(None, map(prompts.get, ("document", "passage", "corpus"))), "")
    query = prompts.get("query") or ""
    options = {"normalize_embeddings": True, "show_progress_bar": False}

    def embed_documents(texts: list[str]) -> object:
        made: object = source.encode(texts, prompt=document, **options)
        return made

    def embed_query(text: str) -> object:
        made: object = source.encode([text], prompt=query, **options)[0]
        return made

    # The identity that `SentenceTransformerEmbedder` gives the same weights: the vectors are the same.
    return _Source(
        "sentence-transformers",
        None if name is None else full_name(PurePath(name).name if PurePath(name).is_absolute() else name),
        embed_documents,
        embed_query,
        query,
        document,
        normalize=True,
    )


def _llama_index(source: Any, queries: object) -> _Source | None:
    if not hasattr(source, "get_text_embedding_batch") or not hasattr(source, "get_query_embedding"):
        return None
    return _Source("llama-index", _named(source), source.get_text_embedding_batch, source.get_query_embedding)


def _langchain(source: Any, queries: object) -> _Source | None:
    if not hasattr(source, "embed_documents") or not hasattr(source, "embed_query"):
        return None
    return _Source("langchain", _named(source), source.embed_documents, source.embed_query)


def _chroma(source: Any, queries: object) -> _Source | None:
    if not callable(source) or not _takes(source, "input"):
        return None

    def embed_query(text: str) -> object:
        embed: Any = getattr(source, "embed_query", source)
        return embed(input=[text])[0]

    return _Source("chroma", _chroma_model(source), lambda texts: source(input=texts), embed_query)


def _chroma_model(source: Any) -> str | None:
    try:
        config: object = source.get_config()
    except Exception:  # functions of before chromadb 1.0 have none, and what others raise here is of no use to a user
        config = None
    settings = dict[str, object](config) if isinstance(config, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
    stated = (settings.get(name) for name in _MODEL_ATTRIBUTES)
    named = next((value for value in stated if isinstance(value, str) and value not in _UNSAID), None)
    if named is not None:
        return named
    if type(source).__name__ in ("DefaultEmbeddingFunction", "ONNXMiniLM_L6_V2"):  # which have this one model
        return "all-MiniLM-L6-v2"
    return _named(source)


def _haystack(source: Any, queries: Any) -> _Source | None:
    run = getattr(source, "run", None)
    if not callable(run) or not (_takes(run, "documents") or _takes(run, "text")):
        return None
    asked = source if queries is None else queries
    ready: set[int] = set()

    def warm(component: Any) -> Any:
        if id(component) not in ready and hasattr(component, "warm_up"):
            component.warm_up()
        ready.add(id(component))
        return component

    def embed(component: Any, texts: list[str]) -> list[Any]:
        warm(component)
        if _takes(component.run, "text"):
            return [component.run(text=text)["embedding"] for text in texts]
        document: Any = import_module("haystack").Document  # the component is Haystack's, so this is installed
        documents = [document(content=text) for text in texts]
        return [each.embedding for each in component.run(documents=documents)["documents"]]

    return _Source(
        "haystack",
        _named(source),
        lambda texts: embed(source, texts),
        lambda text: embed(asked, [text])[0],
    )


def _function(source: Any, queries: object) -> _Source | None:
    if not callable(source) or inspect.iscoroutinefunction(source):
        return None
    embed: Callable[[list[str]], Any] = source
    return _Source("function", None, embed, lambda text: next(iter(embed([text]))))


def _takes(function: Any, parameter: str) -> bool:
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


_READERS: Final = (_sentence_transformer, _llama_index, _langchain, _chroma, _haystack, _function)
"""Each knows one library by what its embedders have, from the most telling to the least; None: not of this library."""
