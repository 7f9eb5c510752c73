"""The condition of a store's files, for people."""

from typing import TYPE_CHECKING, Final

from rich.markup import escape

from vectorkit.cli._common import out
from vectorkit.cli._shown import excerpt, size_text

if TYPE_CHECKING:
    from vectorkit.maintenance import CollectionCondition, StoreCondition

__all__ = ["print_condition"]

_STATES: Final = {
    "whole": "[green]whole[/]",
    "unsaved": "not saved yet; made when it is used",
    "torn": "[bold red]torn[/]",
    "unknown": "[yellow]of a version that is not known here[/]",
}


def print_condition(condition: "StoreCondition") -> None:
    """A line for the store, and one or more for each collection."""
    kept = "all of the log is kept" if condition.keeps_log else "what a graph has saved is deleted from the log"
    out.print(f"[bold]{escape(condition.place)}[/]: {size_text(condition.database_bytes)} of records and log; {kept}")
    for each in condition.collections:
        _print_collection(each)


def _print_collection(each: "CollectionCondition") -> None:
    made = ", made by others" if each.foreign else ""
    out.print(
        f"  [bold]{escape(excerpt(each.name, 200))}[/]{made}: graph {_STATES[each.state]}"
        f"{', ' + size_text(each.index_bytes) if each.index_bytes else ''}; {each.records:,} records, "
        f"{each.log_rows:,} rows in the log",
        soft_wrap=True,
    )
    if each.detail:
        out.print(f"    {escape(each.detail)}", style="yellow", soft_wrap=True)
    if each.lacking:
        out.print(f"    the vectors of {each.lacking:,} records are not to be had: restore a backup", style="bold red")
    if each.repaired:
        out.print(f"    {escape(each.repaired)}", style="green", soft_wrap=True)
