"""`isinstance` for generic classes: checkers then know the type arguments (as unknown as JSON's) instead of none."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_array", "is_dict", "is_iterable", "is_list", "is_mapping", "is_sequence"]


def is_array(value: object) -> TypeGuard[NDArray[Any]]:
    """Whether `value` is a NumPy array."""
    return isinstance(value, np.ndarray)


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """Whether `value` is a dict."""
    return isinstance(value, dict)


def is_iterable(value: object) -> TypeGuard[Iterable[object]]:
    """Whether `value` can be iterated."""
    return isinstance(value, Iterable)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether `value` is a list."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether `value` is a mapping."""
    return isinstance(value, Mapping)


def is_sequence(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether `value` is a list or a tuple."""
    return isinstance(value, list | tuple)
