"""Kills a process that uses a store on disk, again and again, and looks each time at what is left.

Run by `test_kills.py` in a process of its own: `kills.py FOLDER KILLS SEED`. Before any Chroma runs in it, this process
forks a worker, kills it at a moment that it aims at, forks a checker that opens the folder and compares everything with
what the worker acknowledged, and so on. Prints what happened as JSON. A checker that dies is a folder that is broken.
"""

import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit_chroma.graphs import folder as graph_folder

DIMENSION = 96
BATCH = 130
MOST = 1500

FILES = {
    "header": "header.bin",
    "data": "data_level0.bin",
    "links": "link_lists.bin",
    "pickle": "index_metadata.pickle",
    "after": "index_metadata.pickle",
}
WRITES = ["add", "upsert", "delete", "update"]
MOMENTS = [*FILES, "random", "opening", "repairing", "reducing", "closing"]

State = dict[int, int]
"""The version of each record, by its number."""


def vector(number: int, version: int) -> Any:
    return np.random.default_rng([number, version]).normal(size=DIMENSION).astype(np.float32)


def vectors(state: State) -> Any:
    return np.array([vector(number, version) for number, version in state.items()])


def ids(state: State) -> list[str]:
    return [f"{number:05}" for number in state]


class Kills:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.state: State = {}
        self.next_number = 0
        self.next_version = 1
        self.counts: Counter[str] = Counter()

    # --- the worker -------------------------------------------------------------------------------------------

    def planned(self, kind: str) -> tuple[str, State]:
        """A write of some records: what it is called, and the records as they will be (-1: gone)."""
        if kind == "add" or len(self.state) < BATCH:
            kind = "add"
            numbers: Iterable[int] = range(self.next_number, self.next_number + BATCH)
            self.next_number += BATCH
        else:
            numbers = self.random.sample(sorted(self.state), min(BATCH, len(self.state)))
        self.next_version += 1
        return kind, dict.fromkeys(numbers, -1 if kind == "delete" else self.next_version)

    def plan(self, moment: str, kind: str) -> list[tuple[str, State]]:
        kinds = [kind] * 6 if moment in FILES or moment == "random" else [kind] * (2 if moment == "closing" else 0)
        if len(self.state) > MOST:
            kinds = ["delete", *kinds]
        plan: list[tuple[str, State]] = []
        kept, self.state = self.state, dict(self.state)
        for each in kinds:
            plan.append(self.planned(each))
            self.state = applied(self.state, plan[-1][1])
        self.state = kept
        return plan

    def work(self, plan: list[tuple[str, State]], told: int) -> None:
        store = vk.connect(f"chroma:{self.folder}")
        collection = store.get_or_create_collection("kept", dimension=DIMENSION)
        os.write(told, b"o")
        for kind, change in plan:
            write(collection, kind, change)
            os.write(told, b"w")
        store.close()
        os.write(told, b"c")

    # --- one turn ---------------------------------------------------------------------------------------------

    def turn(self, moment: str, kind: str) -> None:
        plan = self.plan(moment, kind)
        if moment == "repairing":
            self.tear()
        reader, told = os.pipe()
        os.set_blocking(reader, False)
        worker = os.fork()
        if not worker:
            if moment == "reducing":
                pytest.MonkeyPatch().setattr(graph_folder, "_SPARE", -(10**9))  # so that it does, in this process
            run(lambda: self.work(plan, told))
        os.close(told)
        heard = Heard(reader)
        self.aim(worker, moment, heard)
        os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
        self.counts["killed" if os.WIFSIGNALED(status) else "ended before"] += 1
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            self.counts["worker failed"] += 1
        heard.listen()
        os.close(reader)
        self.check(plan, heard.text.count("w"))

    def aim(self, worker: int, moment: str, heard: "Heard") -> None:
        """Wait until the moment to kill it."""
        until = time.monotonic() + 30
        graphs = [each.parent for each in self.folder.glob("*/header.bin")]
        reached: Callable[[], bool]
        if moment in FILES and graphs:
            file = graphs[0] / FILES[moment]
            wait(worker, until, lambda: "o" in heard.listen())
            if self.random.random() < 0.5:  # not the first save but the second
                wait(worker, until, changes(file))
            reached = changes(file)
        elif moment == "repairing" and self.random.random() < 0.7:
            reached = lambda: any(self.folder.glob("*.torn")) or "o" in heard.listen()  # noqa: E731
        elif moment == "reducing" and self.random.random() < 0.7:
            journal = self.folder / "chroma.sqlite3-journal"
            reached = lambda: journal.exists() or "o" in heard.listen()  # noqa: E731
        elif moment == "closing":
            writes = 2
            record = self.folder / "vectorkit.graphs"
            wait(worker, until, lambda: heard.listen().count("w") >= writes)
            recorded = changes(record)
            reached = lambda: recorded() or (self.folder / "vectorkit.graphs.new").exists()  # noqa: E731
            if self.random.random() < 0.5:
                reached = lambda: True  # noqa: E731
        else:
            reached = lambda: True  # noqa: E731
            time.sleep(self.random.uniform(0.0, 0.6))
        wait(worker, until, reached)
        if moment == "after" or self.random.random() < 0.3:
            time.sleep(self.random.uniform(0.0, 0.002))

    def tear(self) -> None:
        for graph in self.folder.glob("*/link_lists.bin"):
            os.truncate(graph, max(0, graph.stat().st_size - 2))

    def check(self, plan: list[tuple[str, State]], acknowledged: int) -> None:
        """Have a process of its own open the folder and look."""
        for _, change in plan[:acknowledged]:
            self.state = applied(self.state, change)
        expected = [self.state]
        if acknowledged < len(plan):
            expected.append(applied(self.state, plan[acknowledged][1]))
        reader, told = os.pipe()
        checker = os.fork()
        if not checker:
            run(lambda: checked(self.folder, expected, told))
        os.close(told)
        with os.fdopen(reader) as report:
            text = report.read()
        _, status = os.waitpid(checker, 0)
        if status or not text:
            self.counts["broken"] += 1
            calls = [kind for kind, _ in plan]
            print(f"broken after {acknowledged} of {calls}: {text}, status {status}", file=sys.stderr, flush=True)
            raise SystemExit(json.dumps(self.counts))
        found = json.loads(text)
        self.state = expected[found["state"]]
        self.counts["torn, made anew"] += found["rebuilt"]
        self.counts["whole batch of the call that was killed"] += found["state"]


class Heard:
    def __init__(self, reader: int) -> None:
        self._reader = reader
        self.text = ""

    def listen(self) -> str:
        with suppress(BlockingIOError):  # nothing new
            self.text += os.read(self._reader, 4096).decode()
        return self.text


def wait(worker: int, until: float, reached: Callable[[], bool]) -> None:
    while not reached() and time.monotonic() < until:
        if os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return


def changes(file: Path) -> Callable[[], bool]:
    """Whether a file has changed since now."""

    def look() -> tuple[int, int]:
        try:
            found = file.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_size

    before = look()
    return lambda: look() != before


def applied(state: State, change: State) -> State:
    merged = {**state, **change}
    return {number: version for number, version in merged.items() if version >= 0}


def write(collection: vk.Collection, kind: str, change: State) -> None:
    if kind == "delete":
        collection.delete(ids(change))
        return
    metadatas = [{"version": version} for version in change.values()]
    getattr(collection, kind)(ids=ids(change), embeddings=vectors(change), metadatas=metadatas)


def checked(folder: Path, expected: list[State], told: int) -> None:
    warnings = Warnings()
    logging.getLogger("vectorkit").addHandler(warnings)
    with vk.connect(f"chroma:{folder}") as store:
        collection = store.get_or_create_collection("kept", dimension=DIMENSION)
        records = collection.get(include_embeddings=True)
        found = {int(record.id): int(record.metadata["version"]) for record in records}  # type: ignore[arg-type]
        assert found in expected, f"{len(found)} records, not {[len(state) for state in expected]}"
        assert collection.count() == len(found)
        if records:
            held = np.array([record.embedding for record in records])
            order = {int(record.id): row for row, record in enumerate(records)}
            wanted = vectors(found)[np.argsort([order[number] for number in found])]
            np.testing.assert_allclose(held, wanted, atol=1e-5)
        for number in random.Random(len(found)).sample(sorted(found), min(12, len(found))):
            hits = collection.search(vector(number, found[number]), k=3, exact=False)
            assert hits[0].id == f"{number:05}", (number, hits)
            assert (hits[0].distance or 0.0) < 1e-5, hits
    os.write(told, json.dumps({"state": expected.index(found), "rebuilt": warnings.rebuilt}).encode())


class Warnings(logging.Handler):
    rebuilt = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.rebuilt += "made anew" in record.getMessage()


def run(work: Callable[[], None]) -> None:
    """In a child: do it and end, whatever happens, without what the parent would do at its end."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(folder: Path, kills: int, seed: int) -> None:
    turns = Kills(folder, seed)
    for turn in range(kills):
        moment = MOMENTS[turn % len(MOMENTS)]
        kind = WRITES[(turn // len(MOMENTS) + turn) % len(WRITES)]
        turns.counts[f"aimed: {moment}"] += 1
        turns.turn(moment, kind)
    print(json.dumps(turns.counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
