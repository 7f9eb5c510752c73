"""Write two files of records of 384 dimensions, verify one with the other, and print the process's largest memory.

python verifying.py PATH.parquet 20000
"""

import json
import sys
from pathlib import Path

import numpy as np
from streaming import megabytes

import vectorkit as vk
from vectorkit.transfer.files.file import FileTarget


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    spec = vk.CollectionSpec("docs", "cosine", 384)
    urls = [f"file:{path}", f"file:{path.with_stem(path.stem + '-again')}"]
    for url in urls:
        writing = FileTarget(url).begin(spec, "benchmark")
        assert writing is not None
        random = np.random.default_rng(1)
        for start in range(0, count, 1000):
            ids = [f"id-{n:07}" for n in range(start, start + 1000)]
            vectors = random.normal(size=(1000, 384)).astype(np.float32)
            writing.write(vk.Batch(ids, [f"document {id}" for id in ids], vectors, [{"id": id} for id in ids]))
        writing.finish()
        writing.close()
    found = vk.verify(*urls)
    assert found.agrees
    assert found.collections[0].compared == count
    print(json.dumps(megabytes()))


if __name__ == "__main__":
    main()
