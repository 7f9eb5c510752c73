"""Text analysis and BM25 (rules 7.1 and 7.2 of the contract): the one place where words are made and weighed.

A backend stores and finds words in whatever way it can; which words a text holds, and what they weigh, it takes from
here. `import vectorkit` loads none of this, and the stemmers are loaded with the first collection that needs them.
"""

import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from itertools import islice
from operator import add
from pathlib import Path
from typing import Final, Protocol

from vectorkit.errors import InvalidArgumentError, MissingDependencyError
from vectorkit.validation import short

__all__ = [
    "AVERAGE_LENGTH",
    "K1",
    "LANGUAGES",
    "Analyzer",
    "B",
    "analyzer",
    "check_language",
    "idf",
    "penalty",
    "saturation",
]

K1: Final = 1.2
"""How fast more occurrences of a word in a document stop to count (rule 7.2)."""
B: Final = 0.75
"""How much a document's length counts (rule 7.2)."""
AVERAGE_LENGTH: Final = 128.0
"""The length, in words, at which a document is neither favoured nor held back (rule 7.2)."""

LANGUAGES: Final = (
    *("none", "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "esperanto", "estonian"),
    *("finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian"),
    *("nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil"),
    *("turkish", "yiddish"),
)
"""The languages of the analysis: those of Snowball 3.0, and `"none"`."""

_LONGEST_WORD: Final = 255
"""Characters of a word that count: four bytes each stay below what indexes of databases take for a key."""
_MOST_MARKS: Final = 30
"""Combining marks in a row that count: the limit of Unicode's Stream-Safe Text Format (UAX #15, 13). Ordering more of
them, as normalisation must, takes time that grows with the square of their number: hours, for a document of 10 MB."""
_KEPT: Final = 100_000
"""Words whose stems are kept: most words of a text are common ones, and looking one up takes a tenth of stemming it."""

# Han, Hiragana, Katakana and Thai, with the marks of repetition and length that belong to them. Ranges may hold what is
# no word character (hexagrams, Thai signs and digits are left to the other branch of the pattern or to none).
_UNSPACED: Final = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"
)


class _Marks:
    """Combining marks, and the patterns for texts that hold some; made when first needed, from Unicode's tables."""

    def __init__(self) -> None:
        points = (*range(0x20000), *range(0xE0000, 0xE1000))  # there are none elsewhere
        self.all: Final = frozenset(char for char in map(chr, points) if unicodedata.category(char)[0] == "M")
        marks = "".join(sorted(self.all))
        self.too_many: Final = re.compile(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+")
        self.words: Final = re.compile(f"([{_UNSPACED}][{_UNSPACED}{marks}]*)|((?:[^\\W{_UNSPACED}]+[{marks}]*)+)")
        self.characters: Final = re.compile(f"[{_UNSPACED}][{marks}]*")


_marks = lru_cache(maxsize=1)(_Marks)
_ASCII_WORDS: Final = re.compile(r"\w+", re.ASCII)
_WORDS: Final = re.compile(f"([{_UNSPACED}]+)|([^\\W{_UNSPACED}]+)")


class _Stemmer(Protocol):
    """What is used of `Stemmer.Stemmer` of PyStemmer, version 3 or later."""

    maxCacheSize: int

    def stemWord(self, word: str, /) -> str:
        """Return the stem of a word in lower case."""
        ...


class Analyzer:
    """Makes words of texts, by rule 7.1. May be used from many threads at once; `analyzer` keeps one a language.

    Args:
        language: One of `LANGUAGES`.

    Raises:
        MissingDependencyError: The stemmers are not installed; the message holds the pip line.
    """

    def __init__(self, language: str) -> None:
        self.language: Final = language
        self._stemmer = None if language == "none" else _load_stemmer(language)
        self._stop = _stop_words(language)
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()  # a stemmer serves one thread at a time

    def words(self, text: str) -> list[str]:
        """The words of a text, in order, after analysis; a word that stands in it twice is there twice."""
        runs = _split(text)
        found = list(map(self._known.get, runs))  # most words are known; the loop is C's then
        if None in found:
            found = [self._learned(run) if word is None else word for run, word in zip(runs, found, strict=True)]
        return list(filter(None, found))

    def counts(self, text: str) -> Counter[str]:
        """How often each word occurs in a text; `counts(text).total()` is its length as rule 7.2 has it."""
        return Counter(self.words(text))

    def _learned(self, word: str) -> str:
        """What becomes of a word as it stands in the text; "" if nothing."""
        if word in self._stop or not any(map(str.isalnum, word)):
            made = ""
        else:
            made = word[:_LONGEST_WORD]
            if self._stemmer is not None:
                with self._lock:
                    made = self._stemmer.stemWord(made)
        if len(self._known) >= _KEPT:
            self._known = {}
        if len(word) <= _LONGEST_WORD:
            self._known[word] = made
        return made


@lru_cache(maxsize=len(LANGUAGES))
def analyzer(language: str) -> Analyzer:
    """The analyzer of a language.

    Args:
        language: One of `LANGUAGES`.

    Raises:
        MissingDependencyError: The stemmers are not installed; the message holds the pip line.
    """
    return Analyzer(language)


def check_language(language: object) -> str:
    """Return `language` if it is one of `LANGUAGES`, or raise `InvalidArgumentError` that lists them."""
    if not isinstance(language, str) or language not in LANGUAGES:
        raise InvalidArgumentError(f"language is one of {', '.join(LANGUAGES)}; not {short(language)}")
    return str.__str__(language)


def idf(documents: int, holding: int) -> float:
    """The weight of a word: `ln(1 + (N - df + 0.5) / (df + 0.5))`, that of Lucene's `BM25Similarity`; > 0.

    Args:
        documents: N, how many records of the collection have a document.
        holding: df, how many of them hold the word, at most N.
    """
    return math.log1p((documents - holding + 0.5) / (holding + 0.5))


def penalty(length: int) -> float:
    """What a document's length comes to: `1.2 * (0.25 + 0.75 * length / 128)`, 1.2 at 128 words.

    Args:
        length: The number of its words after analysis.
    """
    return K1 * (1.0 - B + B * length / AVERAGE_LENGTH)


def saturation(frequency: int, penalty: float) -> float:
    """The weight of a word within a document, from 0 to 2.2: BM25's score is the sum over words of `idf` times this.

    Args:
        frequency: How often the document holds the word.
        penalty: What the document's length comes to.
    """
    return frequency * (K1 + 1.0) / (frequency + penalty)


def _split(text: str) -> list[str]:
    """The runs of a text that may be words, normalised; bigrams where a script is written without spaces."""
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    marks = _marks()
    marked = not marks.all.isdisjoint(text)
    if marked:
        text = marks.too_many.sub(r"\1", text)
    text = unicodedata.normalize("NFKC", text).casefold()
    marked = not marks.all.isdisjoint(text)
    found: list[str] = []
    for unspaced, word in (marks.words if marked else _WORDS).findall(text):
        if word:
            found.append(word)
        else:
            characters: Sequence[str] = marks.characters.findall(unspaced) if marked else unspaced
            found.extend(map(add, characters, islice(characters, 1, None)) if len(characters) > 1 else [unspaced])
    return found


def _load_stemmer(language: str) -> _Stemmer:
    try:
        stemmer: _Stemmer = import_module("Stemmer").Stemmer(language)
    except ImportError as error:
        raise MissingDependencyError(
            f"text search in {language} needs PyStemmer, which cannot be imported ({error}); install it with: "
            "pip install 'vectorkit-db[text]', or use language='none'"
        ) from error
    stemmer.maxCacheSize = 0  # the analyzer has its own
    return stemmer


def _stop_words(language: str) -> frozenset[str]:
    """The stop words as they stand in an analysed text; none for languages without a list."""
    file = Path(__file__).parent / "stopwords" / f"{language}.txt"
    return frozenset(_split(file.read_text(encoding="utf-8"))) if file.is_file() else frozenset()
