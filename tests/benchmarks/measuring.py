"""How the benchmarks measure: alternately, and with medians."""

import gc
import json
import lzma
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        unit: `ms`, `µs`, `MB`, `bytes` (less is better), `rec/s` or `recall` (more is better).
        ours: Our figure.
        raw: The raw client's in the same run, or None if the goal is absolute.
        goal: The ratio to keep, or the figure itself if there is no raw one.
    """

    name: str
    unit: str
    ours: float
    raw: float | None
    goal: float | None

    @property
    def value(self) -> float:
        return self.ours if self.raw is None else self.ours / self.raw

    @property
    def less_is_better(self) -> bool:
        return self.unit in ("ms", "µs", "MB", "bytes")

    @property
    def reached(self) -> bool:
        return self.goal is None or (self.value <= self.goal if self.less_is_better else self.value >= self.goal)

    def __str__(self) -> str:
        raw = "" if self.raw is None else f"{self.raw:,.2f}"
        ratio = "" if self.raw is None else f"{self.value:.2f}"
        sign = "≤" if self.less_is_better else "≥"
        goal = "" if self.goal is None else f"{sign} {self.goal:g} {'' if self.reached else ' MISSED'}"
        return f"{self.name + ', ' + self.unit:<58}{self.ours:>10,.2f} {raw:>10} {ratio:>7}  {goal}"


def side_by_side(
    ours: Callable[[int], object],
    raw: Callable[[int], object],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Median milliseconds of each, called in turns with the number of the round, after three turns to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    for turn in range(-3, rounds):
        pairs = list(zip((ours, raw), times, strict=True))
        for call, kept in pairs if turn % 2 else reversed(pairs):
            start = clock()
            call(turn)
            if turn >= 0:
                kept.append((clock() - start) * 1000)
    return median(times[0]), median(times[1])


def seconds(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    return taken(call)[0]


def taken(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds that one call takes, and seconds of this process's CPU."""
    gc.collect()
    start, worked = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - worked


def clustered(count: int, dimension: int, *, seed: int) -> NDArray[np.float32]:
    """Unit vectors in clusters, as embeddings of real text are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(1, count // 100), dimension))
    vectors = centres[random.integers(len(centres), size=count)] + 0.6 * random.normal(size=(count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def texts(count: int) -> list[str]:
    """Documents of about 200 characters, all different."""
    words = ["retrieval", "stores", "passages", "as", "vectors", "and", "finds", "the", "nearest", "by", "distance"]
    return [f"passage {n}: " + " ".join(words[(n + i) % len(words)] for i in range(30)) for n in range(count)]


def passages(count: int) -> tuple[list[str], list[str]]:
    """Passages of 100 words of the Cranfield collection, and its questions; two passages may overlap."""
    folder = Path(__file__).parents[1] / "data" / "cranfield"
    with lzma.open(folder / "corpus.jsonl.xz", "rt", encoding="utf-8") as packed:
        words = [word for line in packed for word in json.loads(line)["text"].split()]
    starts: list[int] = np.random.default_rng(5).integers(len(words) - 100, size=count).tolist()
    questions = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [" ".join(words[start : start + 100]) for start in starts], [json.loads(line)["text"] for line in questions]
