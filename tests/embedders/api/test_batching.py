"""How texts become requests, without any I/O, and how tokens are counted."""

import threading
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

import vectorkit as vk
from vectorkit.embedders import OpenAIEmbedder, TruncationWarning
from vectorkit.embedders._batching import MAX_REQUEST_TOKENS, Failure, Part, Work
from vectorkit.embedders._tokens import Tokens


def work(
    texts: list[str], sizes: list[int] | None = None, truncate: Literal["error", "end"] = "error", **options: Any
) -> Work:
    settings: dict[str, Any] = {"batch_size": 2048, "max_retries": 8, "query": False, **options}
    return Work(texts, sizes or [len(text) for text in texts], truncate=truncate, **settings)


# --- requests ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 400_000), max_size=60), st.integers(1, 20))
def test_requests_hold_each_text_once_in_order_and_keep_to_all_limits(sizes: list[int], batch_size: int) -> None:
    parts = list(work(["x"] * len(sizes), sizes, batch_size=batch_size).pending)
    assert [row for part in parts for row in part.rows] == list(range(len(sizes)))
    for part in parts:
        assert len(part.rows) <= batch_size
        assert len(part.rows) == 1 or sum(sizes[row] for row in part.rows) <= MAX_REQUEST_TOKENS
    for one, next in pairwise(parts):  # and are no more than it takes
        together = sum(sizes[row] for row in one.rows) + sizes[next.rows.start]
        assert len(one.rows) == batch_size or together > MAX_REQUEST_TOKENS


@given(st.integers(1, 40), st.integers(1, 40))
def test_halving_loses_no_text_and_repeats_none(count: int, taken: int) -> None:
    job = work([f"{n}" for n in range(count)])
    done: list[int] = []
    while job.pending:
        part = job.pending.popleft()
        if len(part.rows) > taken:
            job.failed(part, Failure("too many", "size"))
        else:
            done += part.rows
    assert done == list(range(count))
    assert job.error is None


def test_a_single_text_that_is_too_large_ends_the_call_or_is_halved() -> None:
    job = work(["abcdefgh", "x"])
    job.failed(Part(range(1)), Failure("too long", "size"))
    assert str(job.error) == "texts[0]: too long; split it, or give truncate='end'"
    assert job.error is not None
    assert job.error.index == 0
    assert not job.pending
    job = work(["abcdefgh", "x"], truncate="end", batch_size=1)
    for expected in "abcd", "ab", "a":
        job.failed(Part(range(1)), Failure("too long", "size"))
        assert job.texts(job.pending.popleft()) == [expected]
    job.failed(Part(range(1)), Failure("too long", "size"))
    assert isinstance(job.error, vk.EmbeddingError)
    assert job.cut == {0}


def test_waits_double_to_twenty_seconds_and_last_over_a_minute_in_all() -> None:
    """Limits of requests and tokens are counted a minute."""
    job = work(["a"])
    waits: list[float] = []
    part = job.pending.popleft()
    while job.error is None:
        job.failed(part, Failure("busy", "busy"))
        if job.pending:
            part = job.pending.popleft()
            waits.append(part.wait)
    limits = [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert all(0.75 * most <= wait <= most for wait, most in zip(waits, limits, strict=True))
    assert sum(limits) > 70
    assert str(job.error) == "texts[0]: busy (sent 9 times)"


def test_the_wait_that_a_server_names_is_kept_to() -> None:
    job = work(["a"])
    job.failed(job.pending.popleft(), Failure("busy", "busy", wait=33.0))
    assert job.pending == type(job.pending)([Part(range(1), 1, 33.0)])


def test_a_server_that_is_not_there_is_tried_four_times_at_most() -> None:
    job = work(["a"])
    for _ in range(4):
        job.failed(job.pending.popleft(), Failure("gone", "unreachable"))
    assert str(job.error) == "texts[0]: gone (sent 4 times)"


def test_the_first_failure_is_the_one_that_is_raised() -> None:
    job = work(["a", "b"], batch_size=1, query=True)
    cause = OSError()
    job.failed(Part(range(1)), Failure("first", "final", cause=cause))
    job.failed(Part(range(1, 2)), Failure("second", "final"))
    assert str(job.error) == "the query: first"
    assert job.error is not None
    assert job.error.__cause__ is cause


# --- tokens -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """A real tokenizer with a small vocabulary (those of the models are downloaded): bytes, and `word `."""
    tokens = [*(bytes([byte]) for byte in range(256)), b"wo", b"rd", b"word", b"word "]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    encoding = tiktoken.Encoding("small", pat_str=r"(?s:.+)", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "encoding_for_model", {"text-embedding-3-small": encoding}.__getitem__)
    return encoding


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_estimate_is_never_too_low(text: str) -> None:
    """A token of a byte-level vocabulary is one byte or more."""
    assert Tokens(None).count([text]) == [len(text.encode())]


@pytest.mark.usefixtures("tokenizer")
def test_tokens_are_counted_with_the_models_tokenizer_where_it_can_be_loaded() -> None:
    assert OpenAIEmbedder().estimate_tokens(["word word ", "x"]) == 3
    assert OpenAIEmbedder(document_prompt="word ").estimate_tokens(["x", "y"]) == 4
    assert OpenAIEmbedder("another-model").estimate_tokens(["word word ", "x"]) == 11


def test_without_network_or_package_the_estimate_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(model: str) -> Any:
        raise ConnectionError

    monkeypatch.setattr(tiktoken, "encoding_for_model", offline)
    assert OpenAIEmbedder().estimate_tokens(["word word ", "x"]) == 11


def test_a_vocabulary_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hang(model: str) -> Any:
        never.wait(60)

    monkeypatch.setattr(tiktoken, "encoding_for_model", hang)
    monkeypatch.setattr("vectorkit.embedders._tokens._LOADING", 0.05)
    embedder = OpenAIEmbedder()
    assert [embedder.estimate_tokens(["abc"]) for _ in range(3)] == [3, 3, 3]
    never.set()


def test_short_texts_need_no_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(model: str) -> Any:
        raise AssertionError

    monkeypatch.setattr(tiktoken, "encoding_for_model", never)
    assert Tokens("text-embedding-3-small").sizes(["a" * 8192] * 36) == [8192] * 36


@pytest.mark.usefixtures("tokenizer")
def test_a_text_that_is_counted_too_long_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(vk.EmbeddingError, match=r"texts\[1\] has 8,193 tokens, but 'text-embedding-3-small' reads"):
        OpenAIEmbedder(api_key="sk-0123456789").embed_documents(["word " * 8192, "word " * 8193])


@pytest.mark.parametrize("word", ["word ", "ü", "wo", "word"])
def test_a_text_that_is_cut_is_as_long_as_the_model_reads(tokenizer: tiktoken.Encoding, word: str) -> None:
    """A character of several tokens is left out whole."""
    text = "a" + word * 9000
    cut = Tokens("text-embedding-3-small").cut(text)
    assert text.startswith(cut)
    assert 8190 <= len(tokenizer.encode_ordinary(cut)) <= 8192


@pytest.mark.usefixtures("tokenizer")
def test_texts_are_cut_before_they_are_sent_where_tokens_are_counted(api: Any) -> None:
    api.reads = 50_000  # bytes, as this server counts
    embedder = OpenAIEmbedder(dimensions=8, truncate="end", base_url=api.url)
    with pytest.warns(TruncationWarning, match=r"1 text\(s\)"):
        vectors = embedder.embed_documents(["a", "word " * 9000])
    embedder.close()
    assert np.array_equal(vectors, api.vectors(["a", "word " * 8192], 8))
    assert len(api.requests) == 1
