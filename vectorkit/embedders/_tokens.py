"""How many tokens the texts for an OpenAI model have: counted with tiktoken if it can be loaded, else estimated."""

import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, Protocol

from vectorkit.embedders._batching import MAX_REQUEST_TOKENS, MAX_TEXT_TOKENS

__all__ = ["Tokens"]

_LOADING: Final = 10.0
"""Seconds that loading a vocabulary may take; tiktoken sets no limit of its own to the download."""


class _Tokenizer(Protocol):
    """What is used of `tiktoken.Encoding`."""

    def encode_ordinary(self, text: str, /) -> list[int]: ...

    def encode_ordinary_batch(self, text: list[str], /) -> list[list[int]]: ...

    def decode(self, tokens: list[int], /, errors: str) -> str: ...


class Tokens:
    """Counts the tokens of texts for a model. Safe to use from many threads.

    The vocabulary is loaded when the estimate does not settle a question: tiktoken downloads it once and keeps it in
    `TIKTOKEN_CACHE_DIR`. Without tiktoken, without network, and for models that it does not know, the estimate is
    all there is.

    Args:
        model: The model's name; None if tiktoken has no vocabulary for it.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._tokenizer: _Tokenizer | None = None
        self._tried = model is None
        self._lock = threading.Lock()

    def sizes(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, or no fewer: their exact number only where that may make fewer requests."""
        found = [_at_most(text) for text in texts]
        if sum(found) <= MAX_REQUEST_TOKENS and max(found, default=0) <= MAX_TEXT_TOKENS:
            return found
        return self.count(texts)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; the estimate, which is never too low, if the model's tokenizer is not at hand."""
        tokenizer = self._load()
        if tokenizer is None:
            return [_at_most(text) for text in texts]
        return [len(tokens) for tokens in tokenizer.encode_ordinary_batch(list(texts))]

    @property
    def exact(self) -> bool:
        """Whether the model's tokenizer counts; loads it."""
        return self._load() is not None

    def cut(self, text: str) -> str:
        """The beginning of a text, as long as the model reads; only where `exact`."""
        tokenizer = self._load()
        assert tokenizer is not None
        keep = MAX_TEXT_TOKENS
        tokens = tokenizer.encode_ordinary(text)
        while len(tokens) > MAX_TEXT_TOKENS:  # a word cut in the middle may become more tokens than it gave
            text = tokenizer.decode(tokens[:keep], errors="ignore")
            tokens = tokenizer.encode_ordinary(text)
            keep -= 1
        return text

    def _load(self) -> _Tokenizer | None:
        with self._lock:
            if not self._tried:
                self._tried = True
                self._tokenizer = _loaded(self._model)
        return self._tokenizer


def _at_most(text: str) -> int:
    """No fewer than its tokens: a token of a byte-level vocabulary is one byte of UTF-8 or more."""
    return len(text) if text.isascii() else len(text.encode())


def _loaded(model: str | None) -> _Tokenizer | None:
    found: list[_Tokenizer] = []

    def load() -> None:
        try:
            tiktoken: Any = import_module("tiktoken")
            found.append(tiktoken.encoding_for_model(model))
        except Exception:  # not installed, no network, a model it does not know: the estimate is there for that
            return

    loading = threading.Thread(target=load, name="vectorkit-tiktoken", daemon=True)
    loading.start()
    loading.join(_LOADING)
    return found[0] if found else None
