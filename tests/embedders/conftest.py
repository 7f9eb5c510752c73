"""The real model, loaded once, and small real models built on the spot."""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from vectorkit.embedders import SentenceTransformerEmbedder
from vectorkit.embedders._files import shipped_folder

BuildModel = Callable[..., Path]


@pytest.fixture(scope="session")
def one_thread() -> None:
    """For a few short texts, threads that wait for each other on a busy machine cost more than they bring."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch: Any = import_module("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def minilm(one_thread: None) -> SentenceTransformerEmbedder:
    """The default model, from the weights of the `minilm` extra."""
    return SentenceTransformerEmbedder(device="cpu")


@pytest.fixture(scope="session")
def build_model(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> BuildModel:
    """Writes the folder of a model with random weights (BERT of one layer, 32 dimensions, 64 tokens)."""

    def build(
        prompts: dict[str, str] | None = None,
        pooling: Sequence[str] = ("mean",),
        dense: int | None = None,
        nan_word: str | None = None,
    ) -> Path:
        folder = tmp_path_factory.mktemp("models") / "tiny"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library: Any = import_module("sentence_transformers")
            modules: Any = import_module("sentence_transformers.models")
            transformers: Any = import_module("transformers")
            torch: Any = import_module("torch")
            torch.manual_seed(0)
            tokenizer = transformers.AutoTokenizer.from_pretrained(shipped_folder_of_minilm(), local_files_only=True)
            bert = transformers.BertModel(
                transformers.BertConfig(
                    hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
                )
            )
            if nan_word is not None:
                bert.embeddings.word_embeddings.weight.data[tokenizer.convert_tokens_to_ids(nan_word)] = float("nan")
            base = tmp_path_factory.mktemp("bert")
            bert.save_pretrained(base)
            tokenizer.save_pretrained(base)
            parts = [
                modules.Transformer(str(base), max_seq_length=64),
                modules.Pooling(32, pooling_mode=tuple(pooling)),
            ]
            if dense is not None:
                parts.append(modules.Dense(32 * len(pooling), dense))
            library.SentenceTransformer(modules=parts, prompts=prompts, device="cpu").save(str(folder))
        return folder

    return build


def shipped_folder_of_minilm() -> Path:
    """The folder of the real weights."""
    folder = shipped_folder("sentence-transformers/all-MiniLM-L6-v2")
    assert folder is not None, "install the minilm extra"
    return folder


@pytest.fixture(scope="session")
def tiny(build_model: BuildModel) -> Path:
    """The folder of a small model without prompts."""
    return build_model()


@pytest.fixture(scope="session")
def build_cross_encoder(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> BuildModel:
    """Writes the folder of a cross-encoder with random weights (BERT of one layer, 32 dimensions, 64 tokens)."""

    def build(labels: int = 1, nan: bool = False) -> Path:
        folder = tmp_path_factory.mktemp("cross-encoders") / "tiny"
        base = tmp_path_factory.mktemp("bert")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library: Any = import_module("sentence_transformers")
            transformers: Any = import_module("transformers")
            torch: Any = import_module("torch")
            torch.manual_seed(0)
            bert = transformers.BertForSequenceClassification(
                transformers.BertConfig(
                    hidden_size=32,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    intermediate_size=64,
                    num_labels=labels,
                    initializer_range=0.5,  # by default so small that every pair has a score of 0.50
                )
            )
            if nan:
                bert.classifier.weight.data[:] = float("nan")
            bert.save_pretrained(base)
            tokenizer = transformers.AutoTokenizer.from_pretrained(shipped_folder_of_minilm(), local_files_only=True)
            tokenizer.save_pretrained(base)
            library.CrossEncoder(str(base), device="cpu", max_length=64, local_files_only=True).save(str(folder))
        return folder

    return build
