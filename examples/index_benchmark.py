"""What does a vector index bring? 10,000 vectors of 1,536 dimensions on a real PostgreSQL with pgvector.

Prints, and draws, how long a query takes and how much of the right answer it finds: without an index, with IVFFlat over
`probes`, with HNSW over `ef_search`. PostgreSQL is started for you, or is the one whose URL is given as the argument
(any store's will do). Takes a minute or two. Needs `pip install 'vectorkit-db[embedded,plot]'`;
`vectorkit bench URL` does the same with numbers of your own.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import vectorkit as vk
from vectorkit import benchmarking, plotting

FOLDER = Path(".vectorkit-bench")


def main() -> None:
    plotting.check()
    url = sys.argv[1] if len(sys.argv) > 1 else f"postgresql+embedded:{FOLDER / 'postgres'}"
    FOLDER.mkdir(exist_ok=True)
    with vk.connect(url) as store:
        found = benchmarking.run(store, count=10_000, dimension=1536, clustered=True, on_step=show_step)

    print(f"{found.backend}: {found.count:,} vectors of {found.dimension:,} dimensions, {found.queries} queries\n")
    for build in found.builds:
        took = "with the records" if build.seconds is None else f"in {build.seconds:.1f} s"
        takes = "" if build.bytes is None else f", {build.bytes / 1e6:.0f} MB"
        print(f"{build.index} {build.settings}: built {took}{takes}")
    print(f"\n{'index':<10}{'setting':<15}{'p50 ms':>9}{'p95 ms':>9}{'recall@10':>11}")
    for point in found.points:
        setting = "" if point.setting is None else f"{point.setting}={point.value}"
        print(f"{point.index:<10}{setting:<15}{point.p50:>9.2f}{point.p95:>9.2f}{point.recall:>11.4f}")
    for reason in found.left_out:
        print(f"left out: {reason}")

    figures, plot = FOLDER / "index_benchmark.json", FOLDER / "index_benchmark.png"
    figures.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    plotting.draw(found, plot)
    print(f"\nThe figures are in {figures}, the plot in {plot}.")


def show_step(what: str, done: int, total: int) -> None:
    print(f"\r  {what}, {done:,} of {total:,}".ljust(60), end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
