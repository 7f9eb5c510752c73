"""Stores that are each wrong in one way in which real ones are, to test the suite with: it must catch every one.

A fault is a backend, a collection or a store: the reference with one method bent. Its docstring begins with the number
of the rule that it breaks, and says how real stores come to be so. `open_store` opens a store that has it.
"""

from typing import Final, TypeAlias

from vectorkit.memory import MemoryBackend
from vectorkit.store import VectorStore
from vectorkit.testing.faults import (
    collections,
    comparisons,
    differences,
    facade,
    filters,
    hybrid,
    indexes,
    ranking,
    reading,
    records,
    reranking,
    sizes,
    text,
    writing,
)
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.testing.faults._store import FaultyCollection, FaultyStore

__all__ = ["FAULTS", "Fault", "FaultyBackend", "open_store", "rule"]

Fault: TypeAlias = type[FaultyBackend] | type[FaultyCollection] | type[FaultyStore]

_MODULES: Final = (
    *(collections, records, writing, reading, filters, comparisons, ranking, indexes, text, hybrid, reranking),
    *(sizes, differences, facade),
)


def rule(fault: Fault) -> str:
    """The number of the rule that a fault breaks."""
    return (fault.__doc__ or "").split()[0]


def open_store(fault: Fault) -> VectorStore:
    """Open a store that has the fault; it is empty."""
    if issubclass(fault, FaultyBackend):
        return VectorStore(fault())
    if issubclass(fault, FaultyCollection):
        return FaultyStore(MemoryBackend(), fault)
    return fault(MemoryBackend())


def _place(fault: Fault) -> list[int]:
    return [int(number) for number in rule(fault).split(".")]


FAULTS: Final[tuple[Fault, ...]] = tuple(
    sorted((getattr(module, name) for module in _MODULES for name in module.__all__), key=_place)
)
"""Every fault there is, in the order of the rules that they break."""
