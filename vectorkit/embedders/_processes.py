"""Several processes that run one sentence-transformers model on the CPU."""

import os
import threading
import weakref
from importlib import import_module
from typing import Any, Final

from numpy.typing import NDArray

from vectorkit.embedders._loading import Model

__all__ = ["Processes"]

_BATCHES: Final = 4
"""Batches a process and call: enough that none waits long for the others, few enough to see progress."""


class Processes:
    """Started when they are first needed, and again after `stop` or when one has died. Safe to use from many threads.

    Args:
        count: How many.

    Attributes:
        batches: How many batches of texts keep all of them busy.
    """

    def __init__(self, count: int) -> None:
        self.batches = _BATCHES * count
        self._count = count
        self._lock = threading.Lock()
        self._stop: weakref.finalize[[int, Model, dict[str, Any]], Processes] | None = None
        self._pool: tuple[int, dict[str, Any]] | None = None

    def run(self, model: Model, texts: list[str], options: dict[str, Any]) -> NDArray[Any]:
        """Run documents through the model, with options of its `encode`; raises what that raises."""
        with self._lock:  # they answer to one queue
            if self._pool is None or self._pool[0] != os.getpid():  # those of the process it was forked off from
                self._start(model)
            assert self._pool is not None
            try:
                return model.encode_document(texts, pool=self._pool[1], chunk_size=options["batch_size"], **options)
            except BaseException:  # answers to this call may still arrive, and would be taken for the next one's
                self._end()
                raise

    def stop(self) -> None:
        """End them."""
        with self._lock:
            self._end()

    def _start(self, model: Model) -> None:
        torch: Any = import_module("torch")
        # Each takes as many threads as there are cores unless it is told otherwise, which only its environment can.
        name, threads = "OMP_NUM_THREADS", max(1, torch.get_num_threads() // self._count)
        before = os.environ.get(name)
        os.environ[name] = str(threads)
        try:
            pool = model.start_multi_process_pool(["cpu"] * self._count)
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        self._pool = os.getpid(), pool
        self._stop = weakref.finalize(self, _stop, os.getpid(), model, pool)

    def _end(self) -> None:
        if self._stop is not None:
            self._stop()
        self._stop = self._pool = None


def _stop(owner: int, model: Model, pool: dict[str, Any]) -> None:
    if owner == os.getpid():
        model.stop_multi_process_pool(pool)
