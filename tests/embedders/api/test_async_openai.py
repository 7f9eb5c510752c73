"""AsyncOpenAIEmbedder through the real client, against a real HTTP server; what it shares is tested in test_openai."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openai
import pytest

import vectorkit as vk
from vectorkit.embedders import AsyncOpenAIEmbedder, OpenAIEmbedder, TruncationWarning
from vectorkit.embedders.openai import Usage

T = TypeVar("T")

KEY = "sk-test-0123456789abcdef"
TEXTS = [f"text number {n}" for n in range(10)]


@pytest.fixture
def use(api: Any) -> Any:
    """Runs an asynchronous function on an embedder that uses the server."""

    def use(
        function: Callable[[AsyncOpenAIEmbedder], Awaitable[T]], model: str = "text-embedding-3-small", **options: Any
    ) -> T:
        async def run() -> T:
            async with AsyncOpenAIEmbedder(model, api_key=KEY, base_url=api.url, **options) as embedder:
                return await function(embedder)

        return asyncio.run(run())

    return use


def test_vectors_and_identity_are_those_of_the_synchronous_embedder(api: Any, use: Any) -> None:
    """1.4 A collection that one has filled, the other may search."""

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        assert isinstance(embedder, vk.AsyncEmbedder)
        return embedder.identity, await embedder.embed_documents(TEXTS), await embedder.embed_query("one")

    identity, vectors, vector = use(embed, dimensions=64)
    with OpenAIEmbedder(dimensions=64, api_key=KEY, base_url=api.url) as embedder:
        assert identity == embedder.identity
        assert np.array_equal(vectors, embedder.embed_documents(TEXTS))
        assert np.array_equal(vector, embedder.embed_query("one"))


def test_requests_are_under_way_together_and_answers_are_put_in_order(api: Any, use: Any) -> None:
    api.next.extend([api.held] * 4)

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        running = asyncio.create_task(embedder.embed_documents(TEXTS))
        for _ in range(4):
            await asyncio.to_thread(api.arrived.acquire)
        await asyncio.sleep(0.05)
        assert len(api.requests) == 4  # and no fifth, before one is answered
        api.release.set()
        return await running

    assert np.array_equal(use(embed, batch_size=2, concurrency=4), api.vectors(TEXTS))
    assert len(api.requests) == 5


def test_what_is_too_large_is_halved_and_what_fails_is_tried_again(api: Any, use: Any) -> None:
    api.max_inputs = 6
    api.next.extend([api.good, api.refuse(429, "busy", retry_after="0.01"), api.cut])

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        return await embedder.embed_documents(TEXTS), embedder.usage

    vectors, usage = use(embed, dimensions=8)
    assert np.array_equal(vectors, api.vectors(TEXTS, 8))
    assert usage == Usage(5, sum(map(len, TEXTS)))


def test_a_text_that_is_too_long_is_cut_on_request_and_said_once(api: Any, use: Any) -> None:
    api.reads = 100

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        with pytest.warns(TruncationWarning) as told:
            vector = await embedder.embed_query("0123456789" * 15)
        assert [Path(warning.filename) for warning in told] == [Path(__file__)]
        await embedder.embed_query("0123456789" * 15)
        return vector

    assert np.array_equal(use(embed, dimensions=8, truncate="end"), api.vectors([("0123456789" * 15)[:75]], 8)[0])


def test_a_failure_is_a_typed_error_and_cancels_the_other_requests(api: Any, use: Any) -> None:
    """8.2 A client's own exception never escapes: it is the cause."""
    api.next.extend([api.held, api.refuse(400, "not that")])

    async def embed(embedder: AsyncOpenAIEmbedder) -> None:
        with pytest.raises(vk.EmbeddingError, match=r"texts\[\d:\d+\]: .*not that") as caught:
            await embedder.embed_documents(TEXTS)
        assert isinstance(caught.value.__cause__, openai.BadRequestError)
        assert await asyncio.to_thread(api.hung_up.wait, 5)

    use(embed, batch_size=5, dimensions=8)
    assert len(api.requests) == 2


def test_cancelling_a_call_cancels_its_requests(api: Any, use: Any) -> None:
    api.next.append(api.held)

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        running = asyncio.create_task(embedder.embed_documents(TEXTS))
        await asyncio.to_thread(api.arrived.acquire)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(api.hung_up.wait, 5)
        return await embedder.embed_query("and goes on")

    assert np.array_equal(use(embed), api.vectors(["and goes on"])[0])


def test_the_identity_of_another_model_is_known_after_its_first_vector(api: Any, use: Any) -> None:
    api.dimension = 48

    async def embed(embedder: AsyncOpenAIEmbedder) -> Any:
        with pytest.raises(vk.EmbeddingError, match="not known before the first of them: give dimensions="):
            _ = embedder.identity
        assert (await embedder.embed_documents([])).shape == (0, 48)
        return embedder.identity

    assert use(embed, "bge") == vk.EmbedderIdentity("openai", "bge", 48, normalize=False)


def test_a_client_of_ones_own_is_asynchronous_and_left_open(api: Any) -> None:
    async def run() -> None:
        async with openai.AsyncAzureOpenAI(azure_endpoint=api.url, api_key=KEY, api_version="2024-10-21") as client:
            async with AsyncOpenAIEmbedder(client=client) as embedder:
                assert np.array_equal(await embedder.embed_documents(TEXTS), api.vectors(TEXTS))
            assert not client.is_closed()

    asyncio.run(run())
    synchronous: Any = openai.OpenAI(api_key=KEY)
    with pytest.raises(vk.InvalidArgumentError, match=r"client is an openai\.AsyncOpenAI, not OpenAI"):
        AsyncOpenAIEmbedder(client=synchronous)
