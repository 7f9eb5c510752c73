"""Add records of 384 dimensions from a generator, and print the process's largest memory so far after some of them.

python streaming.py URL 50000 100000 200000
"""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import vectorkit as vk


def megabytes() -> float:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, whose `ru_maxrss` begins with that of the process which started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    url, *steps = sys.argv[1:]
    counts = [int(step) for step in steps]
    sizes: dict[int, float] = {}

    def records() -> Iterator[vk.Record]:
        random = np.random.default_rng(1)
        for number in range(counts[-1]):
            if number in counts:
                sizes[number] = megabytes()
            vector = random.normal(size=384).astype(np.float32)
            yield vk.Record(f"id-{number:07}", f"document {number}", vector, {"number": number, "topic": "t"})

    with vk.connect(url) as store:
        store.create_collection("streamed", dimension=384, index="none").add(records=records())
        sizes[counts[-1]] = megabytes()
        store.drop_collection("streamed")
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
