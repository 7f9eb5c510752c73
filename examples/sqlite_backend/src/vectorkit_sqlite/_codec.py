"""Vectors and JSON as SQLite stores them: nothing is rounded, and every Python type comes back (2.3, 2.5)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from vectorkit.types import FloatArray, Json

__all__ = ["dump_json", "dump_vector", "load_json", "load_vectors"]


def dump_vector(vector: FloatArray) -> bytes:
    """A vector as little-endian float32s, whatever the machine: files are carried from one to another."""
    return vector.astype("<f4").tobytes()


def load_vectors(blobs: Sequence[bytes], dimension: int) -> FloatArray:
    """The vectors that `dump_vector` made, as a float32 array of its own of shape `(len(blobs), dimension)`."""
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), dimension).astype(np.float32)


def dump_json(value: Json) -> str:
    """JSON text. Python writes floats so that they come back bit for bit, and `1.0` apart from `1`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load_json(text: str) -> Any:
    """The value of a JSON text."""
    return json.loads(text)
