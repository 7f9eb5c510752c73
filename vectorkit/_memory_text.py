"""The text index of one collection in memory: which documents hold a word, and how often."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from vectorkit.text import analyzer, idf, saturation

__all__ = ["TextIndex", "best"]


class TextIndex:
    """Postings, kept in step with the documents by whoever writes them.

    Args:
        language: Language of the analysis.
    """

    def __init__(self, language: str) -> None:
        self._analyzer = analyzer(language)
        self._words: dict[str, Counter[str]] = {}
        self._postings: dict[str, dict[str, int]] = {}

    def analysed(self, documents: Mapping[str, str | None]) -> dict[str, Counter[str] | None]:
        """The words of documents, by id: what can fail or take long, before anything is changed."""
        counts = self._analyzer.counts
        return {id: None if document is None else counts(document) for id, document in documents.items()}

    def put(self, analysed: Mapping[str, Counter[str] | None]) -> None:
        """Replace the documents of these ids; None for a record without a document."""
        self.remove(analysed)
        for id, counts in analysed.items():
            if counts is not None:
                self._words[id] = counts
                for word, frequency in counts.items():
                    self._postings.setdefault(word, {})[id] = frequency

    def remove(self, ids: Iterable[str]) -> None:
        """Forget the documents of these ids; those that have none are passed over."""
        for id in ids:
            for word in self._words.pop(id, ()):
                holding = self._postings[word]
                del holding[id]
                if not holding:
                    del self._postings[word]

    def scores(self, words: Sequence[str]) -> dict[str, float]:
        """The BM25 score of every document that holds one of these words at least, by id (rule 7.2)."""
        scores: dict[str, float] = {}
        for word in words:
            holding = self._postings.get(word, {})
            weight = idf(len(self._words), len(holding))
            for id, frequency in holding.items():
                scores[id] = scores.get(id, 0.0) + weight * saturation(frequency, self._words[id].total())
        return scores


def best(scores: Mapping[str, float], k: int) -> list[tuple[str, float]]:
    """The `k` best ids and their scores, equal scores by id."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
