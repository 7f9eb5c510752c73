"""Text analysis and BM25 in themselves."""

import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi  # pyright: ignore[reportMissingTypeStubs]

import vectorkit as vk
from vectorkit.text import AVERAGE_LENGTH, K1, LANGUAGES, B, analyzer, check_language, idf, penalty, saturation

WORDS = st.sampled_from(["red", "green", "blue", "pear", "apple", "e4021", "v1", "ｒｅｄ"])
DOCUMENTS = st.lists(st.none() | st.lists(WORDS, max_size=30).map(" ".join), min_size=1, max_size=12)


def test_every_language_has_an_analyzer_and_a_document_of_it_comes_through() -> None:
    for language in LANGUAGES:
        assert analyzer(language).words("E4021 東京") == ["e4021", "東京"]


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with pytest.raises(vk.InvalidArgumentError, match=r"danish.*turkish.*klingon"):
        check_language("klingon")


def test_stop_words_are_left_out_also_where_analysis_changes_them() -> None:
    assert analyzer("german").words("Daß DASS dass über ÜBER u\u0308ber") == []
    assert analyzer("french").words("L'été, c'est lui") == []
    assert analyzer("nepali").words("छन् र") == []
    assert analyzer("none").words("the and") == ["the", "and"]


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("a b_東京のｶﾞนที่हिी\u0301"), max_size=60))
def test_words_are_what_the_rule_says_of_any_text(text: str) -> None:
    """An independent reading of rule 7.1, character by character."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    runs: list[tuple[bool, list[str]]] = []
    attached = False
    for char in folded:
        mark = unicodedata.category(char)[0] == "M"
        if mark and attached:
            runs[-1][1][-1] += char
        elif char.isalnum() or char == "_":
            unspaced = is_unspaced(char)
            if not attached or runs[-1][0] != unspaced:
                runs.append((unspaced, []))
            runs[-1][1].append(char)
        attached = char.isalnum() or char == "_" or (mark and attached)
    expected: list[str] = []
    for unspaced, letters in runs:
        if unspaced and len(letters) > 1:
            expected.extend(letters[at] + letters[at + 1] for at in range(len(letters) - 1))
        elif any(char.isalnum() for char in "".join(letters)):
            expected.append("".join(letters)[:255])
    assert analyzer("none").words(text) == expected


def is_unspaced(char: str) -> bool:
    """Whether a letter is of one of the four scripts, by its name in Unicode."""
    name = unicodedata.name(char, "")
    if unicodedata.category(char)[0] == "N" and not name.startswith(("HANGZHOU", "IDEOGRAPHIC NUMBER")):
        return False
    return name.startswith(
        (
            *("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "THAI CHARACTER", "HENTAIGANA"),
            *("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER", "VERTICAL KANA", "MASU MARK"),
            *("VERTICAL IDEOGRAPHIC ITERATION", "HANGZHOU"),
        )
    )


def test_time_does_not_grow_with_the_square_of_a_run_of_marks() -> None:
    """Normalisation alone would take hours for this one."""
    marks = "\u0301\u0316" * 1_000_000
    (word,) = analyzer("english").words(f"a{marks}")
    assert word == unicodedata.normalize("NFKC", "a" + marks[:30])


def test_a_document_of_ten_megabytes_is_analysed() -> None:
    texts = {"lorem ipsum " * 900_000: 2, "東京" * 1_700_000: 2, "x" * 10_000_000: 1, "\u0301" * 10_000_000: 0}
    for text, distinct in texts.items():
        assert len(analyzer("english").counts(text)) == distinct


def test_threads_share_an_analyzer() -> None:
    texts = [" ".join(f"connection{at}s running{thread}" for at in range(500)) for thread in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(analyzer("english").words, texts))
    assert together == [analyzer("english").words(text) for text in texts]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(DOCUMENTS, st.lists(WORDS, min_size=1, max_size=5, unique=True))
def test_scores_are_those_of_an_independent_library(documents: list[str | None], query: list[str]) -> None:
    """`rank-bm25` with `k1` and `b` of rule 7.2, its average length set to the fixed one and its `idf` to Lucene's.

    It takes `ln((N - df + 0.5) / (df + 0.5))`, which is negative for common words, and mends that by a floor of its
    own; the rule takes `ln(1 + …)`. Counting words, lengths and the sum are the library's.
    """
    words = [document.split() for document in documents if document is not None]
    store = vk.connect("memory:").create_collection("docs", dimension=2, text_index=True, language="none")
    store.add(
        ids=[f"{at}" for at in range(len(documents))],
        documents=documents,
        embeddings=[[1, 1]] * len(documents),
    )
    found = {hit.id: hit.score for hit in store.search(" ".join(query), 100, mode="text")}
    if not any(words):
        assert found == {}
        return
    folded = [[unicodedata.normalize("NFKC", word) for word in document] for document in words]
    other: Any = BM25Okapi(folded, k1=K1, b=B)
    other.avgdl = AVERAGE_LENGTH
    holding = {word: sum(word in document for document in folded) for word in other.idf}
    other.idf = {word: np.log1p((len(folded) - df + 0.5) / (df + 0.5)) for word, df in holding.items()}
    scores: NDArray[np.float64] = other.get_scores({unicodedata.normalize("NFKC", word) for word in query})
    ids = [f"{at}" for at, document in enumerate(documents) if document is not None]
    expected = {id: float(score) for id, score in zip(ids, scores, strict=True) if score}
    assert found == pytest.approx(expected, abs=1e-9)


def test_weights_are_positive_and_grow_as_they_should() -> None:
    assert idf(10, 10) > 0
    assert idf(1000, 1) > idf(1000, 2)
    assert 0 < saturation(1, penalty(1000)) < saturation(1, penalty(10)) < saturation(5, penalty(10)) < 2.2
    assert saturation(1, penalty(128)) == pytest.approx(1.0)


def test_missing_stemmers_are_named_with_the_line_that_installs_them() -> None:
    check = (
        "import sys\n"
        "sys.modules['Stemmer'] = None\n"
        "import vectorkit as vk\n"
        "store = vk.connect('memory:')\n"
        "plain = store.create_collection('plain', dimension=2)\n"
        "create = lambda: store.create_collection('docs', dimension=2, text_index=True)\n"
        "for call in (create, plain.create_text_index):\n"
        "    try:\n"
        "        call()\n"
        "    except vk.MissingDependencyError as error:\n"
        "        assert \"pip install 'vectorkit-db[text]'\" in str(error), error\n"
        "    else:\n"
        "        raise AssertionError('made')\n"
        "assert [info.name for info in store.list_collections()] == ['plain']\n"
        "docs = store.create_collection('docs', dimension=2, text_index=True, language='none')\n"
        "docs.add(ids=['a'], documents=['the word'], embeddings=[[1, 1]])\n"
        "assert [hit.id for hit in docs.search('word', mode='text')] == ['a']\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


def test_the_stemmers_are_loaded_by_the_first_collection_that_needs_them() -> None:
    check = (
        "import sys, vectorkit as vk\n"
        "store = vk.connect('memory:')\n"
        "store.create_collection('plain', dimension=2)\n"
        "assert 'Stemmer' not in sys.modules\n"
        "store.create_collection('docs', dimension=2, text_index=True)\n"
        "assert 'Stemmer' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)
