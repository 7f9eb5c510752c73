"""What an embeddings API is sent and what its answers mean. No I/O; the API's reference, "Create embeddings"."""

import math
import re
import time
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vectorkit._json import parse_json
from vectorkit._narrow import is_array, is_dict, is_list
from vectorkit.embedders._batching import Failure
from vectorkit.errors import EmbeddingError, InvalidArgumentError
from vectorkit.types import FloatArray
from vectorkit.vectors import as_embeddings

__all__ = [
    "DIMENSIONS",
    "Answer",
    "as_failure",
    "checked_key",
    "error_within",
    "hidden",
    "hide",
    "read_answer",
    "refused",
    "secrets_of",
]

DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""Of the models whose tokenizer and limits are known ("Embeddings" of the API's guides)."""

_LONGEST_WAIT: Final = 120.0
"""Seconds a server may ask to wait; the `openai` client waits no longer, either."""

_SIZE: Final = re.compile(
    r"max_tokens_per_request|max(imum)? context length|context_length_exceeded|array_above_max_length|array too long"
    r"|batch.?size|too (long|large|many (inputs|tokens))|(fewer|less) than \d+ (inputs|tokens)"
    r"|exceed\w* .{0,40}(context|tokens)|(longer|larger|greater) than the maximum",
    re.IGNORECASE,
)
"""How servers say in an error 400, 422 or 500 that a request or a text is too large: OpenAI and Azure, vLLM, Text
Embeddings Inference, llama.cpp, Ollama, DashScope."""

_BASE64: Final = re.compile(r"base64|encoding.?format", re.IGNORECASE)
"""How servers say in an error 400, 422, 500 or 501 that they know no base64."""

_LIMITED: Final = re.compile(r"rate.?limit|quota|overloaded", re.IGNORECASE)
"""Codes of errors that are answered with status 200 in place of 429."""

_DROPPED: Final = {"ReadError", "WriteError", "CloseError", "RemoteProtocolError"}
_NOT_MADE: Final = {"ConnectError"}
"""Exceptions of HTTPX, of which the client uses one or another package."""

_SECRET_LENGTH: Final = 8
"""Shorter keys are what local servers that need none are given, such as `EMPTY`."""


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        vectors: float32 array of shape `(texts, dimension)`, in the order of the texts.
        tokens: How many the server counted; 0 if it does not say.
    """

    vectors: FloatArray
    tokens: int


def read_answer(content: bytes, count: int, dimension: int | None, what: Callable[[int], str]) -> Answer:
    """Read the body of an answer.

    Args:
        content: JSON; vectors in base64 (float32, little endian) or as lists of numbers, in any order.
        count: How many texts were sent.
        dimension: The length each vector must have; None if it is not known yet.
        what: Names the vector of the text of a given index, for messages.

    Raises:
        EmbeddingError: It is not that; the message says which text, where it is one.
    """
    try:
        answer: Any = parse_json(content)
        items: Any = answer["data"]
        places: list[Any] = [_as_place(item.get("index")) for item in items]
        made: list[Any] = [item["embedding"] for item in items]
        usage: Any = answer.get("usage")
        tokens: Any = 0 if usage is None else usage.get("total_tokens")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EmbeddingError(
            f"the answer is none of an embeddings API ({type(error).__name__}: {error}); check base_url: "
            "it ends in /v1 for most servers"
        ) from error
    if len(items) != count:
        raise EmbeddingError(f"the server answered with {len(items):,} vector(s) for {count:,} text(s)")
    places = _filled(places)
    if any(type(place) is not int for place in places) or sorted(places) != list(range(count)):
        raise EmbeddingError(f"the vectors in the answer are not numbered from 0 to {count - 1:,}, once each")
    rows: list[object] = [None] * count
    for place, vector in zip(places, made, strict=True):
        rows[place] = _decoded(vector, what, place)
    if dimension is None:
        dimension = len(rows[0]) if is_list(rows[0]) or is_array(rows[0]) else 0
    return Answer(as_embeddings(rows, count, dimension, what), tokens if type(tokens) is int else 0)


def _as_place(index: object) -> object:
    """An index as a number; None where a server leaves it out."""
    return int(index) if isinstance(index, str) and index.isascii() and index.isdecimal() else index


def _filled(places: list[Any]) -> list[Any]:
    """The indices, with those that were left out: all of them, or one, as Protobuf's JSON does with 0."""
    if all(place is None for place in places):
        return list(range(len(places)))
    if places.count(None) > 1:
        return places
    left = set(range(len(places))).difference(place for place in places if type(place) is int)
    return [min(left, default=None) if place is None else place for place in places]


def error_within(content: bytes) -> tuple[int, str, str] | None:
    """What an answer with status 200 says that is an error all the same.

    Returns:
        The status that fits (400 if the error names none), its code, and its message; None if it is no error.
    """
    try:
        answer: Any = parse_json(content)
    except ValueError:
        return None
    error: Any = answer.get("error") if is_dict(answer) else None
    if not error or answer.get("data"):
        return None
    if not is_dict(error):
        return 400, "", str(error)
    code, message = str(error.get("code") or error.get("type") or ""), str(error.get("message") or error)
    if code.isdecimal() and 400 <= int(code) <= 599:
        return int(code), "", message
    return 429 if _LIMITED.search(code) else 400, code, message


def _decoded(vector: object, what: Callable[[int], str], place: int) -> object:
    if not isinstance(vector, str):
        return vector  # a server that knows no base64 answers with numbers
    try:
        decoded: NDArray[Any] = np.frombuffer(a2b_base64(vector, strict_mode=True), dtype="<f4")
    except (Base64Error, ValueError) as error:
        raise EmbeddingError(f"{what(place)} is no base64 of float32 numbers ({error})", index=place) from error
    return decoded


def as_failure(error: Exception, server: str) -> Failure:
    """What an exception of the `openai` client, or of what it uses, means for the request.

    Args:
        error: The exception.
        server: Names the server, for messages.
    """
    status: object = getattr(error, "status_code", None)
    if isinstance(status, int):
        headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
        return refused(
            server, status, str(getattr(error, "code", None) or ""), str(error), _retry_after(headers), error
        )
    names = {kind.__name__ for kind in type(error).__mro__}
    if "APITimeoutError" in names:
        return Failure(
            f"{server} gave no answer in time; give a longer timeout, or a smaller batch_size", "timeout", cause=error
        )
    if "APIConnectionError" in names:
        cause = error.__cause__
        reason = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        if kinds & _DROPPED:
            return Failure(f"the connection to {server} was lost ({reason})", "busy", cause=error)
        return Failure(
            f"{server} cannot be reached ({reason}); check base_url and the network",
            "unreachable" if kinds & _NOT_MADE else "final",
            cause=error,
        )
    return Failure(f"the request to {server} failed ({type(error).__name__}: {error})", "final", cause=error)


def refused(
    server: str, status: int, code: str, text: str, wait: float | None = None, error: Exception | None = None
) -> Failure:
    """What an error that a server answered with means for the request.

    Args:
        server: Names the server, for messages.
        status: Its HTTP status, or the one that fits.
        code: The error's code, or `""`.
        text: The error's message.
        wait: Seconds that the server asks to wait.
        error: The client's exception.
    """
    message = " ".join(text.split())
    message = message if len(message) <= 300 else message[:297] + "..."
    problem = f"{server} refused ({message})"
    if status == 413 or (status in (400, 422, 500) and _SIZE.search(f"{code} {text}")):
        return Failure(problem, "size", cause=error)
    if status in (400, 422, 500, 501) and _BASE64.search(text):
        return Failure(problem, "base64", cause=error)
    if status == 429 and code == "insufficient_quota":
        return Failure(f"{problem}; the account has no credit left", "final", cause=error)
    if status == 429 or status >= 500:
        if wait is not None and wait > _LONGEST_WAIT:
            return Failure(f"{problem}; it asks to wait {wait:,.0f} s, longer than is waited", "final", cause=error)
        return Failure(problem, "busy", wait, error)
    advice = {
        401: "; check the API key",
        403: "; check what the API key may do",
        404: "; check the model's name and base_url",
    }
    return Failure(problem + advice.get(status, ""), "final", cause=error)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, which OpenAI and Azure send, or `Retry-After` (RFC 9110, 10.2.3)."""
    for name, parts in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / parts
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    date = parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else max(0.0, mktime_tz(date) - time.time())


def hide(error: BaseException, secrets: Sequence[str]) -> None:
    """Take secrets out of an exception and of those that led to it: a server may quote the key."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.args = tuple(hidden(part, secrets) if isinstance(part, str) else part for part in link.args)
        for name, value in vars(link).items():
            if name in ("message", "code", "body") and any(secret in str(value) for secret in secrets):
                setattr(link, name, hidden(str(value), secrets))
        link = link.__cause__ or link.__context__


def hidden(text: str, secrets: Sequence[str]) -> str:
    """A text without secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def secrets_of(key: object) -> list[str]:
    """The key, if it is one."""
    return [key] if isinstance(key, str) and len(key) >= _SECRET_LENGTH else []


def checked_key(key: str, what: str) -> str:
    """A key without the white space around it, as it is in files.

    Raises:
        InvalidArgumentError: A header cannot hold it. HTTP libraries would quote it in what they log and raise.
    """
    key = key.strip()
    if not all("!" <= character <= "~" for character in key):
        raise InvalidArgumentError(f"{what} holds white space or characters beyond ASCII, which no key does")
    return key
