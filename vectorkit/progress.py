"""How far a long call is: the counts it reports, to a function or as a bar on the terminal."""

import operator
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from vectorkit.errors import InvalidArgumentError, MissingDependencyError

__all__ = ["Ingested", "Progress", "length_of", "reporting"]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest has done, or has done so far.

    Attributes:
        read: Records read from the source.
        unchanged: Records that were stored already with the same document and metadata, and so passed over.
        embedded: Documents that the embedder made a vector of.
        written: Records written; they are committed.
        seconds: Time since the beginning.
        total: Records in the source where its length is known, else None.
        pruned: Records deleted because their source has them no more.
    """

    read: int
    unchanged: int
    embedded: int
    written: int
    seconds: float
    total: int | None = None
    pruned: int = 0


Progress: TypeAlias = bool | Callable[[Ingested], object] | None
"""True: a bar on the terminal, if there is one. A function: called in the thread of the call. None, False: nothing."""


def length_of(source: object) -> int | None:
    """How many elements something has, None if it does not say."""
    try:
        return operator.index(len(source))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except TypeError:
        return None


@contextmanager
def reporting(progress: object, total: int | None, doing: str) -> Generator[Callable[[Ingested], object]]:
    """Return where to report the counts to.

    Args:
        progress: As the caller gave it, see `Progress`.
        total: Records in all, if that is known.
        doing: What is being done, beside the bar.

    Raises:
        InvalidArgumentError: `progress` is something else.
        MissingDependencyError: It is True, and rich is not installed.
    """
    if progress is None or progress is False:
        yield lambda counts: None
    elif progress is True:
        with _bar(total, doing) as show:
            yield show
    elif callable(progress):
        yield progress
    else:
        raise InvalidArgumentError(
            f"progress is True, None, or a function that takes the counts so far, not {type(progress).__name__}"
        )


@contextmanager
def _bar(total: int | None, doing: str) -> Generator[Callable[[Ingested], object]]:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "progress=True needs rich, which is not installed: pip install 'vectorkit-db[cli]'; or give a function"
        ) from error
    console = Console(stderr=True)
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,  # it would take a thread
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(doing, total=total)
        yield lambda counts: bar.update(task, completed=counts.written + counts.unchanged, refresh=True)
