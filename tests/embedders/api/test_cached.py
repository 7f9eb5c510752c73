"""CachedEmbedder: what is paid for once is not paid for again, whatever happens in between."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import CachedEmbedder, HashEmbedder, OpenAIEmbedder
from vectorkit.embedders.cached import CacheStats

TEXTS = [f"text number {n}" for n in range(10)]


class Counted:
    """A HashEmbedder that notes what it is asked, and may fail."""

    def __init__(self, dimension: int = 16, **identity: Any) -> None:
        self._inner = HashEmbedder(dimension)
        self.identity = replace(self._inner.identity, **identity)
        self.asked: list[str] = []
        self.fail: Callable[[Sequence[str]], object] = len

    def embed_documents(self, texts: Sequence[str]) -> Any:
        self.fail(texts)
        self.asked += texts
        return self._inner.embed_documents(texts)

    def embed_query(self, text: str) -> Any:
        self.asked.append(f"query {text}")
        return self._inner.embed_query(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "embeddings.sqlite"


def test_what_was_embedded_is_not_embedded_again_and_comes_back_to_the_bit(path: Path) -> None:
    """2.3 float32, exactly."""
    inner = Counted()
    with CachedEmbedder(inner, path) as embedder:
        assert isinstance(embedder, vk.Embedder)
        first = embedder.embed_documents(TEXTS)
        assert embedder.stats == CacheStats(hits=0, misses=10)
    with CachedEmbedder(inner, str(path)) as embedder:
        again = embedder.embed_documents([*TEXTS[::-1], "new"])
        assert embedder.stats == CacheStats(hits=10, misses=1)
    assert inner.asked == [*TEXTS, "new"]
    assert again.dtype == np.float32
    assert again.flags.c_contiguous
    assert np.array_equal(first, HashEmbedder(16).embed_documents(TEXTS))
    assert np.array_equal(again, HashEmbedder(16).embed_documents([*TEXTS[::-1], "new"]))


def test_equal_texts_of_a_call_are_embedded_once(path: Path) -> None:
    inner = Counted()
    with CachedEmbedder(inner, path) as embedder:
        vectors = embedder.embed_documents(["a", "b", "a", "a"])
        assert embedder.stats == CacheStats(hits=2, misses=2)
    assert inner.asked == ["a", "b"]
    assert np.array_equal(vectors, HashEmbedder(16).embed_documents(["a", "b", "a", "a"]))


def test_queries_are_kept_apart_from_documents(path: Path) -> None:
    """Models embed them differently."""
    inner = Counted()
    with CachedEmbedder(inner, path) as embedder:
        embedder.embed_documents(["a"])
        vector = embedder.embed_query("a")
        assert np.array_equal(embedder.embed_query("a"), vector)
        vector[:] = 0  # the caller's own, not the cache's
        assert np.array_equal(embedder.embed_query("a"), HashEmbedder(16).embed_query("a"))
        assert embedder.stats == CacheStats(hits=2, misses=2)
    assert inner.asked == ["a", "query a"]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "other"},
        {"model": "other"},
        {"query_prompt": "q: "},
        {"document_prompt": "d: "},
        {"normalize": False},
        {"revision": "abc"},
    ],
)
def test_another_identity_has_vectors_of_its_own_in_the_same_file(path: Path, changed: dict[str, Any]) -> None:
    """1.4 What decides which vector a text becomes is in the identity, and the revision of the weights beside it."""
    one, other = Counted(), Counted(**changed)
    with CachedEmbedder(one, path) as first, CachedEmbedder(other, path) as second:
        first.embed_documents(TEXTS)
        second.embed_documents(TEXTS)
        assert second.identity == other.identity
        assert first.stats == second.stats == CacheStats(0, 10)


def test_an_embedder_that_dies_half_way_is_asked_for_the_rest_only(path: Path) -> None:
    texts = [f"text {n}" for n in range(1000)]
    inner = Counted()

    def fail(asked: Sequence[str]) -> None:
        if texts[700] in asked:
            raise vk.EmbeddingError("no more")

    inner.fail = fail
    with CachedEmbedder(inner, path) as embedder:
        embedder.embed_documents(texts[100:200])
        with pytest.raises(vk.EmbeddingError, match="no more"):
            embedder.embed_documents(texts)
        assert embedder.stats == CacheStats(hits=100, misses=100 + 2 * 256)
    assert len(inner.asked) == 100 + 2 * 256
    inner.fail = len
    with CachedEmbedder(inner, path) as embedder:
        assert np.array_equal(embedder.embed_documents(texts), HashEmbedder(16).embed_documents(texts))
    assert sorted(inner.asked) == sorted(texts)


def test_a_message_names_the_text_of_the_call_not_of_those_that_were_passed_on(api: Any, path: Path) -> None:
    api.reads = 20
    with OpenAIEmbedder(dimensions=8, base_url=api.url) as inner, CachedEmbedder(inner, path) as embedder:
        embedder.embed_documents(["a", "b"])
        with pytest.raises(vk.EmbeddingError, match=r"^texts\[4\]: .*maximum context") as long:
            embedder.embed_documents(["a", "c", "b", "c", "long " * 10, "d"])
        with pytest.raises(vk.EmbeddingError, match=r"^texts\[3\] is empty") as empty:
            embedder.embed_documents(["a", "b", "a", "", "e"])
        assert (long.value.index, empty.value.index) == (4, 3)


@pytest.mark.parametrize("how", ["raises", "returns NaN"])
def test_the_record_at_fault_is_named_whatever_was_in_the_file_before_it(path: Path, how: str) -> None:
    """3.9 Also behind the first part of what is passed on."""
    texts = [f"text {n}" for n in range(700)]
    inner = Counted()

    def fail(asked: Sequence[str]) -> None:
        if texts[600] in asked:
            at = asked.index(texts[600])
            raise vk.EmbeddingError(f"texts[{at}] has no words", index=at)

    class Broken(Counted):
        def embed_documents(self, texts: Sequence[str]) -> Any:
            vectors = super().embed_documents(texts)
            vectors[[text == "text 600" for text in texts], 3] = np.nan
            return vectors

    if how == "raises":
        inner.fail = fail
    else:
        inner = Broken()
    with CachedEmbedder(inner, path) as embedder, vk.connect("memory:") as store:
        embedder.embed_documents(texts[:100])
        docs = store.create_collection("docs", embedder=embedder)
        with pytest.raises(
            vk.EmbeddingError, match=r"^record 'id 600' could not be embedded: .*texts\[600\]"
        ) as raised:
            docs.add(ids=[f"id {n}" for n in range(700)], documents=texts)
        assert raised.value.index == 600
        with pytest.raises(vk.EmbeddingError, match="record 'id 600' could not be embedded"):
            docs.ingest([vk.Record(f"id {n}", text) for n, text in enumerate(texts)], batch_size=250)
        assert docs.count() == 500


def test_what_an_api_answered_before_a_failure_is_kept(api: Any, path: Path) -> None:
    """Requests that were under way with the one that failed were paid for."""
    failed = threading.Event()

    def fail(request: Any) -> Any:
        failed.set()
        return api.refuse(400, "no")(request)

    def late(request: Any) -> Any:
        assert failed.wait(10)
        return api.good(request)

    api.next.extend([late, fail, late])
    options: dict[str, Any] = {"dimensions": 8, "batch_size": 2, "concurrency": 3}
    with OpenAIEmbedder(base_url=api.url, **options) as inner, CachedEmbedder(inner, path) as embedder:
        with pytest.raises(vk.EmbeddingError, match=r"texts\[\d:\d\]"):
            embedder.embed_documents(TEXTS)
        paid = inner.usage.tokens
        assert np.array_equal(embedder.embed_documents(TEXTS), api.vectors(TEXTS, 8))
        assert inner.usage.tokens == sum(map(len, TEXTS))
    assert paid > 0


CHILD = """
import sys
from vectorkit.embedders import CachedEmbedder, OpenAIEmbedder

inner = OpenAIEmbedder(dimensions=8, batch_size=2, concurrency=1, base_url=sys.argv[1], api_key="sk-0123456789")
embedder = CachedEmbedder(inner, sys.argv[2])
embedder.embed_documents([f"text number {n}" for n in range(10)])
"""


def test_a_process_that_is_killed_half_way_pays_for_the_rest_only(api: Any, path: Path) -> None:
    """9.4 What was stored before a kill -9 is there afterwards."""
    api.next.extend([api.good, api.good, api.good, api.held])
    child = subprocess.Popen([sys.executable, "-c", CHILD, api.url, str(path)])
    for _ in range(4):
        assert api.arrived.acquire(timeout=60)
    child.kill()
    child.wait()
    with OpenAIEmbedder(dimensions=8, base_url=api.url) as inner, CachedEmbedder(inner, path) as embedder:
        assert np.array_equal(embedder.embed_documents(TEXTS), api.vectors(TEXTS, 8))
        assert embedder.stats == CacheStats(hits=6, misses=4)


def test_many_threads_share_one(path: Path) -> None:
    """9.3 Stores and collections, and so their embedders, may be used from many threads at once."""
    calls = [TEXTS[n % 5 :] for n in range(40)]
    with CachedEmbedder(Counted(), path) as embedder, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(embedder.embed_documents, calls))
        assert embedder.stats.hits + embedder.stats.misses == sum(map(len, found))
    for texts, vectors in zip(calls, found, strict=True):
        assert np.array_equal(vectors, HashEmbedder(16).embed_documents(texts))


PROCESS = """
import sys
import numpy as np
from vectorkit.embedders import CachedEmbedder, HashEmbedder

inner = HashEmbedder(64)
texts = [f"text {n}" for n in range(400)]
with CachedEmbedder(inner, sys.argv[1], max_bytes=2**20) as embedder:
    sys.stdin.read()  # until all of them are there
    for start in range(0, 400, 20):
        part = texts[start : start + 40]
        assert np.array_equal(embedder.embed_documents(part), inner.embed_documents(part))
"""


def test_several_processes_share_one_file(path: Path) -> None:
    """They open it at the same moment, and write and read the same vectors."""
    children = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    for child in children:
        assert child.stderr is not None
        with child.stderr as errors:
            said = errors.read()
        assert child.wait(60) == 0, said.decode()
    with CachedEmbedder(HashEmbedder(64), path) as embedder:
        embedder.embed_documents([f"text {n}" for n in range(400)])
        assert embedder.stats == CacheStats(hits=400, misses=0)


def test_a_forked_child_opens_its_own(path: Path) -> None:
    """9.3 After a fork, a child opens its own."""
    code = """
import os, sys
from vectorkit.embedders import CachedEmbedder, HashEmbedder
embedder = CachedEmbedder(HashEmbedder(8), sys.argv[1])
embedder.embed_documents(["a", "b"])
if (child := os.fork()) == 0:
    embedder.embed_documents(["b", "c"])
    os._exit(0 if embedder.stats.misses == 3 else 1)
assert os.waitpid(child, 0)[1] == 0
embedder.embed_documents(["a", "b", "c"])
assert embedder.stats.misses == 2, embedder.stats
embedder.close()
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_file_is_bounded_and_the_least_recently_used_vectors_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [1000]
    monkeypatch.setattr("vectorkit.embedders._vector_file.time.time", lambda: hours[0] * 3600.0)
    texts = [f"text {n}" for n in range(400)]
    with CachedEmbedder(Counted(2048), path, max_bytes=2**20) as embedder:  # 8 KiB a vector: some 120 of them
        embedder.embed_documents(texts[:60])
        hours[0] += 1
        embedder.embed_documents(texts[60:100])
        hours[0] += 1
        embedder.embed_documents(texts[:30])  # used again
        hours[0] += 1
        embedder.embed_documents(texts[100:150])
        kept = embedder.stats.hits
        embedder.embed_documents(texts[:30])
        assert embedder.stats.hits == kept + 30
        embedder.embed_documents(texts[30:60])
        assert embedder.stats.hits < kept + 60
        for start in range(0, 400, 50):
            embedder.embed_documents(texts[start : start + 50])
        assert path.stat().st_size < 2**20 + 60 * 8192  # and one call's
    assert path.stat().st_size < 2**20 + 60 * 8192


def test_a_damaged_vector_is_made_again(path: Path) -> None:
    inner = Counted()
    with CachedEmbedder(inner, path) as embedder:
        embedder.embed_documents(["a"])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE vectors SET vector = x'0102'")
    connection.commit()
    connection.close()
    with CachedEmbedder(inner, path) as embedder:
        for _ in range(2):
            assert np.array_equal(embedder.embed_documents(["a"]), HashEmbedder(16).embed_documents(["a"]))
        assert embedder.stats == CacheStats(hits=1, misses=1)


def test_what_the_embedder_returns_is_checked_and_not_stored(path: Path) -> None:
    wrong = vk.embedder(lambda texts: [[1.0] * 15] * len(texts), dimension=15, name="x")
    vars(wrong)["_identity"] = replace(wrong.identity, dimension=16)
    with CachedEmbedder(wrong, path) as embedder:
        with pytest.raises(vk.EmbeddingError, match="15 dimensions, expected are 16"):
            embedder.embed_documents(["a"])
        with pytest.raises(vk.EmbeddingError, match="15 dimensions, expected are 16"):
            embedder.embed_query("a")
        assert embedder.stats == CacheStats(hits=0, misses=0)


def test_no_texts_are_in_the_file(path: Path) -> None:
    with CachedEmbedder(Counted(), path) as embedder:
        embedder.embed_documents(["a very secret text"])
        found = b"".join(part.read_bytes() for part in path.parent.iterdir())
    assert b"secret" not in found


def test_a_file_that_is_no_cache_is_left_alone(tmp_path: Path) -> None:
    """8.2 A client's own exception never escapes: it is the cause."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and longer than the header of one " * 20)
    with pytest.raises(vk.EmbeddingError, match=r"cannot be used \(DatabaseError.*give another path") as caught:
        CachedEmbedder(Counted(), text)
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE vectors (mine)")
    connection.close()
    with pytest.raises(vk.EmbeddingError, match="another program's SQLite file"):
        CachedEmbedder(Counted(), other)
    with pytest.raises(vk.EmbeddingError, match="cannot be used"):
        CachedEmbedder(Counted(), tmp_path)


def test_a_closed_cache_opens_again_when_it_is_used(path: Path) -> None:
    embedder = CachedEmbedder(Counted(), path)
    embedder.embed_documents(["a"])
    embedder.close()
    embedder.close()
    embedder.embed_documents(["a"])
    assert embedder.stats == CacheStats(hits=1, misses=1)
    embedder.close()
    assert repr(embedder).endswith(f"{os.fspath(path)!r})")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedder": len}, "is no embedder"),
        ({"path": 5}, "path is a path, not int"),
        ({"max_bytes": 100}, "at least 1,048,576"),
        ({"max_bytes": 1e9}, "max_bytes is an int"),
    ],
)
def test_arguments_of_a_wrong_type_or_value_are_refused(path: Path, arguments: dict[str, Any], message: str) -> None:
    """8.2 A wrong Python type for an argument is an InvalidArgumentError."""
    given: dict[str, Any] = {"embedder": Counted(), "path": path, **arguments}
    with pytest.raises(vk.InvalidArgumentError, match=message):
        CachedEmbedder(**given)
