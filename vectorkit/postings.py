"""`Postings`: the words of a collection's documents in memory, for backends whose store does not rank by words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from vectorkit.text import analyzer, idf, penalty, saturation

__all__ = ["Postings", "Words", "best"]


class Words(NamedTuple):
    """What is kept of one document.

    Attributes:
        frequencies: Its words, and how often each occurs.
        penalty: What its length comes to (`vectorkit.text.penalty`).
    """

    frequencies: Mapping[str, int]
    penalty: float


class Postings:
    """Which documents hold a word, and how often, kept in step by whoever writes the documents.

    Takes some 40 bytes for each word of each document. Not for many threads at once: the caller locks. A `put` or
    `remove` that was interrupted, wherever, is made good by the same call again.

    Args:
        language: Language of the analysis, one of `vectorkit.text.LANGUAGES`.

    Raises:
        MissingDependencyError: The stemmers are not installed.
    """

    def __init__(self, language: str) -> None:
        self._analyzer = analyzer(language)
        self._documents: dict[str, tuple[tuple[str, ...], float]] = {}
        self._holding: dict[str, dict[str, int]] = {}

    def analysed(self, documents: Mapping[str, str | None]) -> dict[str, Words | None]:
        """The words of documents, by id: what takes long, and changes nothing yet; None where there is no document."""
        return {id: None if document is None else self._words(document) for id, document in documents.items()}

    def put(self, analysed: Mapping[str, Words | None]) -> None:
        """Replace the documents of these ids; None for a record without a document."""
        self.remove(analysed)
        for id, words in analysed.items():
            if words is not None:
                self._documents[id] = tuple(words.frequencies), words.penalty  # first, as `remove` goes by it
                for word, frequency in words.frequencies.items():
                    self._holding.setdefault(word, {})[id] = frequency

    def remove(self, ids: Iterable[str]) -> None:
        """Forget the documents of these ids; those that have none are passed over."""
        for id in ids:
            words, _ = self._documents.get(id, ((), 0.0))
            for word in words:  # some may have been forgotten, or not yet noted, when an interrupt came
                holding = self._holding.get(word, {})
                holding.pop(id, None)
                if not holding:
                    self._holding.pop(word, None)
            self._documents.pop(id, None)  # last: until then it says which words there are to forget

    def scores(self, words: Sequence[str]) -> dict[str, float]:
        """The BM25 score of every document that holds one of these words at least, by id (rule 7.2).

        Args:
            words: Different words, after analysis. Scores are summed in their order.
        """
        scores: dict[str, float] = {}
        for word in words:
            holding = self._holding.get(word, {})
            weight = idf(len(self._documents), len(holding))
            for id, frequency in holding.items():
                scores[id] = scores.get(id, 0.0) + weight * saturation(frequency, self._documents[id][1])
        return scores

    def _words(self, document: str) -> Words:
        counts = self._analyzer.counts(document)
        return Words(counts, penalty(counts.total()))


def best(scores: Mapping[str, float], k: int) -> list[tuple[str, float]]:
    """The `k` best ids and their scores, equal scores by id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
