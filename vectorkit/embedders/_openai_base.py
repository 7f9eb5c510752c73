"""What the synchronous and the asynchronous embedder of the API share: arguments, planning, reading, counting."""

import inspect
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np

from vectorkit.embedders._batching import MAX_INPUTS, MAX_TEXT_TOKENS, Failure, Part, Work
from vectorkit.embedders._openai_api import (
    DIMENSIONS,
    Answer,
    as_failure,
    checked_key,
    error_within,
    hidden,
    hide,
    read_answer,
    refused,
    secrets_of,
)
from vectorkit.embedders._texts import TruncationWarning, as_text, as_texts
from vectorkit.embedders._tokens import Tokens
from vectorkit.errors import EmbeddingError, InvalidArgumentError, MissingDependencyError
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.urls import shown_url
from vectorkit.validation import check_choice, check_dimension, check_natural, short

__all__ = ["OpenAIBase", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What an embedder has used.

    Attributes:
        requests: Requests sent, those that were refused or failed among them.
        tokens: Tokens that the server counted in what it answered.
    """

    requests: int = 0
    tokens: int = 0


class OpenAIBase:
    """Arguments as in `OpenAIEmbedder`."""

    _asynchronous: ClassVar[bool]

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        dimensions: int | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Any = None,
        batch_size: int = MAX_INPUTS,
        concurrency: int = 8,
        max_retries: int = 8,
        timeout: float = 60.0,
        truncate: Literal["error", "end"] = "error",
        query_prompt: str = "",
        document_prompt: str = "",
    ) -> None:
        if not as_text(model, "model").strip():
            raise InvalidArgumentError("model is the name of a model, not an empty str")
        if client is not None and (api_key is not None or base_url is not None):
            raise InvalidArgumentError("give client=, or api_key= and base_url=, not both: a client has its own")
        self._model = model
        self._dimensions = _shortened(model, dimensions)
        self._dimension = self._dimensions or DIMENSIONS.get(model)
        self._key = None if api_key is None else checked_key(as_text(api_key, "api_key"), "api_key")
        self._base_url = None if base_url is None else _checked_url(base_url)
        self._batch_size = _within(batch_size, "batch_size", 1, MAX_INPUTS)
        self._concurrency = _within(concurrency, "concurrency", 1, 1000)
        self._max_retries = check_natural(max_retries, "max_retries")
        self._timeout = _seconds(timeout, "timeout")
        self._truncate: Literal["error", "end"] = check_choice(truncate, ("error", "end"), "truncate")
        self._query_prompt = as_text(query_prompt, "query_prompt")
        self._document_prompt = as_text(document_prompt, "document_prompt")
        self._tokens = Tokens(model if model in DIMENSIONS else None)
        self._given = None if client is None else self._configured(client)
        self._own: tuple[int, Any] | None = None
        self._usage = Usage()
        self._lock = threading.Lock()
        self._told = False
        self._base64 = True

    def __repr__(self) -> str:
        dimensions = "" if self._dimensions is None else f", dimensions={self._dimensions}"
        return f"{type(self).__name__}({self._model!r}{dimensions})"

    @property
    def usage(self) -> Usage:
        """Requests sent and tokens used so far."""
        return self._usage

    def estimate_tokens(self, texts: Iterable[str]) -> int:
        """Tokens that embedding texts as documents will use at most; the exact number where tiktoken counts.

        Args:
            texts: Any number of str.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
        """
        return sum(self._tokens.count([self._document_prompt + text for text in as_texts(texts)]))

    def _identity(self) -> EmbedderIdentity:
        assert self._dimension is not None
        return EmbedderIdentity(
            kind="openai",
            model=self._model,
            dimension=self._dimension,
            query_prompt=self._query_prompt,
            document_prompt=self._document_prompt,
            normalize=self._model in DIMENSIONS,
        )

    def _plan(self, texts: list[str], *, query: bool) -> Work:
        """The requests for texts, which are checked for what the API would refuse.

        Raises:
            EmbeddingError: A text is empty, or longer than the model reads and not to be cut.
        """
        prompt = self._query_prompt if query else self._document_prompt
        if "" in texts:
            row = texts.index("")
            name = "the query" if query else f"texts[{row}]"
            raise EmbeddingError(
                f"{name} is empty, which the API does not take; leave it out, or give it a vector", index=row
            )
        sent = [prompt + text for text in texts] if prompt else list(texts)
        sizes = self._tokens.sizes(sent)
        long = [row for row, size in enumerate(sizes) if size > MAX_TEXT_TOKENS]
        cut: list[int] = long if long and self._tokens.exact else []
        if cut and self._truncate == "error":
            name = "the query" if query else f"texts[{cut[0]}]"
            raise EmbeddingError(
                f"{name} has {sizes[cut[0]]:,} tokens, but {self._model!r} reads {MAX_TEXT_TOKENS:,}; "
                "split it, or give truncate='end'",
                index=cut[0],
            )
        for row in cut:
            sent[row], sizes[row] = self._tokens.cut(sent[row]), MAX_TEXT_TOKENS
        work = Work(
            sent,
            sizes,
            batch_size=self._batch_size,
            max_retries=self._max_retries,
            truncate=self._truncate,
            query=query,
        )
        work.cut.update(cut)
        return work

    def _request(self, work: Work, part: Part) -> dict[str, Any]:
        with self._lock:
            self._usage = Usage(self._usage.requests + 1, self._usage.tokens)
        dimensions = {} if self._dimensions is None else {"dimensions": self._dimensions}
        # Numbers written out are three to four times the bytes, and slower to read by more.
        encoding = "base64" if self._base64 and part.base64 else "float"
        return {"model": self._model, "input": work.texts(part), "encoding_format": encoding, **dimensions}

    def _read(self, content: bytes, work: Work, part: Part, client: Any) -> Answer | Failure:
        if (said := error_within(content)) is not None:
            status, code, message = said
            message = hidden(message, secrets_of(getattr(client, "api_key", None)))
            return self._noted(refused(shown_url(str(client.base_url)).rstrip("/"), status, code, message))

        def what(index: int) -> str:
            return f"the vector of {work.name(part.rows[index : index + 1])}"

        try:
            answer = read_answer(content, len(part.rows), self._dimension, what)
        except EmbeddingError as error:
            return Failure(str(error), "final", cause=error.__cause__, index=error.index)
        width: int = answer.vectors.shape[1]
        with self._lock:
            self._usage = Usage(self._usage.requests, self._usage.tokens + answer.tokens)
            self._dimension = self._dimension or width
        if width != self._dimension:
            return Failure(f"the server made vectors of {self._dimension:,} dimensions, and of {width:,}", "final")
        return answer

    def _failure(self, error: Exception, client: Any) -> Failure:
        hide(error, secrets_of(getattr(client, "api_key", None)))
        return self._noted(as_failure(error, shown_url(str(client.base_url)).rstrip("/")))

    def _noted(self, failure: Failure) -> Failure:
        if failure.kind == "base64":
            self._base64 = False
        return failure

    def _learn_batch_size(self, work: Work) -> None:
        """Ask for no more in later calls than the server was fast enough for in this one."""
        self._batch_size = min(self._batch_size, work.batch_size)

    @staticmethod
    def _placed(vectors: FloatArray | None, rows: range, made: FloatArray, count: int) -> FloatArray:
        if vectors is None:
            vectors = made if len(rows) == count else np.empty((count, made.shape[1]), dtype=np.float32)
        if vectors is not made:
            vectors[rows.start : rows.stop] = made
        return vectors

    def _tell_of_cut(self, work: Work, *, stacklevel: int) -> None:
        with self._lock:
            if not work.cut or self._told:
                return
            self._told = True
        warnings.warn(
            f"{len(work.cut):,} text(s) are longer than {self._model!r} reads; the rest of each was cut off and is not "
            "part of its vector: embed shorter passages (this is said once)",
            TruncationWarning,
            stacklevel=stacklevel,
        )

    def _opened(self) -> Any:
        """The client; one of its own is opened when it is first needed, and anew in a process that was forked off."""
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None or self._own[0] != os.getpid():
                self._own = os.getpid(), self._made()
            return self._own[1]

    def _taken(self) -> Any:
        """The client of its own that is open, which is now the caller's to close; None if there is none."""
        with self._lock:
            own, self._own = self._own, None
        return own[1] if own is not None and own[0] == os.getpid() else None

    def _made(self) -> Any:
        try:
            library: Any = import_module("openai")
        except ImportError as error:
            raise MissingDependencyError(
                f"{type(self).__name__} needs the openai package, which cannot be imported ({error}); "
                "install it with: pip install 'vectorkit-db[openai]'"
            ) from error
        key = self._key or checked_key(os.environ.get("OPENAI_API_KEY", ""), "OPENAI_API_KEY")
        if not key:
            if self._base_url is None and not os.environ.get("OPENAI_BASE_URL"):
                raise EmbeddingError("there is no API key: give api_key=, or set OPENAI_API_KEY")
            key = "none"  # the client wants one, a server of one's own need not
        create = library.AsyncOpenAI if self._asynchronous else library.OpenAI
        return create(api_key=key, base_url=self._base_url, max_retries=0, timeout=self._timeout)

    def _configured(self, client: Any) -> Any:
        """The given client, without retries of its own."""
        create = getattr(getattr(client, "embeddings", None), "create", None)
        if create is None or inspect.iscoroutinefunction(create) != self._asynchronous:
            wanted = "openai.AsyncOpenAI" if self._asynchronous else "openai.OpenAI"
            raise InvalidArgumentError(f"client is an {wanted}, not {type(client).__name__}")
        return client.with_options(max_retries=0, timeout=self._timeout)


def _within(value: int, what: str, least: int, most: int) -> int:
    if not least <= check_natural(value, what) <= most:
        raise InvalidArgumentError(f"{what} is {least} to {most:,}, not {short(value)}")
    return int(value)


def _seconds(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InvalidArgumentError(f"{what} is a number of seconds above 0, not {short(value)}")
    return float(value)


def _shortened(model: str, dimensions: int | None) -> int | None:
    if dimensions is None:
        return None
    wanted, most = check_dimension(dimensions), DIMENSIONS.get(model)
    if model == "text-embedding-ada-002" and wanted != most:
        raise InvalidArgumentError(f"{model!r} makes vectors of {most:,} dimensions only; leave dimensions out")
    if most is not None and wanted > most:
        raise InvalidArgumentError(f"{model!r} makes vectors of at most {most:,} dimensions, not {wanted:,}")
    return wanted


def _checked_url(url: str) -> str:
    if not as_text(url, "base_url").startswith(("http://", "https://")):
        raise InvalidArgumentError("base_url begins with http:// or https:// and is, say, http://localhost:8000/v1")
    return url
