"""What every embedder checks about the texts it is given, and says about those it had to cut."""

from vectorkit._narrow import is_iterable, is_mapping
from vectorkit.errors import InvalidArgumentError
from vectorkit.validation import check_text

__all__ = ["TruncationWarning", "as_text", "as_texts"]


class TruncationWarning(UserWarning):
    """Texts were longer than the model reads: their vectors say nothing about what was cut off their ends."""


def as_text(text: object, what: str) -> str:
    """Return `text` if it is a str without NUL and lone surrogates, or raise `InvalidArgumentError`.

    Args:
        text: The text.
        what: Names it in the message.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{what} is a str, not {type(text).__name__}")
    check_text(text, what)
    return str(text)


def as_texts(texts: object) -> list[str]:
    """Return `texts` as a list of str, or raise `InvalidArgumentError` that names the index of the one that is not."""
    if isinstance(texts, str):
        raise InvalidArgumentError("texts is a list of str, not one str: pass [text], or call embed_query(text)")
    if isinstance(texts, bytes) or is_mapping(texts) or not is_iterable(texts):
        raise InvalidArgumentError(f"texts is a list of str, not {type(texts).__name__}")
    return [as_text(text, f"texts[{index}]") for index, text in enumerate(texts)]
