"""What the sections on text search share: an index to try, BM25 written out, and texts whose words are known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest

from vectorkit.collection import Collection
from vectorkit.errors import UnsupportedError
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused
from vectorkit.types import Hit

__all__ = ["ANALYSED", "DOCUMENTS", "Analysed", "bm25", "indexed", "places", "ranked", "write"]

DOCUMENTS: Final[dict[str, str | None]] = {
    "a": "red pear",
    "b": "red red red apple pear pie",
    "c": "green pear",
    "d": "green green",
    "e": None,
    "f": "",
}
"""Documents whose words, with `language="none"`, are the parts between blanks."""


class Analysed(NamedTuple):
    """What becomes of a document.

    Attributes:
        language: Of the analysis.
        document: The text.
        finds: Queries that find it.
        passes_over: Queries that do not.
        length: How many words there are after analysis.
        frequency: How often the first of `finds` stands in it.
        words_of_query: How many different words the first of `finds` has, each as frequent.
    """

    language: str
    document: str
    finds: Sequence[str]
    passes_over: Sequence[str]
    length: int
    frequency: int = 1
    words_of_query: int = 1


ANALYSED: Final = [
    Analysed(
        "none",
        "Error E4021: the FILE_NAME wasn't found.",
        ["e4021", "E4021", "file_name", "t"],
        ["E402", "file", "name", "wasnt", "errors"],
        7,
    ),
    Analysed("none", "the the THE", ["the"], ["th"], 3, 3),
    Analysed(
        "none",
        "v1.2.3-rc4 __init__ _ ___ (x) 100%",
        ["__init__", "rc4", "v1", "x", "100"],
        ["init", "v1_2", "_", "___", "%"],
        7,
    ),
    Analysed(
        "none",
        "ﬁne ＡＢＣ １２ ½ Ⅷ ² Straße ΣΊΣΥΦΟΣ",
        ["fine", "abc", "12", "viii", "STRASSE", "straße", "σίσυφος", "2"],
        ["fi", "ⅷi"],
        9,
    ),
    Analysed(
        "none",
        "cafe\u0301 x\u0302y \u0301lone \u0301",
        ["café", "x\u0302y", "lone", "CAFE\u0301"],
        ["cafe", "x", "y", "xy", "\u0301"],
        3,
    ),
    Analysed("none", "हिन्दी भाषा", ["हिन्दी", "भाषा"], ["ह", "हिन", "भाष"], 2),
    Analysed("none", "مُحَمَّد كتاب", ["مُحَمَّد", "كتاب"], ["محمد"], 2),
    Analysed("none", "東京都庁", ["京都", "東京", "都庁"], ["東", "京", "東都", "大阪"], 3),
    Analysed("none", "東京都庁", ["東京都", "東京都庁"], ["庁"], 3, 1, 2),
    Analysed("none", "猫 と 犬", ["猫", "と"], ["猫犬", "猫と"], 3),
    Analysed("none", "iPhone15を買う猫", ["iphone15", "を買", "買う", "う猫"], ["を", "15を", "5を", "猫"], 4),
    Analysed("none", "データベース ﾃﾞｰﾀ 時々", ["時々", "ベー", "データ", "ﾃﾞｰﾀ"], ["デ", "々"], 8),
    Analysed("none", "ภาษาไทย ที่นี่ ๒๕", ["ษา", "ที่นี่", "๒๕"], ["ภ", "ที่", "ท", "๒"], 8),
    Analysed("none", "한국어 텍스트", ["한국어", "텍스트"], ["한국", "국어"], 2),
    Analysed("none", "𠮷野家", ["𠮷野", "野家"], ["𠮷", "家"], 2),
    Analysed(
        "english",
        "The connections of the connected files, don't they?",
        ["connect", "connecting", "file"],
        ["the", "of", "they", "don", "fil"],
        3,
        2,
    ),
    Analysed("english", "RUNNING 東京の", ["run", "runs", "東京", "京の"], ["runner", "の"], 3),
    Analysed(
        "german",
        "Die Häuser und das Haus: schön, daß Straßen",
        ["haus", "häusern", "strasse", "SCHÖNES"],
        ["die", "und", "dass", "hau"],
        4,
        2,
    ),
    Analysed("french", "L'image des maisons", ["maison", "images"], ["l", "des", "mais"], 2),
    Analysed("russian", "Книги и книга", ["книгу", "КНИГА"], ["и", "кни"], 2, 2),
    Analysed("tamil", "and the files", ["and", "the", "files"], ["file"], 3),
]


def indexed(store: VectorStore, **given: Any) -> Collection | None:
    """An empty collection `docs` of two dimensions, under `l2` unless another metric is given, with a text index.

    Returns:
        None where the backend has no text search; that it refuses is then shown.
    """
    arguments: dict[str, Any] = {"dimension": 2, "metric": "l2", **given}
    if store.backend.capabilities.text_search:
        return store.create_collection("docs", text_index=True, **arguments)
    assert_refused(UnsupportedError, store.create_collection, "docs", text_index=True, **arguments)
    plain = store.create_collection("docs", **arguments)
    assert_refused(UnsupportedError, plain.search, "red", mode="text")
    assert_refused(UnsupportedError, plain.search, "red", mode="hybrid", vector=[1, 1])
    assert_refused(UnsupportedError, plain.create_text_index)
    return None


def write(docs: Collection, documents: Mapping[str, str | None]) -> None:
    """Upsert documents at places of their own on the line `y = 1`, with their number as `place`."""
    docs.upsert(
        ids=list(documents),
        documents=list(documents.values()),
        embeddings=[[at, 1] for at in range(len(documents))],
        metadatas=[{"place": at} for at in range(len(documents))],
    )


def bm25(query: Sequence[str], documents: Mapping[str, str | None]) -> Any:
    """The ids and scores that a text search finds, by rule 7.2 as it stands there.

    Args:
        query: Different words.
        documents: Documents by id, with blanks between words.

    Returns:
        A mapping to compare with `==`: scores are equal within 1e-6.
    """
    words = {id: document.split() for id, document in documents.items() if document is not None}
    scores = dict.fromkeys(words, 0.0)
    for word in query:
        holding = sum(word in document for document in words.values())
        idf = math.log(1 + (len(words) - holding + 0.5) / (holding + 0.5))
        for id, document in words.items():
            frequency = document.count(word)
            scores[id] += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(document) / 128))
    return pytest.approx({id: score for id, score in scores.items() if score}, abs=1e-6)


def places(hits: Sequence[Hit]) -> list[Any]:
    """The ids and scores of hits, in order."""
    return [(hit.id, hit.score) for hit in hits]


def ranked(docs: Collection, query: str) -> dict[str, float]:
    """The ids and scores that a text search finds, in the order of the hits, which is that of the scores."""
    hits = docs.search(query, 1000, mode="text")
    assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
    return {hit.id: hit.score for hit in hits}
