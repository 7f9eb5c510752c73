"""A re-ranker that is a local model, run by sentence-transformers."""

import os
import threading
from pathlib import Path
from typing import Final

import numpy as np

from vectorkit.embedders._files import given_folder
from vectorkit.embedders._loading import CrossModel, load_cross_encoder, mind_fork
from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.errors import EmbeddingError, InvalidArgumentError, RerankingError
from vectorkit.types import FloatArray
from vectorkit.validation import check_natural

__all__ = ["CrossEncoderReranker"]

_LOCK: Final = threading.RLock()
"""One for all: loading changes log levels and warning filters of the process, and puts them back."""


class CrossEncoderReranker:
    """Scores documents for a query with a cross-encoder, which reads both together; for `vectorkit.rerank`.

    Nothing is loaded until it is needed, and then once. Safe to use from many threads. The weights are looked for in
    the folder, if `model` is the path of one, then in the cache of earlier downloads, then on the Hugging Face hub.

    Args:
        model: A model's name, such as `"cross-encoder/ms-marco-MiniLM-L6-v2"`, or the path of a folder that
            `CrossEncoder.save_pretrained` wrote.
        device: `"cpu"`, `"cuda"`, `"mps"`, …; None takes the best there is.
        batch_size: How many documents run through the model at once, at least 1.

    Raises:
        InvalidArgumentError: An argument is of another type or out of range.
        RerankingError: `model` can only be a path, and there is no folder, or it holds no model.
    """

    def __init__(self, model: str | os.PathLike[str], *, device: str | None = None, batch_size: int = 32) -> None:
        self._name = as_text(os.fspath(model) if isinstance(model, os.PathLike) else model, "model")
        if not self._name.strip():
            raise InvalidArgumentError("model is the name of a model or the path of a folder, not an empty str")
        if check_natural(batch_size, "batch_size") < 1:
            raise InvalidArgumentError("batch_size is at least 1, not 0")
        self._batch_size = int(batch_size)
        self._device = None if device is None else as_text(device, "device")
        try:
            self._folder: Path | None = given_folder(self._name)
        except EmbeddingError as error:
            raise RerankingError(str(error)) from error
        self._model: CrossModel | None = None

    def __repr__(self) -> str:
        return f"CrossEncoderReranker({self._name!r})"

    def __call__(self, query: str, documents: list[str]) -> FloatArray:
        """Score documents.

        Args:
            query: The text that was searched for.
            documents: Any number of texts. What is longer than the model reads, together with the query, is cut off.

        Returns:
            float32 array of shape `(len(documents),)`, larger for better; from 0 to 1 unless the model has an
            activation function of its own.

        Raises:
            InvalidArgumentError: The query or a document is not a str, or holds NUL or a lone surrogate.
            RerankingError: The model is not found, is no cross-encoder of one score a pair, or fails.
            MissingDependencyError: sentence-transformers is not installed; the message has the line that does it.
        """
        question, texts = as_text(query, "the query"), as_texts(documents)
        if not texts:
            return np.empty(0, dtype=np.float32)
        model = self._load()
        try:
            scores = model.predict(
                [(question, text) for text in texts], batch_size=self._batch_size, show_progress_bar=False
            )
        except Exception as error:
            raise RerankingError(
                f"the model {self._name!r} failed on {len(texts)} document(s): {type(error).__name__}: {error}; "
                "if memory ran out, give a smaller batch_size"
            ) from error
        return np.asarray(scores, dtype=np.float32)

    def _load(self) -> CrossModel:
        with _LOCK:
            if self._model is None:
                try:
                    model = load_cross_encoder(self._name, self._folder, self._device)
                except EmbeddingError as error:
                    raise RerankingError(str(error)) from error
                if _is_headless(model):
                    raise RerankingError(
                        f"the model {self._name!r} is no cross-encoder: it has no trained layer that scores a pair, "
                        "so its scores would be random; take one such as 'cross-encoder/ms-marco-MiniLM-L6-v2'"
                    )
                if model.num_labels != 1:
                    raise RerankingError(
                        f"the model {self._name!r} sorts pairs into {model.num_labels} classes; "
                        "a re-ranker has one score a pair: take a cross-encoder that was trained for ranking"
                    )
                self._model = model
        mind_fork()
        return self._model


def _is_headless(model: CrossModel) -> bool:
    """Whether the files hold a model that embeds, or fills gaps; sentence-transformers gives it a random last layer."""
    architectures: list[str] = getattr(model.model.config, "architectures", None) or []
    return any(name.endswith(("Model", "ForMaskedLM", "ForPreTraining")) for name in architectures)
