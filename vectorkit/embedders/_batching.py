"""Texts into requests to an embeddings API, and what follows from each answer. No I/O: sync and async share it."""

import random
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from vectorkit.errors import EmbeddingError

__all__ = ["MAX_INPUTS", "MAX_REQUEST_TOKENS", "MAX_TEXT_TOKENS", "Failure", "Part", "Work"]

MAX_INPUTS: Final = 2048
"""Texts a request, the most the API takes (its reference, "Create embeddings", `input`; so for the two below)."""
MAX_REQUEST_TOKENS: Final = 300_000
"""Tokens a request, summed over its texts."""
MAX_TEXT_TOKENS: Final = 8192
"""Tokens a text."""

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 20.0
"""Seconds before the first retry, doubled with each, and the most; as the `openai` client waits, but longer: eight
retries are then 70 s, and limits of requests and tokens are counted a minute."""

_MAX_CONNECTS: Final = 3
"""Retries where no connection was made: a server that is not there is not waited for as long as a busy one."""

_MAX_TIMEOUTS: Final = 3
"""Retries where no answer came in time, each with half the texts: an eighth of a batch is then too much, too."""


_RETRIES: Final = {"busy": sys.maxsize, "unreachable": _MAX_CONNECTS, "timeout": _MAX_TIMEOUTS}


@dataclass(frozen=True, slots=True)
class Part:
    """Texts of one request.

    Attributes:
        rows: Which of the texts of the call.
        attempt: How often its texts were sent and are to be sent again.
        wait: Seconds to wait before it is sent.
        base64: Whether the answer may be asked for in base64.
    """

    rows: range
    attempt: int = 0
    wait: float = 0.0
    base64: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without vectors.

    Attributes:
        problem: What was wrong and what to do, for a sentence that begins with the texts concerned.
        kind: `"size"`, too many texts or too long ones; `"busy"` or `"unreachable"`, worth another try; `"timeout"`,
            worth one with fewer texts; `"base64"`, worth one without it; `"final"`.
        wait: Seconds that the server asked to wait, or None.
        cause: The client's exception.
        index: Which of the part's texts it was, where one alone is at fault.
    """

    problem: str
    kind: Literal["size", "busy", "unreachable", "timeout", "base64", "final"]
    wait: float | None = None
    cause: BaseException | None = None
    index: int | None = None


class Work:
    """What is left to send of one call.

    Args:
        texts: The texts as they are sent, none of them empty.
        sizes: Tokens of each, or no fewer.
        batch_size: The most texts a request.
        max_retries: How often a text is sent again.
        truncate: Whether a text that is refused for its size alone is cut at its end, or is an error.
        query: Whether the only text is a query, for messages.

    Attributes:
        batch_size: The most texts a request; lowered where a server was too slow for as many, twice.
        pending: What is to be sent.
        cut: Rows of texts that were cut here.
        error: Why the call fails, if it does; nothing is pending then.
    """

    def __init__(
        self,
        texts: list[str],
        sizes: Sequence[int],
        *,
        batch_size: int,
        max_retries: int,
        truncate: Literal["error", "end"],
        query: bool,
    ) -> None:
        self._texts = texts
        self._max_retries = max_retries
        self._truncate = truncate
        self._query = query
        self.batch_size = batch_size
        self.pending = deque(Part(rows) for rows in _batches(sizes, batch_size))
        self.cut: set[int] = set()
        self.error: EmbeddingError | None = None

    def texts(self, part: Part) -> list[str]:
        """The texts to send for a part."""
        return [self._texts[row] for row in part.rows]

    def name(self, rows: range) -> str:
        """What messages call the texts of these rows."""
        if self._query:
            return "the query"
        return f"texts[{rows.start}]" if len(rows) == 1 else f"texts[{rows.start}:{rows.stop}]"

    def failed(self, part: Part, failure: Failure) -> None:
        """Take note of a failure: the part is halved, cut, or sent again later; or the call fails."""
        if failure.kind == "size" and len(part.rows) > 1:
            middle = part.rows.start + len(part.rows) // 2
            self.pending.extendleft([Part(range(middle, part.rows.stop)), Part(range(part.rows.start, middle))])
        elif failure.kind == "size" and self._truncate == "end" and len(self._texts[part.rows.start]) > 1:
            # Without the model's tokenizer, only the server knows what it reads.
            row = part.rows.start
            self._texts[row] = self._texts[row][: len(self._texts[row]) // 2]
            self.cut.add(row)
            self.pending.appendleft(Part(part.rows))
        elif failure.kind == "base64" and part.base64:
            self.pending.appendleft(replace(part, base64=False))
        elif failure.kind in _RETRIES and part.attempt < min(self._max_retries, _RETRIES[failure.kind]):
            wait = _backoff(part.attempt) if failure.wait is None else failure.wait
            again = replace(part, attempt=part.attempt + 1, wait=wait)
            if failure.kind == "timeout":
                parts = self._smaller(again)  # first of all, as they show how much the server is fast enough for
                self.pending.extendleft(reversed(parts))
            else:
                self.pending.append(again)
        else:
            advice = "; split it, or give truncate='end'" if failure.kind == "size" else ""
            tries = f" (sent {part.attempt + 1} times)" if part.attempt else ""
            index = 0 if len(part.rows) == 1 else failure.index
            error = EmbeddingError(
                f"{self.name(part.rows)}: {failure.problem}{tries}{advice}",
                index=None if index is None else part.rows[index],
            )
            self.fail(error, failure.cause)

    def fail(self, error: EmbeddingError, cause: BaseException | None = None) -> None:
        """Let the call fail: nothing more is sent. The first error is the one that is raised."""
        if self.error is None:
            self.error = error
            self.error.__cause__ = cause
        self.pending.clear()

    def _smaller(self, part: Part) -> list[Part]:
        """The halves of a part that was not answered in time: one answer was lost, or the server is too slow."""
        half = -(-len(part.rows) // 2)
        if part.attempt > 1:  # the server is too slow, also for what has not been sent yet
            self.batch_size = min(self.batch_size, half)
            self.pending = deque(piece for waiting in self.pending for piece in _cut(waiting, self.batch_size))
        return _cut(part, half)


def _cut(part: Part, most: int) -> list[Part]:
    """A part as parts of at most so many texts."""
    return [replace(part, rows=part.rows[start : start + most]) for start in range(0, len(part.rows), most)]


def _batches(sizes: Sequence[int], batch_size: int) -> list[range]:
    """Runs of texts within all limits; a text beyond them is a run of its own."""
    found: list[range] = []
    start = tokens = 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == batch_size or tokens + size > MAX_REQUEST_TOKENS):
            found.append(range(start, row))
            start, tokens = row, 0
        tokens += size
    if sizes:
        found.append(range(start, len(sizes)))
    return found


def _backoff(attempt: int) -> float:
    """Seconds before a retry: doubled with each, less up to a quarter, so that clients do not come back together."""
    longest: float = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
    return longest * (1 - 0.25 * random.random())
