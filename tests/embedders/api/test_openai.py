"""OpenAIEmbedder through the real `openai` client, against a real HTTP server on loopback."""

import base64
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

import vectorkit as vk
from vectorkit.embedders import OpenAIEmbedder, TruncationWarning, _batching
from vectorkit.embedders._openai_api import as_failure
from vectorkit.embedders.openai import Usage

KEY = "sk-test-0123456789abcdef"
TEXTS = [f"text number {n}" for n in range(10)]


@pytest.fixture
def make(api: Any) -> Any:
    """Makes embedders that use the server."""
    made: list[OpenAIEmbedder] = []

    def make(model: str = "text-embedding-3-small", **options: Any) -> OpenAIEmbedder:
        made.append(OpenAIEmbedder(model, api_key=KEY, base_url=api.url, **options))
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()


# --- what is asked, and what comes back -------------------------------------------------------------------------


def test_vectors_are_those_of_the_server_in_the_order_of_the_texts(api: Any, make: Any) -> None:
    """2.3 float32, exactly as they came in base64; the server numbers them, and sends the last first."""
    vectors = make().embed_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.array_equal(vectors, api.vectors(TEXTS))
    assert api.requests[0].body == {
        "model": "text-embedding-3-small",
        "input": TEXTS,
        "encoding_format": "base64",
    }
    assert np.array_equal(make().embed_query("one"), api.vectors(["one"])[0])


def test_a_server_that_answers_with_numbers_is_understood(api: Any, make: Any) -> None:
    def as_numbers(items: list[dict[str, Any]]) -> None:
        for item in items:
            item["embedding"] = api.vectors([TEXTS[item["index"]]])[0].tolist()

    api.next.append(api.changed(as_numbers))
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))


def test_answers_that_arrive_out_of_order_are_put_in_order(api: Any, make: Any) -> None:
    """The first request is answered when the last has been."""
    last = threading.Event()

    def late(request: Any) -> Any:
        assert last.wait(10)
        return api.good(request)

    def early(request: Any) -> Any:
        last.set()
        return api.good(request)

    api.next.extend([late, api.good, api.good, early])
    vectors = make(batch_size=3).embed_documents(TEXTS)
    assert np.array_equal(vectors, api.vectors(TEXTS))
    assert sorted(request.texts for request in api.requests) == sorted(TEXTS[n : n + 3] for n in range(0, 10, 3))


def test_requests_are_under_way_together_and_no_more_than_allowed(api: Any, make: Any) -> None:
    together = threading.Barrier(4)  # fewer than four at once would wait here until it breaks
    running: set[int] = set()
    most: list[int] = []

    def meet(request: Any) -> Any:
        running.add(id(request))
        together.wait(10)
        most.append(len(running))
        running.discard(id(request))
        together.wait(10)
        return api.good(request)

    api.next.extend([meet] * 8)
    make(batch_size=1, concurrency=4).embed_documents(TEXTS[:8])
    assert len(api.requests) == 8
    assert max(most) == 4


def test_dimensions_are_asked_for_and_in_the_identity(api: Any, make: Any) -> None:
    """1.4 The identity tells models of other dimensions apart."""
    short = make(dimensions=256)
    assert short.embed_documents(["a"]).shape == (1, 256)
    assert api.requests[0].body["dimensions"] == 256
    assert short.identity == vk.EmbedderIdentity("openai", "text-embedding-3-small", 256)
    assert short.identity != make().identity
    assert make("text-embedding-3-large").identity.dimension == 3072
    assert make("text-embedding-ada-002").identity.dimension == 1536


def test_the_identity_of_a_known_model_asks_no_server() -> None:
    embedder = OpenAIEmbedder()
    assert embedder.identity == vk.EmbedderIdentity("openai", "text-embedding-3-small", 1536)
    assert isinstance(embedder, vk.Embedder)
    assert embedder.embed_documents([]).shape == (0, 1536)
    assert embedder.usage == Usage(0, 0)


def test_the_dimension_of_another_model_is_found_by_its_first_vector(api: Any, make: Any) -> None:
    api.dimension = 48
    embedder = make("BAAI/bge-small")
    assert embedder.identity == vk.EmbedderIdentity("openai", "BAAI/bge-small", 48, normalize=False)
    assert [request.texts for request in api.requests] == [["a"]]
    assert embedder.identity.dimension == 48
    assert embedder.embed_documents(TEXTS).shape == (10, 48)
    assert len(api.requests) == 2


def test_prompts_are_put_before_texts_and_are_in_the_identity(api: Any, make: Any) -> None:
    embedder = make("e5", dimensions=8, query_prompt="query: ", document_prompt="passage: ")
    embedder.embed_documents(["one", "two"])
    embedder.embed_query("three")
    assert [request.texts for request in api.requests] == [["passage: one", "passage: two"], ["query: three"]]
    assert (embedder.identity.query_prompt, embedder.identity.document_prompt) == ("query: ", "passage: ")


def test_a_client_of_ones_own_is_used_and_left_open(api: Any) -> None:
    with openai.AzureOpenAI(azure_endpoint=api.url, api_key=KEY, api_version="2024-10-21") as client:
        embedder = OpenAIEmbedder("text-embedding-3-small", client=client)
        assert np.array_equal(embedder.embed_documents(TEXTS), api.vectors(TEXTS))
        embedder.close()
        assert np.array_equal(embedder.embed_query("a"), api.vectors(["a"])[0])
    assert "/deployments/text-embedding-3-small/embeddings" in api.requests[0].path
    assert api.requests[0].headers["api-key"] == KEY


def test_a_collection_is_filled_and_searched_with_it(api: Any, make: Any) -> None:
    """6.1 A string is embedded by the collection's embedder."""
    with vk.connect("memory:") as store:
        docs = store.create_collection("docs", embedder=make())
        docs.add(ids=["a", "b"], documents=["bread and butter", "stars at night"])
        assert docs.search("night of stars", k=1)[0].id == "b"


def test_one_embedder_serves_many_threads(api: Any, make: Any) -> None:
    """9.3 Stores and collections, and so their embedders, may be used from many threads at once."""
    embedder = make(dimensions=16)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(embedder.embed_query, TEXTS * 4))
    assert np.array_equal(found, api.vectors(TEXTS * 4, 16))
    assert embedder.usage == Usage(40, 4 * sum(map(len, TEXTS)))


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_request_holds_no_more_texts_than_the_api_takes(api: Any, make: Any) -> None:
    vectors = make("m", dimensions=8).embed_documents([f"{n}" for n in range(4100)])
    assert sorted(len(request.texts) for request in api.requests) == [4, 2048, 2048]
    assert np.array_equal(vectors, api.vectors([f"{n}" for n in range(4100)], 8))


def test_a_request_holds_no_more_tokens_than_the_api_takes(api: Any, make: Any) -> None:
    """Without a tokenizer, bytes are counted, of which no token has fewer than one: ü has two."""
    texts = [f"{n} " + "ü" * 4000 for n in range(80)]
    vectors = make("m", dimensions=8).embed_documents(texts)
    sizes = [sum(len(text.encode()) for text in request.texts) for request in api.requests]
    assert len(sizes) == 3
    assert max(sizes) <= 300_000
    assert np.array_equal(vectors, api.vectors(texts, 8))


def test_a_request_that_is_refused_for_its_size_is_halved_until_it_is_taken(api: Any, make: Any) -> None:
    api.max_inputs = 3
    embedder = make(dimensions=8)
    assert np.array_equal(embedder.embed_documents(TEXTS), api.vectors(TEXTS, 8))
    assert sorted(len(request.texts) for request in api.requests) == [2, 2, 3, 3, 5, 5, 10]
    assert embedder.usage == Usage(7, sum(map(len, TEXTS)))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (413, "payload"),
        (422, "batch size 64 > maximum allowed batch size 32"),  # Text Embeddings Inference
        (400, "This model's maximum context length is 512 tokens. However, you requested 900 tokens"),  # vLLM
        (400, "batch size is invalid, it should not be larger than 10.: input.contents"),  # DashScope
        (500, "input (900 tokens) is too large to process. increase the physical batch size"),  # llama.cpp
        (400, "the input length exceeds the context length"),  # Ollama
        (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 900"),
    ],
)
def test_servers_say_in_their_own_words_that_a_request_is_too_large(
    api: Any, make: Any, status: int, message: str
) -> None:
    api.next.append(api.refuse(status, message))
    assert np.array_equal(make(dimensions=8).embed_documents(TEXTS), api.vectors(TEXTS, 8))
    assert [len(request.texts) for request in api.requests] == [10, 5, 5]


@pytest.mark.parametrize("texts", [[""], ["a", "", "b"]])
def test_an_empty_text_is_refused_before_anything_is_sent(api: Any, make: Any, texts: list[str]) -> None:
    with pytest.raises(vk.EmbeddingError, match=rf"texts\[{texts.index('')}\] is empty"):
        make(document_prompt="x").embed_documents(texts)
    with pytest.raises(vk.EmbeddingError, match="the query is empty"):
        make().embed_query("")
    assert api.requests == []


def test_a_text_longer_than_the_model_reads_is_named(api: Any, make: Any) -> None:
    api.reads = 100
    with pytest.raises(vk.EmbeddingError, match=r"texts\[7\]: .*maximum context length .* truncate='end'"):
        make(dimensions=8).embed_documents([*TEXTS[:7], "long " * 50, "b"])


def test_a_text_longer_than_the_model_reads_is_cut_on_request_and_said_once(api: Any, make: Any) -> None:
    api.reads = 100
    embedder = make(dimensions=8, truncate="end")
    with pytest.warns(TruncationWarning, match=r"1 text\(s\) are longer than 'text-embedding-3-small' reads") as told:
        vectors = embedder.embed_documents(["a", "0123456789" * 30])
    assert [Path(warning.filename) for warning in told] == [Path(__file__)]
    assert np.array_equal(vectors, api.vectors(["a", ("0123456789" * 30)[:75]], 8))
    embedder.embed_query("word " * 50)


# --- when something fails ---------------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_after_the_time_it_names(api: Any, make: Any) -> None:
    api.next.append(api.refuse(429, "slow down", retry_after="0.3"))
    start = time.monotonic()
    assert np.array_equal(make().embed_query("a"), api.vectors(["a"])[0])
    assert time.monotonic() - start >= 0.3
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry_after": "7"}, 7, 7),
        ({"retry_after": "0.25"}, 0.25, 0.25),
        ({"retry_after": "-3"}, 0, 0),
        ({"retry_after_ms": "250", "retry_after": "60"}, 0.25, 0.25),  # OpenAI and Azure send both
        ({"retry_after_ms": "soon", "retry_after": "60"}, 60, 60),
        ({"retry_after": "later"}, None, None),
        ({"retry_after": "nan"}, None, None),
        ({}, None, None),
    ],
)
def test_the_time_to_wait_is_read_in_each_of_its_forms(
    api: Any, headers: dict[str, str], least: float | None, most: float | None
) -> None:
    wait = _wait_of_a_refusal(api, **headers)
    if least is None or most is None:
        assert wait is None
    else:
        assert wait is not None
        assert least <= wait <= most


@pytest.mark.parametrize(("seconds", "least", "most"), [(100, 1, 100), (-100, 0, 0)])
def test_the_time_to_wait_may_be_a_date(api: Any, seconds: int, least: float, most: float) -> None:
    """RFC 9110, 10.2.3. The date is made as the test runs: one made as it is collected has passed by then."""
    wait = _wait_of_a_refusal(api, retry_after=formatdate(time.time() + seconds))
    assert wait is not None
    assert least <= wait <= most


def _wait_of_a_refusal(api: Any, **headers: str) -> float | None:
    api.next.append(api.refuse(429, "slow down", **headers))
    with (
        openai.OpenAI(api_key=KEY, base_url=api.url, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.embeddings.create(model="m", input=["a"])
    failure = as_failure(caught.value, "the server")
    assert failure.kind == "busy"
    return failure.wait


def test_a_server_that_fails_once_is_asked_again(api: Any, make: Any) -> None:
    api.next.append(api.refuse(500, "oops"))
    assert np.array_equal(make().embed_query("a"), api.vectors(["a"])[0])
    assert len(api.requests) == 2


def test_a_connection_cut_in_the_middle_of_an_answer_is_made_again(api: Any, make: Any) -> None:
    api.next.append(api.cut)
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))
    assert [request.texts for request in api.requests] == [TEXTS, TEXTS]


def test_what_goes_on_failing_is_given_up_and_the_texts_are_named(api: Any, make: Any) -> None:
    """8.2 A client's own exception never escapes: it is the cause."""
    api.next.extend([api.refuse(503, "overloaded", retry_after="0.01")] * 3)
    with pytest.raises(vk.EmbeddingError, match=r"texts\[0:10\]: .*503.*overloaded.* \(sent 3 times\)") as caught:
        make(max_retries=2).embed_documents(TEXTS)
    assert isinstance(caught.value.__cause__, openai.InternalServerError)
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((400, "dimensions are not for this model"), "dimensions are not for this model"),
        ((401, "Incorrect API key"), "check the API key"),
        ((403, "not yours"), "what the API key may do"),
        ((404, "no such model"), "check the model's name and base_url"),
        ((409, "conflict"), "conflict"),
        ((429, "You exceeded your current quota", "insufficient_quota"), "no credit left"),
    ],
)
def test_what_another_try_does_not_mend_is_not_tried_again(api: Any, make: Any, refusal: Any, message: str) -> None:
    api.next.append(api.refuse(*refusal))
    with pytest.raises(vk.EmbeddingError, match=message):
        make().embed_documents(TEXTS)
    assert len(api.requests) == 1


def test_a_server_that_asks_for_minutes_is_not_waited_for(api: Any, make: Any) -> None:
    api.next.append(api.refuse(429, "tomorrow", retry_after="3600"))
    with pytest.raises(vk.EmbeddingError, match="asks to wait 3,600 s"):
        make().embed_query("a")
    assert len(api.requests) == 1


def test_a_request_that_stalls_is_sent_again_in_halves(api: Any, make: Any, short_waits: None) -> None:
    api.next.append(api.held)
    assert np.array_equal(make(timeout=0.3).embed_documents(TEXTS), api.vectors(TEXTS))
    assert api.hung_up.wait(5)
    assert sorted(request.texts for request in api.requests[1:]) == sorted([TEXTS[:5], TEXTS[5:]])


def test_a_stalled_request_for_one_text_is_sent_again(api: Any, make: Any, short_waits: None) -> None:
    api.next.append(api.held)
    assert np.array_equal(make(timeout=0.3).embed_query("a"), api.vectors(["a"])[0])
    assert [request.texts for request in api.requests] == [["a"], ["a"]]


def test_a_server_too_slow_for_a_batch_gets_smaller_ones(api: Any, make: Any, short_waits: None) -> None:
    """Also in what was not sent yet, and in later calls, so that no time is lost again and nothing paid in vain."""

    def slow(request: Any) -> Any:
        return api.held(request) if len(request.texts) > 4 else api.good(request)

    api.next.extend([slow] * 100)
    embedder = make(timeout=0.3, batch_size=16, concurrency=2)
    texts = [f"text {n}" for n in range(64)]
    assert np.array_equal(embedder.embed_documents(texts), api.vectors(texts))
    sizes = sorted(len(request.texts) for request in api.requests)
    assert sizes[:16] == [4] * 16
    assert sizes[-2:] == [16] * 2
    assert 2 <= sizes.count(8) == len(sizes) - 18 <= 4
    api.requests.clear()
    embedder.embed_documents(texts)
    assert [len(request.texts) for request in api.requests] == [4] * 16


def test_a_server_that_never_answers_is_given_up(api: Any, make: Any, short_waits: None) -> None:
    api.next.extend([api.held] * 100)
    with pytest.raises(vk.EmbeddingError, match=r"texts\[0\]: http://127.* gave no answer in time; .*\(sent 4 times\)"):
        make(timeout=0.1, concurrency=1).embed_documents(["a"])
    assert len(api.requests) == 4


def test_without_retries_a_stalled_request_is_not_paid_twice(api: Any, make: Any) -> None:
    api.next.append(api.held)
    with pytest.raises(vk.EmbeddingError, match=r"texts\[0:10\]: http://127.* gave no answer in time; .*timeout"):
        make(timeout=0.2, max_retries=0).embed_documents(TEXTS)
    assert api.hung_up.wait(5)
    assert len(api.requests) == 1


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait for a hundredth of the time."""
    monkeypatch.setattr(_batching, "_FIRST_WAIT", 0.005)


def numbers_only(api: Any, said: str, status: int = 400) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        if request.body["encoding_format"] == "base64":
            return api.refuse(status, said)(request)
        return api.good(request, to_numbers)

    return answer


def to_numbers(items: "Items") -> None:
    for item in items:
        item["embedding"] = np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4").tolist()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "base64 encoding is not currently supported"),
        (422, "body.encoding_format: Input should be 'float'"),
        (501, "encoding format not implemented"),
    ],
)
def test_a_server_without_base64_is_asked_for_numbers(api: Any, make: Any, status: int, said: str) -> None:
    """Once for each request under way; what was found out holds for later calls."""
    api.next.extend([numbers_only(api, said, status)] * 10)
    embedder = make(concurrency=1)
    assert np.array_equal(embedder.embed_documents(TEXTS), api.vectors(TEXTS))
    assert np.array_equal(embedder.embed_query("a"), api.vectors(["a"])[0])
    assert [request.body["encoding_format"] for request in api.requests] == ["base64", "float", "float"]


def test_a_server_without_any_format_is_asked_twice_only(api: Any, make: Any) -> None:
    api.next.extend([api.refuse(400, "unknown parameter: encoding_format")] * 10)
    with pytest.raises(vk.EmbeddingError, match="unknown parameter: encoding_format"):
        make().embed_documents(TEXTS)
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "Provider returned error", "code": 401}, r"Provider returned error\); check the API key"),
        ({"message": "no credit", "code": "insufficient_quota"}, "no credit left"),
        ("model not loaded", r"refused \(model not loaded\)"),
        ({"message": f"bad key {KEY}", "code": 403}, r"refused \(bad key \*\*\*\)"),
    ],
)
def test_an_error_with_status_200_is_an_error(api: Any, make: Any, error: object, message: str) -> None:
    api.next.append(api.raw(json.dumps({"error": error}).encode()))
    with pytest.raises(vk.EmbeddingError, match=r"texts\[0:10\]: .*" + message):
        make().embed_documents(TEXTS)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "rate limit of your plan", "code": 429},
        {"message": "slow down", "type": "rate_limit_error"},
        {"message": "try later", "code": "503"},
    ],
)
def test_a_busy_server_with_status_200_is_asked_again(api: Any, make: Any, short_waits: None, error: object) -> None:
    api.next.append(api.raw(json.dumps({"error": error}).encode()))
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))
    assert len(api.requests) == 2


def test_too_much_is_halved_when_said_with_status_200(api: Any, make: Any) -> None:
    api.next.append(api.raw(b'{"error": {"message": "too many inputs", "code": 413}}'))
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))
    assert [len(request.texts) for request in api.requests] == [10, 5, 5]


def test_a_slow_answer_is_waited_for(api: Any, make: Any) -> None:
    api.next.append(api.held)
    threading.Timer(0.2, api.release.set).start()
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))


def test_a_server_that_is_not_there_is_said_so(make: Any) -> None:
    embedder = OpenAIEmbedder(api_key=KEY, base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(vk.EmbeddingError, match=r"http://127.0.0.1:9/v1 cannot be reached .*; check base_url"):
        embedder.embed_query("a")
    embedder.close()


FORK = """
import os, sys
import numpy as np
from vectorkit.embedders import OpenAIEmbedder
embedder = OpenAIEmbedder(dimensions=8, base_url=sys.argv[1], api_key="sk-0123456789")
texts = [f"text {n}" for n in range(20)]
made = embedder.embed_documents(texts)
if (child := os.fork()) == 0:
    os._exit(0 if np.array_equal(embedder.embed_documents(texts), made) else 1)
same = np.array_equal(embedder.embed_documents(texts), made)
assert os.waitpid(child, 0)[1] == 0 and same
"""


def test_a_forked_child_makes_connections_of_its_own(api: Any) -> None:
    """9.3 After a fork, a child opens its own."""
    done = subprocess.run([sys.executable, "-c", FORK, api.url], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_arrives_before_a_failure_is_handed_on_first(api: Any, make: Any) -> None:
    """Vectors that were paid for are not lost with those that failed."""
    together = threading.Barrier(3)
    failed = threading.Event()

    def fail(request: Any) -> Any:
        together.wait(10)
        failed.set()
        return api.refuse(400, "no")(request)

    def late(request: Any) -> Any:
        together.wait(10)
        assert failed.wait(10)
        return api.good(request)

    api.next.extend([fail, late, late])
    arrived: dict[int, Any] = {}
    parts = make(batch_size=2, concurrency=3, dimensions=8).embed_parts(TEXTS * 2)
    with pytest.raises(vk.EmbeddingError, match=r"texts\[\d:\d\]: .* refused"):
        arrived.update((row, vector) for rows, vectors in parts for row, vector in zip(rows, vectors, strict=True))
    assert len(arrived) == 2 * (len(api.requests) - 1) >= 4  # all that was sent but what failed
    assert len(api.requests) < 10  # and not everything was sent
    assert all(np.array_equal(vector, api.vectors([TEXTS[row % 10]], 8)[0]) for row, vector in arrived.items())


Items = list[dict[str, Any]]


def drop_one(items: Items) -> None:
    items.pop()


def repeat_one(items: Items) -> None:
    items.append(items[0])


def drop_zero(items: Items) -> None:
    """As Protobuf's JSON does."""
    del next(item for item in items if item["index"] == 0)["index"]


def null_zero(items: Items) -> None:
    next(item for item in items if item["index"] == 0)["index"] = None


def drop_all(items: Items) -> None:
    items.reverse()  # without indices they are in order
    for item in items:
        del item["index"]


def write_out(items: Items) -> None:
    for item in items:
        item["index"] = str(item["index"])


def drop_two(items: Items) -> None:
    del items[0]["index"], items[3]["index"]


def name_one(items: Items) -> None:
    items[0]["index"] = "first"


@pytest.mark.parametrize("change", [drop_zero, null_zero, drop_all, write_out])
def test_indices_that_are_left_out_or_texts_are_understood(api: Any, make: Any, change: Any) -> None:
    api.next.append(api.changed(change))
    assert np.array_equal(make().embed_documents(TEXTS), api.vectors(TEXTS))


def change_index(items: Items) -> None:
    items[0]["index"] = 0


def change_length(items: Items) -> None:
    items[-4]["embedding"] = [0.5] * 7


def change_number(items: Items) -> None:
    items[-4]["embedding"] = [float("nan")] * 8


def change_kind(items: Items) -> None:
    items[-4]["embedding"] = None


def change_base64(items: Items) -> None:
    items[-4]["embedding"] = "!!!"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_one, r"answered with 9 vector\(s\) for 10 text\(s\)"),
        (repeat_one, r"answered with 11 vector\(s\) for 10 text\(s\)"),
        (change_index, "not numbered from 0 to 9"),
        (drop_two, "not numbered from 0 to 9"),
        (name_one, "not numbered from 0 to 9"),
        (change_length, r"the vector of texts\[3\] has 7 dimensions, expected are 8"),
        (change_number, r"the vector of texts\[3\] holds NaN"),
        (change_kind, r"the vector of texts\[3\] is a sequence of 8 numbers"),
        (change_base64, r"the vector of texts\[3\] is no base64"),
    ],
)
def test_an_answer_with_a_wrong_count_length_or_content_is_refused(
    api: Any, make: Any, change: Callable[[Items], object], message: str
) -> None:
    api.next.append(api.changed(change))
    with pytest.raises(vk.EmbeddingError, match=message):
        make(dimensions=8).embed_documents(TEXTS)
    assert len(api.requests) == 1


def test_a_server_that_ignores_dimensions_is_noticed(api: Any, make: Any) -> None:
    api.shortens, api.dimension = False, 48
    with pytest.raises(vk.EmbeddingError, match=r"the vector of texts\[0\] has 48 dimensions, expected are 32"):
        make("m", dimensions=32).embed_documents(TEXTS)


def test_vectors_of_two_lengths_are_noticed(api: Any, make: Any) -> None:
    embedder = make("m")
    embedder.embed_query("a")
    api.dimension = 48
    with pytest.raises(vk.EmbeddingError, match="the vector of the query has 48 dimensions, expected are 1,536"):
        embedder.embed_query("a")


def test_a_page_in_place_of_an_answer_is_said_to_be_none(api: Any, make: Any) -> None:
    for content in b"<html>welcome</html>", b"[1]", b'{"data": 5}':
        api.next.append(api.raw(content))
        with pytest.raises(vk.EmbeddingError, match=r"none of an embeddings API .*check base_url"):
            make().embed_query("a")


# --- the key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "code"), [(f"Incorrect API key provided: {KEY}.", None), ("no", f"bad key {KEY}")])
def test_the_key_is_in_no_error_log_or_repr(
    api: Any, make: Any, caplog: pytest.LogCaptureFixture, message: str, code: str | None
) -> None:
    """8.3 A message never holds a key, not even where a server quotes it; nor does its cause."""
    caplog.set_level(logging.DEBUG)
    api.next.append(api.refuse(401, message, code))
    embedder = make()
    with pytest.raises(vk.EmbeddingError) as caught:
        embedder.embed_documents(TEXTS)
    told = ["".join(traceback.format_exception(caught.value)), caplog.text, repr(embedder), str(embedder)]
    error: BaseException | None = caught.value
    while error is not None:
        told += [str(error), repr(error), str(vars(error))]
        error = error.__cause__ or error.__context__
    assert len(told) >= 4 + 2 * 3  # ours and the client's
    assert all(KEY not in text for text in told)
    assert "***" in "".join(told)


@pytest.mark.parametrize("key", ["sk-test\n-012345", "sk-tést-012345", "sk test 012345"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(
    api: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """8.3 HTTP libraries would quote it, and log it."""
    with pytest.raises(vk.InvalidArgumentError, match="api_key holds white space") as given:
        OpenAIEmbedder(api_key=key)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(vk.InvalidArgumentError, match="OPENAI_API_KEY holds white space") as found:
        OpenAIEmbedder(base_url=api.url).embed_query("a")
    assert "012345" not in str(given.value) + str(found.value)
    assert api.requests == []


def test_a_user_and_password_in_the_url_are_in_no_error(api: Any) -> None:
    """8.3 A message never holds a password."""
    api.next.append(api.refuse(400, "no"))
    embedder = OpenAIEmbedder(api_key=KEY, base_url=api.url.replace("//", "//me:secret@") + "?token=hidden")
    with pytest.raises(vk.EmbeddingError, match=r"http://127\.0\.0\.1:\d+/v1/\?\*\*\* refused") as caught:
        embedder.embed_query("a")
    embedder.close()
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_no_key_is_said_so_and_a_server_of_ones_own_needs_none(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(vk.EmbeddingError, match="give api_key=, or set OPENAI_API_KEY"):
        OpenAIEmbedder().embed_query("a")
    with OpenAIEmbedder(base_url=api.url) as embedder:
        embedder.embed_query("a")
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")  # as it is read from a file
    monkeypatch.setenv("OPENAI_BASE_URL", api.url)
    with OpenAIEmbedder() as embedder:
        embedder.embed_query("a")
    assert [request.headers["authorization"] for request in api.requests] == ["Bearer none", f"Bearer {KEY}"]


# --- arguments --------------------------------------------------------------------------------------------------


def test_the_package_missing_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(vk.MissingDependencyError, match=r"pip install 'vectorkit-db\[openai\]'") as caught:
        OpenAIEmbedder(api_key=KEY).embed_query("a")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": ""}, "model"),
        ({"model": 3}, "model is a str"),
        ({"dimensions": 0}, "dimension is 1 to"),
        ({"dimensions": 1537}, "at most 1,536"),
        ({"model": "text-embedding-ada-002", "dimensions": 256}, "1,536 dimensions only"),
        ({"api_key": 5}, "api_key is a str, not int"),
        ({"base_url": "localhost:8000"}, "begins with http"),
        ({"client": object()}, r"client is an openai\.OpenAI, not object"),
        ({"client": openai.AsyncOpenAI(api_key=KEY)}, r"client is an openai\.OpenAI, not AsyncOpenAI"),
        ({"client": openai.OpenAI(api_key=KEY), "api_key": KEY}, "not both"),
        ({"batch_size": 0}, "batch_size is 1 to 2,048"),
        ({"batch_size": 2049}, "batch_size is 1 to 2,048"),
        ({"concurrency": 0}, "concurrency"),
        ({"max_retries": -1}, "max_retries"),
        ({"timeout": 0}, "timeout is a number of seconds"),
        ({"timeout": True}, "timeout"),
        ({"truncate": "start"}, "truncate is one of"),
        ({"query_prompt": 1}, "query_prompt"),
        ({"document_prompt": b"x"}, "document_prompt"),
    ],
)
def test_arguments_of_a_wrong_type_or_value_are_refused(arguments: dict[str, Any], message: str) -> None:
    """8.2 A wrong Python type for an argument is an InvalidArgumentError."""
    with pytest.raises(vk.InvalidArgumentError, match=message):
        OpenAIEmbedder(**arguments)
