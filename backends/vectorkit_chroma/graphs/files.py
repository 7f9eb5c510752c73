"""One saved graph: whether its five files fit together, and what is in them.

The layout is that of Chroma's fork of hnswlib (https://github.com/chroma-core/hnswlib, `saveIndex` and
`openPersistentIndex`), and of `IdMap` in Chroma's `rust/segment/src/local_hnsw.rs`.
"""

import os
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit._narrow import is_dict
from vectorkit.types import FloatArray

__all__ = ["Graph", "Stats", "TornError", "UnknownFormatError", "flush", "read", "salvaged", "stats", "stored_bytes"]

Stats: TypeAlias = list[list[int]]
"""Size, time of the last change and inode of each file."""

_HEADER: Final = struct.Struct("<iQQQQQQiIQQQdQ")
_VERSION: Final = 1
_ID_MAP: Final = "index_metadata.pickle"
_FILES: Final = ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin", _ID_MAP)
_READ_KEYS: Final = {"total_elements_added", "id_to_label", "label_to_id"}
_KNOWN_KEYS: Final = _READ_KEYS | {"dimensionality", "max_seq_id", "id_to_seq_id"}
_COUNT: Final = struct.Struct("<I")


class TornError(Exception):
    """The files of a graph do not fit together."""


class UnknownFormatError(Exception):
    """The files are of a layout that is not known here."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A saved graph that is whole.

    Attributes:
        dimension: Of its vectors.
        elements: How many it holds, deleted ones among them.
        ids: The id of each live element, by label.
        rows: The row in `data_level0.bin` of each label, of deleted ones too.
        vectors: All vectors in the order of rows, shape (elements, dimension), float32; under cosine of length 1.
        lengths: In a cosine space, the lengths that the vectors had, shape (elements,), float32.
    """

    dimension: int
    elements: int
    ids: dict[int, str]
    rows: dict[int, int]
    vectors: FloatArray
    lengths: FloatArray

    def given(self, labels: list[int], *, cosine: bool) -> FloatArray:
        """The vectors as they were given, shape (labels, dimension); under cosine up to an ulp."""
        rows = [self.rows[label] for label in labels]
        found = np.ascontiguousarray(self.vectors[rows], dtype=np.float32)
        return found * self.lengths[rows][:, None] if cosine else found


def stats(folder: Path) -> Stats | None:
    """What the files look like from outside; None if one is missing, or there are others."""
    try:
        found = {file.name: file.stat() for file in folder.iterdir()}
    except OSError:
        return None
    if found.keys() != set(_FILES):
        return None
    return [[found[name].st_size, found[name].st_mtime_ns, found[name].st_ino] for name in _FILES]


def stored_bytes(folder: Path) -> int:
    """The bytes that the files take."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) if folder.is_dir() else 0


def flush(folder: Path) -> None:
    """Have the files on the medium, so that what is recorded of them also holds after a loss of power."""
    for name in _FILES:
        file = os.open(folder / name, os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def read(folder: Path) -> Graph | None:
    """Read a saved graph, checking all that Chroma relies on.

    Returns:
        None if nothing was ever saved, or only an empty graph: Chroma then makes it anew from its log.

    Raises:
        TornError: The files do not fit together.
        UnknownFormatError: They are of another version of Chroma than is known here.
    """
    if not (folder / _ID_MAP).exists():
        return None
    if unknown := {file.name for file in folder.iterdir()}.difference(_FILES):
        raise UnknownFormatError(f"it has files that are not known: {', '.join(sorted(unknown))}")
    try:
        ids, total = _id_map(folder / _ID_MAP)
        if not ids:
            return None
        return _graph(folder, ids, total)
    except (OSError, ValueError, struct.error) as error:
        raise TornError(f"{type(error).__name__}: {error}") from error


def salvaged(folder: Path) -> Graph | None:
    """What can be read of the vectors in a torn graph; None if that is nothing.

    A save writes again what is in place already, but for the records that changed since the last one; and the rows of
    these are in the log still. So the vectors of records that the log lacks are as they were, wherever a save was cut.
    """
    try:
        ids, _ = _id_map(folder / _ID_MAP)
        raw = (folder / "header.bin").read_bytes()
        _, _, _, _, size, label_at, data_at, *_ = _HEADER.unpack(raw)
        dimension = (label_at - data_at) // 4
        if dimension < 1 or label_at + 8 != size or data_at < 4:
            return None
        data = np.fromfile(folder / "data_level0.bin", dtype=np.uint8)
        data = data[: len(data) // size * size].reshape(-1, size)
        lengths = np.fromfile(folder / "length.bin", dtype="<f4")
        count = min(len(data), len(lengths))
        labels: list[int] = _column(data[:count], label_at, 8, "<u8").ravel().tolist()
    except (TornError, UnknownFormatError, OSError, ValueError, struct.error):
        return None
    rows = {label: row for row, label in enumerate(labels) if label in ids}
    return Graph(
        dimension=dimension,
        elements=count,
        ids={label: ids[label] for label in rows},
        rows=rows,
        vectors=data[:count, data_at:label_at].view("<f4"),
        lengths=lengths[:count],
    )


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, texts and numbers, and nothing that would run code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise UnknownFormatError(f"{_ID_MAP} holds an object of {module_name}.{global_name}")


def _is_known(found: object) -> bool:
    return is_dict(found) and _READ_KEYS <= set(found) <= _KNOWN_KEYS


def _id_map(path: Path) -> tuple[dict[int, str], int]:
    """The ids by label, and the number of labels that were ever given."""
    try:
        with path.open("rb") as file:
            found: Any = _PlainUnpickler(file).load()
            rest = file.read(1)
    except UnknownFormatError:
        raise
    except Exception as error:  # what half a pickle raises can be nearly anything
        raise TornError(f"{_ID_MAP} ends early: {type(error).__name__}") from error
    if rest:
        raise TornError(f"{_ID_MAP} has bytes after its end")
    if not _is_known(found):
        raise UnknownFormatError(f"{_ID_MAP} does not hold what is known")
    labels: dict[str, int] = found["id_to_label"]
    ids: dict[int, str] = found["label_to_id"]
    if len(ids) != len(labels) or any(labels.get(id) != label for label, id in ids.items()):
        raise TornError(f"{_ID_MAP}: its two maps differ")
    return ids, int(found["total_elements_added"])


def _graph(folder: Path, ids: dict[int, str], total: int) -> Graph:
    raw = (folder / "header.bin").read_bytes()
    if len(raw) >= 4 and int.from_bytes(raw[:4], "little", signed=True) > _VERSION:
        raise UnknownFormatError("header.bin is of a newer version")
    if len(raw) != _HEADER.size:
        raise TornError(f"header.bin has {len(raw)} bytes, not {_HEADER.size}")
    (version, offset, room, count, size, label_at, data_at, top, entry, max_links, max_links0, _, _, _) = (
        _HEADER.unpack(raw)
    )
    dimension = (size - 4 * max_links0 - 12) // 4
    layout = (4 * max_links0 + 4, 4 * max_links0 + 4 + 4 * dimension, 4 * max_links0 + 4 + 4 * dimension + 8)
    if version != _VERSION or offset or dimension < 1 or (data_at, label_at, size) != layout:
        raise TornError("header.bin contradicts itself")
    if not len(ids) <= count <= room or count != total or entry >= count or top < 0:
        raise TornError(f"header.bin has {count} elements of {room}, {_ID_MAP} {len(ids)} of {total}")
    for name, needed in (("data_level0.bin", count * size), ("length.bin", count * 4)):
        if (found := (folder / name).stat().st_size) < needed:
            raise TornError(f"{name} has {found} bytes, not {needed}")
    data = np.memmap(folder / "data_level0.bin", dtype=np.uint8, mode="r", shape=(count, size))
    labels = _column(data, label_at, 8, "<u8").ravel()
    _check_lowest_level(data, labels, set(ids), max_links0)
    _check_upper_levels((folder / "link_lists.bin").read_bytes(), count, max_links, top, entry)
    return Graph(
        dimension=dimension,
        elements=count,
        ids=ids,
        rows={label: row for row, label in enumerate(labels.tolist())},
        vectors=data[:, data_at:label_at].view("<f4"),
        lengths=np.fromfile(folder / "length.bin", dtype="<f4", count=count),
    )


def _column(data: NDArray[np.uint8], start: int, width: int, kind: str) -> NDArray[Any]:
    return np.ascontiguousarray(data[:, start : start + width]).view(kind)


def _check_lowest_level(data: NDArray[np.uint8], labels: NDArray[Any], ids: set[int], max_links: int) -> None:
    """Every element's links, mark of deletion and label."""
    head = _column(data, 0, 4, "u1")
    links_used = _column(data, 0, 2, "<u2").ravel()
    if (head[:, 2] > 1).any() or head[:, 3].any() or (links_used > max_links).any():
        raise TornError("data_level0.bin: an element has more links than there may be")
    links = _column(data, 4, 4 * max_links, "<u4")
    if (links[np.arange(max_links)[None, :] < links_used[:, None]] >= len(data)).any():
        raise TornError("data_level0.bin: a link leads nowhere")
    live = labels[head[:, 2] == 0]
    if len(np.unique(labels)) != len(labels) or len(live) != len(ids) or set(live.tolist()) != ids:
        raise TornError(f"data_level0.bin: its {len(live)} live elements are not the {len(ids)} of {_ID_MAP}")


def _check_upper_levels(raw: bytes, count: int, max_links: int, top: int, entry: int) -> None:
    """Every element's number of levels, and its links on those above the lowest."""
    width, at = 4 * max_links + 4, 0
    levels = np.zeros(count, dtype=np.int32)
    uppers: list[tuple[int, int]] = []
    for row in range(count):
        if at + 4 > len(raw):
            raise TornError("link_lists.bin ends early")
        (size,) = _COUNT.unpack_from(raw, at)
        at += 4
        if size:
            if size % width or at + size > len(raw):
                raise TornError("link_lists.bin ends early, or an element in it has a part of a level")
            levels[row] = size // width
            uppers.append((row, at))
            at += size
    if at != len(raw):
        raise TornError("link_lists.bin has bytes after its end")
    if levels.max() != top or levels[entry] != top:
        raise TornError(f"the entry has {levels[entry]} levels, the highest element {levels.max()}, the header {top}")
    for row, start in uppers:
        for level in range(1, int(levels[row]) + 1):
            begin = start + (level - 1) * width
            used = _COUNT.unpack_from(raw, begin)[0] & 0xFFFF
            if used > max_links:
                raise TornError("link_lists.bin: an element has more links than there may be")
            links = np.frombuffer(raw, "<u4", used, begin + 4)
            if used and (links.max() >= count or (levels[links] < level).any()):
                raise TornError("link_lists.bin: a link leads nowhere")
