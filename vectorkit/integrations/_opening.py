"""Opening the collection that a framework's store works on."""

from vectorkit.collection import Collection
from vectorkit.protocol import Embedder
from vectorkit.store import VectorStore, connect
from vectorkit.validation import MetricName

__all__ = ["open_collection"]


def open_collection(
    url: str, name: str, embedder: Embedder, *, metric: MetricName | None = None, text_index: bool = False
) -> tuple[VectorStore, Collection]:
    """Open a collection by URL, or create it if there is none; the store is closed if that fails.

    Arguments and errors are those of `vectorkit.connect` and `VectorStore.get_or_create_collection`.
    """
    store = connect(url)
    try:
        return store, store.get_or_create_collection(name, embedder=embedder, metric=metric, text_index=text_index)
    except BaseException:
        store.close()
        raise
