"""SentenceTransformerEmbedder with the real model, and with small ones where the model's make-up matters."""

import multiprocessing
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import SentenceTransformerEmbedder, TruncationWarning
from vectorkit.embedders._files import shipped_folder
from vectorkit.embedders._loading import load_model

BuildModel = Callable[..., Path]

LONG = "word " * 300  # 302 tokens; the model reads 256


def test_likeness_of_meaning_is_in_the_right_order(minilm: SentenceTransformerEmbedder) -> None:
    query = minilm.embed_query("A man is eating food.")
    near, middle, far = minilm.embed_documents(
        ["A man is eating a piece of bread.", "A woman cooks dinner.", "The stock market fell sharply."]
    )
    assert query @ near > query @ middle > query @ far


def test_vectors_are_those_of_the_formula_in_the_models_readme(minilm: SentenceTransformerEmbedder) -> None:
    """Mean of the token vectors that are no padding, scaled to norm 1, computed with transformers alone."""
    texts = ["This is an example sentence", "Each sentence is converted, however long it may be"]
    transformers: Any = import_module("transformers")
    torch: Any = import_module("torch")
    folder = shipped_folder("sentence-transformers/all-MiniLM-L6-v2")
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = transformers.AutoModel.from_pretrained(folder)(**tokens)[0].numpy()
    mask = tokens["attention_mask"].numpy()[:, :, None]
    expected = (states * mask).sum(axis=1) / mask.sum(axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(minilm.embed_documents(texts), expected, atol=1e-5)


def test_a_text_search_finds_by_meaning(minilm: SentenceTransformerEmbedder) -> None:
    """6.1 A string is embedded by the collection's embedder."""
    with vk.connect("memory:") as store:
        docs = store.create_collection("docs", embedder=minilm)
        docs.add(
            ids=["sky", "dough", "index"],
            documents=["Stars shine at night.", "Yeast makes dough rise.", "A B-tree speeds up lookups."],
        )
        assert docs.search("how is bread baked?", k=1)[0].id == "dough"
        assert docs.search("database performance", k=1)[0].id == "index"


def test_vectors_are_contiguous_float32_of_norm_one(minilm: SentenceTransformerEmbedder) -> None:
    """2.3 An embedding is `dimension` float32 numbers."""
    vectors = minilm.embed_documents(["one", "", "three words here"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert minilm.embed_query("one").shape == (384,)
    np.testing.assert_allclose(minilm.embed_query("one"), vectors[0], atol=1e-5)


def test_vectors_do_not_depend_on_batch_size_or_order(minilm: SentenceTransformerEmbedder) -> None:
    texts = [f"passage {n} " + "and so on " * (n % 7) for n in range(12)]
    one = SentenceTransformerEmbedder(device="cpu", batch_size=1).embed_documents(texts)
    many = SentenceTransformerEmbedder(device="cpu", batch_size=64).embed_documents(texts)
    np.testing.assert_allclose(one, many, atol=1e-5)
    np.testing.assert_allclose(minilm.embed_documents(texts[::-1])[::-1], many, atol=1e-5)


def test_the_same_texts_give_the_same_vectors(minilm: SentenceTransformerEmbedder) -> None:
    assert np.array_equal(minilm.embed_documents(["one", "two"]), minilm.embed_documents(["one", "two"]))


def test_vectors_are_as_the_model_makes_them_unless_normalised(tiny: Path) -> None:
    raw = SentenceTransformerEmbedder(tiny, device="cpu", normalize=False)
    scaled = SentenceTransformerEmbedder(tiny, device="cpu")
    vector = raw.embed_query("some words")
    assert abs(float(np.linalg.norm(vector)) - 1) > 0.1
    np.testing.assert_allclose(scaled.embed_query("some words"), vector / np.linalg.norm(vector), atol=1e-6)
    assert raw.identity != scaled.identity


# --- prompts ----------------------------------------------------------------------------------------------------


def test_a_query_prompt_changes_queries_only(tiny: Path) -> None:
    plain = SentenceTransformerEmbedder(tiny, device="cpu")
    prompted = SentenceTransformerEmbedder(tiny, device="cpu", query_prompt="query: ")
    assert np.array_equal(prompted.embed_query("text"), plain.embed_query("query: text"))
    assert not np.allclose(prompted.embed_query("text"), plain.embed_query("text"), atol=1e-3)
    assert np.array_equal(prompted.embed_documents(["text"]), plain.embed_documents(["text"]))


def test_the_prompts_of_the_models_own_configuration_are_applied(build_model: BuildModel, tiny: Path) -> None:
    folder = build_model(prompts={"query": "query: ", "passage": "passage: "})
    embedder = SentenceTransformerEmbedder(folder, device="cpu")
    plain = SentenceTransformerEmbedder(tiny, device="cpu")  # the same weights
    assert (embedder.identity.query_prompt, embedder.identity.document_prompt) == ("query: ", "passage: ")
    assert np.array_equal(embedder.embed_query("text"), plain.embed_query("query: text"))
    assert np.array_equal(embedder.embed_documents(["text"]), plain.embed_documents(["passage: text"]))
    switched_off = SentenceTransformerEmbedder(folder, device="cpu", query_prompt="", document_prompt="")
    assert np.array_equal(switched_off.embed_query("text"), plain.embed_query("text"))
    assert np.array_equal(switched_off.embed_documents(["text"]), plain.embed_documents(["text"]))


# --- fewer numbers, half of their digits -------------------------------------------------------------------------


def test_vectors_are_cut_to_a_smaller_dimension_and_scaled_again(tiny: Path) -> None:
    """1.4 The identity has the dimension that is left."""
    whole = SentenceTransformerEmbedder(tiny, device="cpu", normalize=False).embed_documents(["one", "two words"])
    embedder = SentenceTransformerEmbedder(tiny, device="cpu", truncate_dim=8)
    assert embedder.identity.dimension == 8
    expected = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed_documents(["one", "two words"]), expected, atol=1e-6)
    assert embedder.embed_query("one").shape == (8,)
    raw = SentenceTransformerEmbedder(tiny, device="cpu", truncate_dim=32, normalize=False)
    assert np.array_equal(raw.embed_documents(["one", "two words"]), whole)


def test_more_numbers_than_the_model_makes_cannot_be_kept(tiny: Path) -> None:
    with pytest.raises(vk.EmbeddingError, match="vectors of 32 dimensions, which truncate_dim=33 cannot keep"):
        _ = SentenceTransformerEmbedder(tiny, truncate_dim=33).identity


def test_half_precision_on_a_cpu_is_refused(tiny: Path) -> None:
    with pytest.raises(vk.EmbeddingError, match="half precision is for GPUs"):
        SentenceTransformerEmbedder(tiny, device="cpu", half_precision=True).embed_query("a")


def test_vectors_made_in_half_precision_are_scaled_in_single_precision(tiny: Path) -> None:
    """2.3 Kept as float32. The weights are halved here, as on a GPU: PyTorch can do without one, only slower."""
    embedder = SentenceTransformerEmbedder(tiny, device="cpu")
    expected = embedder.embed_documents(["one", "two words"])
    vars(embedder)["_model"].half()
    vectors = embedder.embed_documents(["one", "two words"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, expected, atol=0.01)
    assert not np.array_equal(vectors, expected)


# --- parts and processes ----------------------------------------------------------------------------------------


def test_vectors_are_handed_on_batch_by_batch_the_longest_texts_first(tiny: Path) -> None:
    texts = ["a", "four words of text", "two words", "three words here", ""]
    embedder = SentenceTransformerEmbedder(tiny, device="cpu", batch_size=2)
    parts = list(embedder.embed_parts(texts))
    assert [list(rows) for rows, _ in parts] == [[1, 3], [2, 0], [4]]
    whole = embedder.embed_documents(texts)
    assert all(np.array_equal(vectors, whole[list(rows)]) for rows, vectors in parts)


def test_several_processes_make_the_same_vectors_and_are_ended(tiny: Path) -> None:
    texts = [f"text {n} " + "word " * (n % 9) for n in range(30)]
    calls: list[tuple[int, int]] = []
    expected = SentenceTransformerEmbedder(tiny, batch_size=2).embed_documents(texts)
    with SentenceTransformerEmbedder(
        tiny, batch_size=2, processes=2, progress=lambda done, total: calls.append((done, total))
    ) as embedder:
        np.testing.assert_allclose(embedder.embed_query("text"), embedder.embed_documents(["text"])[0], atol=1e-6)
        assert multiprocessing.active_children() == []  # a single batch is not worth them
        calls.clear()
        np.testing.assert_allclose(embedder.embed_documents(texts), expected, atol=1e-5)
        assert calls == [(16, 30), (30, 30)]
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
            worker.join()
        with pytest.raises(vk.EmbeddingError, match="died unexpectedly"):
            embedder.embed_documents(texts)
    assert multiprocessing.active_children() == []


# --- long texts -------------------------------------------------------------------------------------------------


def test_texts_cut_at_the_models_limit_are_counted_and_told_once() -> None:
    """The limit of 256 tokens holds the two that mark the ends, so 254 words of one token are the most."""
    embedder = SentenceTransformerEmbedder(device="cpu")
    with pytest.warns(TruncationWarning, match=r"2 of 5 text\(s\) are longer than the 256 tokens") as told:
        embedder.embed_documents([LONG, "word " * 254, "short", "word " * 255, "x" * 300])
    assert [Path(warning.filename) for warning in told] == [Path(__file__)]
    embedder.embed_documents([LONG])
    embedder.embed_query(LONG)


def test_the_tokens_of_the_prompt_count(tiny: Path) -> None:
    text = "word " * 60  # and two for the ends: 62 of 64
    SentenceTransformerEmbedder(tiny, device="cpu", query_prompt="two words ").embed_query(text)
    with pytest.warns(TruncationWarning, match="1 of 1"):
        SentenceTransformerEmbedder(tiny, device="cpu", query_prompt="now three words ").embed_query(text)


def test_a_character_of_several_tokens_is_counted_as_such(tiny: Path) -> None:
    """Decomposed, a Hangul syllable is up to three letters, each a token: these 56 characters are 84 of 62."""
    text = "한 " * 28
    with pytest.warns(TruncationWarning, match="1 of 1"):
        SentenceTransformerEmbedder(tiny, device="cpu").embed_query(text)


def test_what_was_cut_off_is_not_part_of_the_vector(tiny: Path) -> None:
    embedder = SentenceTransformerEmbedder(tiny, device="cpu")
    with pytest.warns(TruncationWarning):
        vectors = embedder.embed_documents(["word " * 70 + "beyond", "word " * 70 + "elsewhere", "word " * 62])
    np.testing.assert_allclose(vectors, vectors[[0, 0, 0]], atol=1e-6)


# --- progress ---------------------------------------------------------------------------------------------------


def test_progress_is_reported_once_a_batch_in_the_calling_thread(tiny: Path) -> None:
    calls: list[tuple[int, int]] = []
    threads: set[threading.Thread] = set()

    def progress(done: int, total: int) -> None:
        calls.append((done, total))
        threads.add(threading.current_thread())

    embedder = SentenceTransformerEmbedder(tiny, device="cpu", batch_size=4, progress=progress)
    embedder.embed_documents([f"text {n}" for n in range(10)])
    assert calls == [(4, 10), (8, 10), (10, 10)]
    assert threads == {threading.current_thread()}
    embedder.embed_documents([])
    embedder.embed_query("text")
    assert len(calls) == 3


def test_what_a_progress_callback_raises_ends_the_call(tiny: Path) -> None:
    class Stop(Exception):
        pass

    calls: list[int] = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        raise Stop

    with pytest.raises(Stop):
        SentenceTransformerEmbedder(tiny, device="cpu", batch_size=1, progress=progress).embed_documents(["a", "b"])
    assert calls == [1]


# --- threads ----------------------------------------------------------------------------------------------------


def test_eight_threads_that_start_at_once_load_the_model_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """9.3 Stores and collections, and so their embedders, may be used from many threads at once."""
    loads: list[str] = []

    def counted(name: str, *rest: Any) -> Any:
        loads.append(name)
        return load_model(name, *rest)

    monkeypatch.setattr("vectorkit.embedders.sentence_transformers.load_model", counted)
    embedder = SentenceTransformerEmbedder(tiny, device="cpu")
    together = threading.Barrier(8)

    def query(_: int) -> Any:
        together.wait()
        return embedder.embed_query("the same text")

    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(query, range(8)))
    assert len(loads) == 1
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)


def test_threads_with_long_and_short_texts_do_not_disturb_each_other(tiny: Path) -> None:
    """9.3 Counting tokens must not change how the model's tokenizer cuts for another thread."""
    texts = [f"{n} " + "word " * (n * 3 % 90) for n in range(40)]
    embedder = SentenceTransformerEmbedder(tiny, device="cpu", batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(embedder.embed_query, texts * 3))
    np.testing.assert_allclose(np.array(found[:40]), embedder.embed_documents(texts), atol=1e-5)
    assert np.array_equal(found[:40] * 3, found)


# --- failures ---------------------------------------------------------------------------------------------------


def test_a_vector_with_nan_is_refused_and_its_text_named(build_model: BuildModel) -> None:
    embedder = SentenceTransformerEmbedder(build_model(nan_word="poison"), device="cpu", batch_size=2)
    with pytest.raises(vk.EmbeddingError, match=r"NaN or infinity of texts\[3\]"):
        embedder.embed_documents(["one long text of words", "two", "three", "some poison", "five"])
    with pytest.raises(vk.EmbeddingError, match="NaN or infinity of the query"):
        embedder.embed_query("poison")
    assert np.isfinite(embedder.embed_documents(["one", "two"])).all()


def test_files_that_contradict_the_weights_are_noticed(build_model: BuildModel) -> None:
    folder = build_model()
    config = folder / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("32", "48"))
    with pytest.raises(vk.EmbeddingError, match=r"shape \(32,\), but its files say \(48,\)"):
        SentenceTransformerEmbedder(folder, device="cpu").embed_query("text")


@pytest.mark.parametrize("device", ["cuda", "toaster"])
def test_a_device_that_is_not_there_is_a_typed_error(tiny: Path, device: str) -> None:
    """8.2 A client's own exception never escapes: it is the cause."""
    with pytest.raises(vk.EmbeddingError, match="could not be loaded") as caught:
        SentenceTransformerEmbedder(tiny, device=device).embed_query("text")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": ""}, "model"),
        ({"model": 3}, "model is a str"),
        ({"device": 0}, "device is a str"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"normalize": "yes"}, "normalize"),
        ({"query_prompt": 1}, "query_prompt"),
        ({"document_prompt": b"x"}, "document_prompt"),
        ({"progress": True}, "progress is a function"),
        ({"truncate_dim": 0}, "dimension is 1 to"),
        ({"half_precision": 1}, "half_precision is True or False"),
        ({"processes": 0}, "processes is at least 1"),
        ({"processes": 2, "device": "cuda"}, "several processes are for device='cpu'"),
    ],
)
def test_arguments_of_a_wrong_type_or_value_are_refused(arguments: dict[str, Any], message: str) -> None:
    """8.2 A wrong Python type for an argument is an InvalidArgumentError."""
    with pytest.raises(vk.InvalidArgumentError, match=message):
        SentenceTransformerEmbedder(**arguments)
