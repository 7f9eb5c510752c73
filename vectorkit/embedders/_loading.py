"""Loading models of sentence-transformers: quietly, with typed errors, from a hub only if it is nowhere else."""

import logging
import os
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from vectorkit.embedders._files import cached_folder, check_hub
from vectorkit.errors import EmbeddingError, MissingDependencyError, VectorKitError

__all__ = ["CrossModel", "Model", "load_cross_encoder", "load_model", "mind_fork"]

Loaded = TypeVar("Loaded")


class Model(Protocol):
    """What is used of `sentence_transformers.SentenceTransformer`, version 5 or later."""

    device: Any
    max_seq_length: Any
    tokenizer: Any

    def half(self) -> object:
        """Turn its weights to float16."""
        ...

    def start_multi_process_pool(self, target_devices: list[str]) -> dict[str, Any]:
        """Start a process for each device."""
        ...

    def stop_multi_process_pool(self, pool: dict[str, Any]) -> None:
        """End the processes."""
        ...

    def encode_query(self, inputs: list[str], /, **options: Any) -> NDArray[Any]:
        """Run texts through the model as queries."""
        ...

    def encode_document(self, inputs: list[str], /, **options: Any) -> NDArray[Any]:
        """Run texts through the model as documents."""
        ...


class CrossModel(Protocol):
    """What is used of `sentence_transformers.CrossEncoder`, version 5 or later."""

    num_labels: int
    model: Any

    def predict(self, inputs: list[tuple[str, str]], /, **options: Any) -> NDArray[Any]:
        """Score pairs of texts."""
        ...


def load_model(name: str, folder: Path | None, device: str | None, half: bool = False) -> Model:
    """Load a model that embeds, printing nothing.

    Args:
        name: Its name.
        folder: Where it is on this machine; None if it is to be had from the cache of downloads, or the hub.
        device: Where it is to run; None takes the best there is.
        half: Whether its weights are turned to float16, which needs a GPU.

    Raises:
        MissingDependencyError: sentence-transformers, or a package with the weights, is not installed.
        EmbeddingError: The model is not found, cannot be loaded, or would run in float16 on a CPU.
    """

    def try_out(model: Model) -> None:
        if half:
            _halve(model)
        model.encode_query(["a"], prompt="", show_progress_bar=False)

    return _load("SentenceTransformer", try_out, name, folder, device)


def load_cross_encoder(name: str, folder: Path | None, device: str | None) -> CrossModel:
    """Load a model that scores pairs of texts, printing nothing. Arguments and errors are those of `load_model`."""

    def try_out(model: CrossModel) -> None:
        model.predict([("a", "a")], show_progress_bar=False)

    return _load("CrossEncoder", try_out, name, folder, device)


def _load(kind: str, try_out: Callable[[Loaded], None], name: str, folder: Path | None, device: str | None) -> Loaded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            create: Callable[..., Loaded] = getattr(import_module("sentence_transformers"), kind)
        except ImportError as error:
            raise MissingDependencyError(
                f"local models need sentence-transformers, which cannot be imported ({error}); install it with: "
                "pip install 'vectorkit-db[local]' ('vectorkit-db[minilm]' has the default model for embeddings, too)"
            ) from error
        mind_fork()
        try:
            with _no_logs():
                model = _open(create, name, folder, device)
                # The first call sets how the tokenizer pads and cuts. Older tokenizers refuse that while another
                # thread uses them ("Already borrowed"), so it is made here, where there is one thread.
                try_out(model)
        except VectorKitError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"the model {name!r} could not be loaded: {type(error).__name__}: {error}; check its files, "
                f"the device ({device or 'chosen automatically'}), and that sentence-transformers is 5 or later"
            ) from error
    return model


def _open(create: Callable[..., Loaded], name: str, folder: Path | None, device: str | None) -> Loaded:
    if folder is not None:
        return create(str(folder), device=device, local_files_only=True)
    if cached_folder(name) is not None:
        with suppress(OSError):  # a download that was broken off: the hub has the rest
            return create(name, device=device, local_files_only=True)
    check_hub(name)
    return create(name, device=device)


def _halve(model: Model) -> None:
    if model.device.type == "cpu":
        raise EmbeddingError("half precision is for GPUs, and the model is on the CPU; leave half_precision out")
    model.half()


@contextmanager
def _no_logs() -> Generator[None]:
    bars: Any = import_module("transformers.utils.logging")
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            bars.enable_progress_bar()


_process: int | None = None
"""The process in which models may use several threads: the first that loaded one."""


def mind_fork() -> None:
    """Make models run on one thread in a process that was forked off after one was loaded.

    A parallel region of OpenMP would wait there for ever for the threads that the fork left behind
    (https://github.com/pytorch/pytorch/issues/17199).
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        import_module("torch").set_num_threads(1)
        _process = os.getpid()
