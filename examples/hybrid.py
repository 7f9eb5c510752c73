"""When does hybrid search win? Semantic and hybrid search side by side, on what Python says about itself.

The knowledge base is real: every error number of this platform, every built-in exception, function and method, with the
line or two that Python has on each. Half of the questions hold the literal name of what they ask for, as tickets and
log lines do; the other half say in other words what they mean. For both it is shown at which place the right passage
comes, and how that changes with the weight of the vectors: in a table, and in hybrid.png.

    python examples/hybrid.py [URL]        in Chroma, in memory, or in the store of the URL

Needs `pip install 'vectorkit-db[examples]'`.
"""

import builtins
import errno
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from textwrap import shorten
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

import vectorkit as vk
from vectorkit.embedders import SentenceTransformerEmbedder

PICTURE = Path("hybrid.png")
WEIGHTS = [step / 10 for step in range(11)]
DEFAULT = 0.7


@dataclass(frozen=True)
class Question:
    text: str
    answer: str  # the id of the passage


LITERAL = [
    Question("The nightly job died with ENOTEMPTY, what is that?", "ENOTEMPTY"),
    Question("worker 7 exited: EMFILE", "EMFILE"),
    Question("What does EXDEV mean when I move a file?", "EXDEV"),
    Question("our proxy logs EHOSTUNREACH every few minutes", "EHOSTUNREACH"),
    Question("mount says ESTALE", "ESTALE"),
    Question("rename fails with EROFS on the new server", "EROFS"),
    Question("ELOOP when opening a path", "ELOOP"),
    Question("Should I catch a BlockingIOError here?", "BlockingIOError"),
    Question("UnboundLocalError after the refactoring", "UnboundLocalError"),
    Question("How is str.zfill different from rjust?", "str.zfill"),
    Question("review comment: use casefold here", "str.casefold"),
    Question("what was dict.setdefault good for", "dict.setdefault"),
    Question("is issubclass slow?", "issubclass"),
    Question("frozenset isdisjoint or an empty intersection?", "frozenset.isdisjoint"),
]

VAGUE = [
    Question("the disk is full", "ENOSPC"),
    Question("I am not allowed to read this file", "EACCES"),
    Question("nobody is listening on that port of the other machine", "ECONNREFUSED"),
    Question("two programs want the same port", "EADDRINUSE"),
    Question("the name of the file is longer than it may be", "ENAMETOOLONG"),
    Question("the other side hung up in the middle of our conversation", "ECONNRESET"),
    Question("a number is divided by nothing", "ZeroDivisionError"),
    Question("the user pressed Ctrl-C", "KeyboardInterrupt"),
    Question("a function calls itself too many times", "RecursionError"),
    Question("make all letters small", "str.lower"),
    Question("take the last thing off and give it to me", "list.pop"),
    Question("turn everything the other way round", "list.reverse"),
    Question("how many things are there in a container?", "len"),
    Question("is at least one of them true?", "any"),
]

KINDS = {"The question holds the name": LITERAL, "The question says it in other words": VAGUE}


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "chroma:"
    embedder = SentenceTransformerEmbedder()
    with vk.connect(url) as store:
        docs = store.create_collection("hybrid-example", embedder=embedder, text_index=True)
        try:
            docs.add(records=list(passages()))
            print(f"{docs.count():,} passages on Python's errors, exceptions, functions and methods in {url}\n")
            print("At which place of the first ten is the right passage?\n")
            curves: dict[str, list[float]] = {}
            for title, questions in KINDS.items():
                vectors = [embedder.embed_query(question.text) for question in questions]  # once, not for each search
                show(docs, title, questions, vectors)
                curves[title] = curve(docs, questions, vectors)
        finally:
            store.drop_collection("hybrid-example")
    curves["All questions"] = [fmean(pair) for pair in zip(*curves.values(), strict=True)]
    summarize(curves)
    draw(curves)
    print(f"\nThe picture is in {PICTURE.resolve()}")


def passages() -> Iterator[vk.Record]:
    """One record for each error number, exception, function and method, with what Python says about it."""
    for number, name in errno.errorcode.items():
        yield vk.Record(name, f"{name}: {os.strerror(number)}", metadata={"kind": "error number"})
    for name, value in vars(builtins).items():
        if name.startswith("_") or not callable(value) or getattr(value, "__name__", "") != name:  # IOError is OSError
            continue
        kind = "exception" if is_exception(value) else "built-in"
        yield vk.Record(name, f"{name}: {said(value)}", metadata={"kind": kind})
    for owner in (str, bytes, int, float, list, tuple, dict, set, frozenset):
        for name, value in vars(owner).items():
            if not name.startswith("_") and callable(value):
                full = f"{owner.__name__}.{name}"
                yield vk.Record(full, f"{full}: {said(value)}", metadata={"kind": "method"})


def is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def said(value: object) -> str:
    """The first paragraphs of the documentation, at most 300 characters."""
    return shorten(inspect.getdoc(value) or "", 300, placeholder=" …")


def show(docs: vk.Collection, title: str, questions: list[Question], vectors: list[vk.FloatArray]) -> None:
    """A line a question: the place of its answer by both kinds of search, and what hybrid search puts first."""
    texts = [question.text for question in questions]
    semantic, hybrid = docs.search_many(vectors), docs.search_many(texts, mode="hybrid", vectors=vectors)
    print(f"{title:<58}{'semantic':>10}{'hybrid':>8}   first by hybrid")
    for question, by_meaning, by_both in zip(questions, semantic, hybrid, strict=True):
        places = f"{place(by_meaning, question) or '-':>10}{place(by_both, question) or '-':>8}"
        print(f"  {shorten(question.text, 54, placeholder='…'):<56}{places}   {by_both[0].id}")
    print()


def place(hits: Sequence[vk.Hit], question: Question) -> int | None:
    """The rank of the answer, from 1; None if it is not among the hits."""
    return next((rank for rank, hit in enumerate(hits, 1) if hit.id == question.answer), None)


def curve(docs: vk.Collection, questions: list[Question], vectors: list[vk.FloatArray]) -> list[float]:
    """MRR@10, the mean of `1 / rank` of the answers, for each weight of the vectors."""
    texts = [question.text for question in questions]

    def mrr(weight: float) -> float:
        answers = docs.search_many(texts, mode="hybrid", vectors=vectors, weight=weight)
        ranks = [place(hits, question) for hits, question in zip(answers, questions, strict=True)]
        return fmean(0 if rank is None else 1 / rank for rank in ranks)

    return [mrr(weight) for weight in WEIGHTS]


def summarize(curves: dict[str, list[float]]) -> None:
    print(f"{'MRR@10':<40}{'words alone':>12}{'hybrid, 0.7':>13}{'vectors alone':>15}{'gain':>9}{'best weight':>13}")
    for name, values in curves.items():
        at = values[WEIGHTS.index(DEFAULT)]
        best = [f"{weight:g}" for weight, value in zip(WEIGHTS, values, strict=True) if value == max(values)]
        shown = best[0] if len(best) == 1 else f"{best[0]} to {best[-1]}"
        print(f"{name:<40}{values[0]:>12.3f}{at:>13.3f}{values[-1]:>15.3f}{at - values[-1]:>+9.3f}{shown:>13}")


def draw(curves: dict[str, list[float]]) -> None:
    """A line a kind of question over the weight of the vectors, from words alone to vectors alone."""
    library: Any = mpl  # its own types are incomplete
    with library.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure: Any = Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.subplots()
        styles = (("tab:blue", "o-"), ("tab:orange", "s-"), ("0.35", "--"))
        for (name, values), (color, style) in zip(curves.items(), styles, strict=True):
            axes.plot(WEIGHTS, values, style, color=color, label=name)
        axes.axvline(DEFAULT, color="0.8", zorder=0)
        axes.annotate(f"default {DEFAULT}", (DEFAULT, 0.02), xytext=(4, 0), textcoords="offset points", color="0.4")
        axes.set(xlabel="weight of the vectors (0: words alone, 1: vectors alone)", ylabel="MRR@10", ylim=(0, 1.03))
        axes.set_title("Where the right passage comes, by the kind of question")
        axes.grid(axis="y", color="0.92")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.9))
        figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
