"""Embeddings of OpenAI, of Azure, and of any server that speaks their API."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Self

import numpy as np

from vectorkit.embedders._batching import Failure, Part, Work
from vectorkit.embedders._openai_api import Answer
from vectorkit.embedders._openai_base import OpenAIBase, Usage
from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.errors import EmbeddingError
from vectorkit.types import EmbedderIdentity, FloatArray

__all__ = ["AsyncOpenAIEmbedder", "OpenAIEmbedder", "Usage"]


class OpenAIEmbedder(OpenAIBase):
    """Has texts embedded by an embeddings API, through the `openai` package (`pip install 'vectorkit-db[openai]'`).

    ::

        OpenAIEmbedder("text-embedding-3-large", dimensions=1024)
        OpenAIEmbedder("BAAI/bge-m3", base_url="http://localhost:8000/v1")  # vLLM, Ollama, Infinity, LM Studio, …
        OpenAIEmbedder("text-embedding-3-small", client=openai.AzureOpenAI(…))

    Texts are sent in requests within the API's limits (2,048 texts, 300,000 tokens), several at once. A request is
    sent again, after a time that doubles or that the server asks for, when the server is busy (429), broken (5xx) or
    the connection is lost; one that is refused for its size is halved, and so is one that is not answered in time.
    A server that knows no base64 is asked for numbers. If a request fails for good, those under way
    are waited for: `CachedEmbedder` keeps what they bring. Tokens are counted with `tiktoken` if its vocabulary can
    be loaded, and estimated by bytes, which are never fewer, if not. Safe to use from many threads; a process that
    was forked off makes a connection of its own.

    Args:
        model: The model's name; for Azure, the deployment's.
        dimensions: Length of the vectors, for models that shorten them (`text-embedding-3-…`); None leaves it to the
            model.
        api_key: The key; None takes that of the environment, `OPENAI_API_KEY`. A server at `base_url` may need none.
        base_url: Where the API is; None takes `OPENAI_BASE_URL`, or else OpenAI's.
        client: An `openai.OpenAI` (or `AzureOpenAI`) to use in place of one of its own.
        batch_size: The most texts a request, 1 to 2,048. Some servers take fewer.
        concurrency: The most requests under way at once, in one call, at least 1.
        max_retries: How often a request is sent again, at least 0; one without an answer, at most three times. With
            the default, 70 seconds pass before giving up on a server that does not say how long it wants to be left
            alone.
        timeout: Seconds to wait for an answer.
        truncate: What becomes of a text that is longer than the model reads: `"error"`, or `"end"`, which cuts off
            its end (without the model's tokenizer, by halves until it is taken) and says so once
            (`TruncationWarning`).
        query_prompt: Text put before a query; servers put none there of their own.
        document_prompt: Text put before a document.

    Raises:
        InvalidArgumentError: An argument is of another type or out of range, or `client` comes with `api_key` or
            `base_url`.
    """

    _asynchronous = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def identity(self) -> EmbedderIdentity:
        """Kind `"openai"`, the model and its prompts.

        If the model is none of OpenAI's and `dimensions` was not given, the first use embeds a text to see how long
        its vectors are. `normalize` says that they come scaled to norm 1, as those of OpenAI's models do.

        Raises:
            EmbeddingError: That text could not be embedded.
            MissingDependencyError: The `openai` package is not installed; the message has the line that does it.
        """
        if self._dimension is None:
            self.embed_query("a")
        return self._identity()

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored.

        Args:
            texts: Any number of str, none of them empty.

        Returns:
            C-contiguous float32 array of shape `(len(texts), dimension)`, in the order of the texts, as the server
            made them.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
            EmbeddingError: One is empty or too long, the server refuses, cannot be reached or does not answer in
                time, or its answer is not one vector a text; the message says for which texts.
            MissingDependencyError: The `openai` package is not installed; the message has the line that does it.
        """
        rows = as_texts(texts)
        return self._all(rows, query=False) if rows else np.empty((0, self.identity.dimension), dtype=np.float32)

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with.

        Args:
            text: Any str but the empty one.

        Returns:
            float32 array of shape `(dimension,)`.

        Raises:
            InvalidArgumentError: It is not a str, or holds NUL or a lone surrogate.
            EmbeddingError: As `embed_documents`.
            MissingDependencyError: As `embed_documents`.
        """
        vector: FloatArray = self._all([as_text(text, "the query")], query=True)[0]
        return vector

    def embed_parts(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], FloatArray]]:
        """Embed texts that will be stored, and hand the vectors on as they arrive, in any order.

        Arguments and errors are those of `embed_documents`. An error comes after everything that was paid for.

        Yields:
            Indices of texts, and a float32 array of shape `(len(indices), dimension)`.
        """
        work = self._plan(as_texts(texts), query=False)
        yield from self._run(work)
        self._tell_of_cut(work, stacklevel=3)

    def close(self) -> None:
        """Close the connections, unless they are those of a `client` that was given. A later use opens new ones."""
        client = self._taken()
        if client is not None:
            client.close()

    def _all(self, texts: list[str], *, query: bool) -> FloatArray:
        work = self._plan(texts, query=query)
        vectors: FloatArray | None = None
        for rows, made in self._run(work):
            vectors = self._placed(vectors, rows, made, len(texts))
        self._tell_of_cut(work, stacklevel=4)
        assert vectors is not None
        return vectors

    def _run(self, work: Work) -> Iterator[tuple[range, FloatArray]]:
        client = self._opened()
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="vectorkit-openai")
        running: dict[Future[bytes | Failure | None], Part] = {}
        arrived: list[tuple[Part, bytes]] = []
        try:
            while work.pending or running or arrived:
                while work.pending and len(running) < self._concurrency:
                    part = work.pending.popleft()
                    running[pool.submit(self._send, client, work, part, stop)] = part
                for part, content in arrived:  # only now, when the server has its next requests
                    outcome = self._read(content, work, part, client)
                    if isinstance(outcome, Answer):
                        yield part.rows, outcome.vectors
                    else:
                        work.failed(part, outcome)
                arrived = []
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    part, sent = running.pop(future), future.result()
                    if isinstance(sent, bytes):
                        arrived.append((part, sent))
                    elif sent is not None:
                        work.failed(part, sent)
                if work.error is not None:
                    stop.set()  # those that wait to be sent again
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        self._learn_batch_size(work)
        if work.error is not None:
            raise work.error

    def _send(self, client: Any, work: Work, part: Part, stop: threading.Event) -> bytes | Failure | None:
        if stop.wait(part.wait):
            return None
        try:
            content: bytes = client.embeddings.with_raw_response.create(**self._request(work, part)).content
        except Exception as error:
            return self._failure(error, client)
        return content


class AsyncOpenAIEmbedder(OpenAIBase):
    """`OpenAIEmbedder` for asyncio, on the client's own asynchronous API: an `AsyncEmbedder`.

    Arguments are those of `OpenAIEmbedder`; `client` is an `openai.AsyncOpenAI` (or `AsyncAzureOpenAI`). Cancelling
    a call cancels its requests. Its connections belong to the event loop that it is first used in: close it there
    (`async with`, or `aclose`), and make one for each loop.
    """

    _asynchronous = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    @property
    def identity(self) -> EmbedderIdentity:
        """As that of `OpenAIEmbedder`: a collection does not mind which of the two made its vectors.

        Raises:
            EmbeddingError: The model is none of OpenAI's, `dimensions` was not given, and nothing was embedded yet
                that would show how long its vectors are.
        """
        if self._dimension is None:
            raise EmbeddingError(
                f"how long the vectors of {self._model!r} are is not known before the first of them: "
                "give dimensions=, or await embed_query('a') before"
            )
        return self._identity()

    async def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored; arguments, result and errors as in `OpenAIEmbedder.embed_documents`."""
        rows = as_texts(texts)
        if not rows and self._dimension is None:
            await self.embed_query("a")
        return await self._all(rows, query=False) if rows else np.empty((0, self._dimension or 0), dtype=np.float32)

    async def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with; argument, result and errors as in `OpenAIEmbedder.embed_query`."""
        vector: FloatArray = (await self._all([as_text(text, "the query")], query=True))[0]
        return vector

    async def aclose(self) -> None:
        """Close the connections, unless they are those of a `client` that was given. A later use opens new ones."""
        client = self._taken()
        if client is not None:
            await client.close()

    async def _all(self, texts: list[str], *, query: bool) -> FloatArray:
        work = await asyncio.to_thread(self._plan, texts, query=query)  # it may load a vocabulary
        vectors: FloatArray | None = None
        async for rows, made in self._run(work):
            vectors = self._placed(vectors, rows, made, len(texts))
        self._tell_of_cut(work, stacklevel=4)
        assert vectors is not None
        return vectors

    async def _run(self, work: Work) -> AsyncIterator[tuple[range, FloatArray]]:
        client = self._opened()
        running: dict[asyncio.Task[bytes | Failure], Part] = {}
        arrived: list[tuple[Part, bytes]] = []
        try:
            while work.pending or arrived or (running and work.error is None):
                while work.pending and len(running) < self._concurrency:
                    part = work.pending.popleft()
                    running[asyncio.create_task(self._send(client, work, part))] = part
                if arrived and running:
                    await asyncio.sleep(0)  # lets the next requests go out before these answers are read
                for part, content in arrived:
                    outcome = self._read(content, work, part, client)
                    if isinstance(outcome, Answer):
                        yield part.rows, outcome.vectors
                    else:
                        work.failed(part, outcome)
                arrived = []
                if not running or work.error is not None:
                    continue
                for task in (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]:
                    part, sent = running.pop(task), task.result()
                    if isinstance(sent, bytes):
                        arrived.append((part, sent))
                    else:
                        work.failed(part, sent)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._learn_batch_size(work)
        if work.error is not None:
            raise work.error

    async def _send(self, client: Any, work: Work, part: Part) -> bytes | Failure:
        await asyncio.sleep(part.wait)
        try:
            content: bytes = (await client.embeddings.with_raw_response.create(**self._request(work, part))).content
        except Exception as error:
            return self._failure(error, client)
        return content
