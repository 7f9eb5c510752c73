"""What the commands share: the terminal, and what becomes of a mistake."""

import logging
import warnings
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text
from typer.core import TyperGroup

from vectorkit.errors import VectorKitError
from vectorkit.visible import visible

__all__ = ["Commands", "err", "out", "progress_bar"]


class _Terminal(Console):
    """A terminal that shows what others wrote, and obeys only us: what we say in colours is markup, not characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console`; every string that is printed, and every cell of a table, comes by here."""
        return super().render_str(visible(text), **options)


class _Words(TextColumn):
    """The text of a progress bar, shown in the same way."""

    def render(self, task: Task) -> Text:
        """See `rich.progress.TextColumn`."""
        text = super().render(task)
        text.plain = visible(text.plain)
        return text


out = _Terminal(highlight=False)
err = _Terminal(stderr=True, highlight=False)


class Commands(TyperGroup):
    """A mistake of the user's is a line and exit code 2, no traceback; Ctrl-C is 130, as in a shell."""

    def invoke(self, ctx: Any) -> Any:
        # What libraries log of a connection that Ctrl-C cut off says nothing to whoever typed a command.
        logging.getLogger().addHandler(logging.NullHandler())
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except VectorKitError as error:
            err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            for note in getattr(error, "__notes__", ()):
                err.print(escape(str(note)), soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            err.print("interrupted")
            raise typer.Exit(130) from None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In place of a line of source code, which says nothing to whoever typed a command."""
    err.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True)


def progress_bar(*ends: ProgressColumn) -> Progress:
    """A bar on the terminal's error stream, gone when it has ended; nothing where that is no terminal.

    Args:
        ends: Columns after the numbers; left out, the time that has passed.
    """
    columns = (_Words("{task.description}"), BarColumn(), MofNCompleteColumn(), *(ends or (TimeElapsedColumn(),)))
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
