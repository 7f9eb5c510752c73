"""`isinstance` for generic classes: checkers then know the type arguments (as unknown as JSON's) instead of none."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_array", "is_dict", "is_iterable", "is_list", "is_mapping", "is_scalar", "is_sequence"]


def is_array(value: object) -> TypeGuard[NDArray[Any]]:
    """Whether `value` is a NumPy array."""
    return isinstance(value, np.ndarray)


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """Whether `value` is a dict."""
    return isinstance(value, dict)


def is_iterable(value: object) -> TypeGuard[Iterable[object]]:
    """Whether `value` can be iterated: a NumPy array of no dimension cannot, though it has an `__iter__`."""
    return not (is_array(value) and value.ndim == 0) and isinstance(value, Iterable)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether `value` is a list."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether `value` is a mapping."""
    return isinstance(value, Mapping)


def is_scalar(value: object) -> TypeGuard[Any]:
    """Whether `value` is a NumPy scalar that has a Python value which is JSON: `item()` returns it.

    A time span counts as an integer in NumPy; its `item()` is an `int` or none, as its unit has it.
    """
    return isinstance(value, np.number | np.bool_ | np.str_) and not isinstance(value, np.timedelta64)


def is_sequence(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether `value` is a list or a tuple."""
    return isinstance(value, list | tuple)
