"""Files as source and target of a copy: Parquet and JSON lines."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.backend.requests import Read
from vectorkit.transfer.files.file import FileSource, FileTarget
from vectorkit.transfer.files.parquet import arrow

KINDS = ["parquet", "jsonl"]
COUNT = 2300
IDENTITY = vk.EmbedderIdentity("test", "model", 5, query_prompt="query: ", revision="abc")
SPEC = vk.CollectionSpec(
    "docs", "l2", 5, embedder=IDENTITY, index=vk.HNSW(m=8), text_index=True, language="german", columns={"n": "int"}
)
METADATA: list[dict[str, Any]] = [
    {"n": 2**63 - 1, "least": -(2**63), "float": 1.0, "large": 1e16, "small": 5e-324, "tenth": 0.1},
    {"none": None, "true": True, "false": False, "": {"": [1, 1.0, "1", None, {"deep": [[]]}]}, "n": 1},
    {},
    {"text": "line\nbreak \u2028 \x1f \\ \" 'é 💩", "k\n": "\r\n", "empty": "", "list": [], "dict": {}},
]
METADATA[1]["x"] = METADATA[1].pop("")


def fill(backend: vk.VectorBackend, spec: vk.CollectionSpec = SPEC, count: int = COUNT) -> None:
    """Records of which each differs; ids that sort by code point in another order than by anything else."""
    random = np.random.default_rng(11)
    vectors = (random.normal(size=(count, spec.dimension)) * 10.0 ** random.integers(-9, 9, (count, 1))).astype("f4")
    vectors[0] = np.array([1.4e-45, 3e14, -0.0, 1 / 3, 16777217], dtype=np.float32)
    first = "aBé\U00010000\uff5e"
    ids = [f"{first[n % 5]}\n{n}" for n in range(count)]
    documents = [None if n % 7 == 0 else "" if n % 7 == 1 else f"text {n}\r\n\u2028é" for n in range(count)]
    metadatas = [{**METADATA[n % 4], "number": n} for n in range(count)]
    backend.add(backend.create_collection(spec), [vk.Batch(ids, documents, vectors, metadatas)])


@pytest.fixture(scope="module")
def source() -> Iterator[vk.VectorBackend]:
    backend = vk.MemoryBackend()
    fill(backend)
    yield backend
    backend.close()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file:{tmp_path / 'copy'}.{request.param}"


def test_a_round_trip_through_a_file_keeps_every_record_and_setting(source: vk.VectorBackend, url: str) -> None:
    """2.3, 2.5, 6.10 Bit by bit: any JSON with its types, integers of 64 bits, float32 from the smallest on."""
    out = vk.copy(source, url)
    assert out.complete
    assert out.collections[0].count == COUNT
    back = vk.MemoryBackend()
    vk.copy(url, back)
    assert back.open_collection("docs").spec == source.open_collection("docs").spec
    assert back.open_collection("docs").spec.embedder.revision == "abc"  # type: ignore[union-attr]
    infos = source.open_collection("docs"), back.open_collection("docs")
    ours, theirs = (
        each.get(info, Read(include_embeddings=True)) for each, info in zip((source, back), infos, strict=True)
    )
    assert ours == theirs
    assert repr([each.metadata for each in ours]) == repr([each.metadata for each in theirs])
    for mine, yours in zip(ours, theirs, strict=True):
        assert np.asarray(mine.embedding).tobytes() == np.asarray(yours.embedding).tobytes()
    assert list(Path(url[5:]).parent.iterdir()) == [Path(url[5:])]


def test_a_file_is_verified_record_by_record_and_the_report_says_that_it_is_not_searched(
    source: vk.VectorBackend, url: str
) -> None:
    vk.copy(source, url)
    for pair in ((source, url), (url, source), (url, url)):
        found = vk.verify(*pair)
        (check,) = found.collections
        assert found.agrees
        assert (check.compared, check.vector_error, check.searches) == (COUNT, 0.0, None)
        assert check.remarks == (f"not searched: {url} is no store, and answers no queries",)


def test_a_difference_between_a_store_and_a_file_is_found(source: vk.VectorBackend, url: str) -> None:
    vk.copy(source, url)
    other = vk.MemoryBackend()
    vk.copy(source, other)
    info = other.open_collection("docs")
    (record,) = other.get(info, Read(["B\n1"], include_embeddings=True))
    vector = np.asarray(record.embedding, dtype=np.float32)[None]
    other.upsert(info, [vk.Batch(["B\n1"], [record.document], vector, [{**record.metadata, "true": 1}])])
    (check,) = vk.verify(other, url).collections
    assert check.differences == {"metadata": 1}
    assert "metadata['true'] is 1 (int) in the source, True (bool) in the target" in check.first[0].text


def test_the_same_copy_again_writes_nothing_and_another_one_is_refused(source: vk.VectorBackend, url: str) -> None:
    vk.copy(source, url)
    path = Path(url[5:])
    before = path.read_bytes()
    again = vk.copy(source, url)
    assert (again.collections[0].written, again.collections[0].count) == (0, COUNT)
    for spec in (replace(SPEC, metric="cosine"), replace(SPEC, dimension=4, embedder=None)):
        other = vk.MemoryBackend()
        fill(other, replace(spec, dimension=5))
        if spec.dimension == 4:
            other = vk.MemoryBackend()
            info = other.create_collection(spec)
            other.add(info, [vk.Batch(["a"], [None], np.ones((1, 4), dtype=np.float32), [{}])])
        with pytest.raises(vk.CollectionMismatchError, match="with other settings"):
            vk.copy(other, url)
    renamed = vk.MemoryBackend()
    fill(renamed, replace(SPEC, name="other"), 3)
    with pytest.raises(vk.CollectionExistsError, match="holds collection 'docs'; give another path"):
        vk.copy(renamed, url)
    assert path.read_bytes() == before


def test_a_file_holds_one_collection_and_is_read_by_its_name(source: vk.VectorBackend, url: str) -> None:
    two = vk.MemoryBackend()
    for name in ("one", "two"):
        fill(two, replace(SPEC, name=name), 5)
    with pytest.raises(vk.CollectionExistsError, match="holds collection 'one'"):
        vk.copy(two, url)
    with pytest.raises(vk.CollectionNotFoundError, match="holds collection 'one', and no 'two'"):
        vk.verify(url, two, collections=["two"])
    assert vk.verify(url, two, collections=["one"]).agrees


def test_records_are_read_after_an_id_and_by_ids(source: vk.VectorBackend, url: str) -> None:
    vk.copy(source, url)
    info = source.open_collection("docs")
    ids = [record.id for record in source.get(info, Read())]
    file = FileSource(url)
    assert [record.id for batch in file.read("docs", after=ids[1499]) for record in batch] == ids[1500:]
    assert max(len(batch) for batch in file.read("docs", batch_size=70)) <= 70
    wanted = [ids[2000], "no such id", ids[3], ids[1000]]
    found = file.get("docs", wanted)
    assert [record.id for record in found] == [ids[2000], ids[3], ids[1000]]
    assert found == source.get(info, Read(wanted))


def test_a_copy_that_is_killed_leaves_no_file_and_the_next_one_is_whole(tmp_path: Path, url: str) -> None:
    program = (
        "import sys, vectorkit as vk, numpy as np\n"
        "b = vk.MemoryBackend(); i = b.create_collection(vk.CollectionSpec('docs', 'l2', 300))\n"
        "n = 6000; v = np.random.default_rng(1).normal(size=(n, 300)).astype('f4')\n"
        "b.add(i, [vk.Batch([f'{k:05}' for k in range(n)], [None] * n, v, [{}] * n)])\n"
        "vk.copy(b, sys.argv[1], progress=lambda at: print(at.done, flush=True))\n"
        "print('copied', flush=True)\n"
    )
    path, part = Path(url[5:]), Path(f"{url[5:]}.part")
    for done in ("1000", "3000", "6000"):
        with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.strip() == done:
                    child.send_signal(signal.SIGKILL)
                    break
        if path.exists():  # it was killed after the renaming
            break
        assert part.exists()
        assert list(tmp_path.iterdir()) == [part]
    subprocess.run([sys.executable, "-c", program, url], check=True, stdout=subprocess.DEVNULL)
    assert list(tmp_path.iterdir()) == [path]
    assert sum(len(batch) for batch in FileSource(url).read("docs")) == 6000


def test_a_copy_that_fails_leaves_nothing_behind(source: vk.VectorBackend, url: str) -> None:
    class Gone(vk.MemoryBackend):
        def scan(self, *given: Any, **named: Any) -> Iterator[list[vk.Record]]:
            yield next(super().scan(*given, **named))
            raise vk.BackendUnavailableError("the server is gone")

    gone = Gone()
    fill(gone)
    with pytest.raises(vk.BackendUnavailableError, match="the server is gone"):
        vk.copy(gone, url)
    assert list(Path(url[5:]).parent.iterdir()) == []
    assert vk.copy(source, url).complete


def test_a_source_that_is_changed_meanwhile_gives_no_file(url: str) -> None:
    source = vk.MemoryBackend()
    fill(source)
    info = source.open_collection("docs")

    def write_more(at: vk.CopyProgress) -> None:
        if at.done:  # then reading has begun
            source.upsert(info, [vk.Batch(["!"], [None], np.ones((1, 5), dtype=np.float32), [{}])])

    with pytest.raises(vk.BackendError, match="it was changed meanwhile; pause its writers"):
        vk.copy(source, url, progress=write_more)
    assert list(Path(url[5:]).parent.iterdir()) == []
    assert vk.copy(source, url).collections[0].count == COUNT + 1


def test_two_copies_into_one_file_at_once_are_kept_apart(url: str) -> None:
    first = FileTarget(url).begin(SPEC, "one")
    assert first is not None
    with pytest.raises(vk.BackendError, match="another copy is writing to"):
        FileTarget(url).begin(SPEC, "two")
    first.close()
    second = FileTarget(url).begin(SPEC, "two")
    assert second is not None
    second.finish()
    second.close()
    assert FileTarget(url).begin(SPEC, "two") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_and_a_folder_that_is_missing_are_typed_errors(
    source: vk.VectorBackend, tmp_path: Path, kind: str
) -> None:
    """8.2 What the system reports is the cause."""
    with pytest.raises(vk.BackendError, match="No such file or directory") as missing:
        vk.copy(source, f"file:{tmp_path}/none/copy.{kind}")
    assert isinstance(missing.value.__cause__, OSError)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(vk.BackendError, match="File too large"):
            vk.copy(source, f"file:{tmp_path}/copy.{kind}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Written and read by a process of its own, 8,000 records and 32,000."""
    program = (
        "import os, sys, vectorkit as vk, numpy as np\n"
        "from vectorkit.transfer.files.file import FileTarget, FileSource\n"
        "from pathlib import Path\n"
        "url, n = sys.argv[1], int(sys.argv[2])\n"
        "w = FileTarget(url).begin(vk.CollectionSpec('docs', 'l2', 32), 'test')\n"
        "for k in range(0, n, 1000):\n"
        "    v = np.random.default_rng(k).normal(size=(1000, 32)).astype('f4')\n"
        "    texts = [os.urandom(1000).hex() for _ in range(1000)]\n"
        "    w.write(vk.Batch([f'{i:06}' for i in range(k, k + 1000)], texts, v, [{}] * 1000))\n"
        "w.finish(); w.close()\n"
        "assert sum(len(batch) for batch in FileSource(url).read('docs')) == n\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    for kind in KINDS:
        sizes: list[int] = []
        for count in (8000, 32_000):
            given = [sys.executable, "-c", program, f"file:{tmp_path}/{count}.{kind}", str(count)]
            sizes.append(int(subprocess.run(given, check=True, capture_output=True, text=True).stdout))
        assert sizes[1] - sizes[0] < 16_000, f"{kind}: {sizes} kB; 24,000 such records are 48,000 kB and more"


OTHERS: list[dict[str, Any]] = [
    {"id": "b", "document": "text b", "embedding": [1.0, 2, 3], "metadata": {"n": 1}},
    {"id": "a", "embedding": [0.1, 0.2, 0.3]},
    {"id": "c", "document": None, "embedding": [1e-3, 0, 0], "metadata": None},
]


def lines_of(*records: object) -> str:
    return "\n".join(json.dumps(record) for record in records) + "\n"


def test_json_lines_that_others_wrote_are_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "their records.jsonl"
    path.write_text("\n" + lines_of(*OTHERS) + "\n")
    store = vk.MemoryBackend()
    report = vk.copy(f"file:{path}?metric=dot", store)
    assert report.collections[0].remarks[0].endswith("the metric is that of the URL, no embedder is known")
    info = store.open_collection("their-records")
    assert (info.spec.metric, info.spec.dimension, info.spec.embedder) == ("ip", 3, None)
    found = store.get(info, Read(include_embeddings=True))
    assert [(record.id, record.document, record.metadata) for record in found] == [
        ("a", None, {}),
        ("b", "text b", {"n": 1}),
        ("c", None, {}),
    ]
    assert [np.asarray(record.embedding).tolist() for record in found][1] == [1, 2, 3]
    check = vk.verify(f"file:{path}?metric=ip", store).collections[0]
    assert check.agrees
    assert check.compared == 3


def test_parquet_that_others_wrote_is_read_if_it_is_in_order(tmp_path: Path) -> None:
    rows = sorted(OTHERS, key=lambda row: str(row["id"]))
    pa = arrow()
    table = pa.table(
        {
            "id": [row["id"] for row in rows],
            "document": [row.get("document") for row in rows],
            "embedding": [row["embedding"] for row in rows],
            "metadata": pa.array([{"n": 1, "s": "x"}, {"n": 2, "s": None}, None]),
        }
    )
    path = tmp_path / "theirs.parquet"
    pa.parquet.write_table(table, path)
    store = vk.MemoryBackend()
    vk.copy(f"file:{path}?metric=l2", store)
    found = store.get(store.open_collection("theirs"), Read())
    assert [record.metadata for record in found] == [{"n": 1, "s": "x"}, {"n": 2, "s": None}, {}]
    assert FileSource(f"file:{path}?metric=l2").get("theirs", ["c", "a"])[0].id == "c"
    pa.parquet.write_table(table.sort_by([("id", "descending")]), path)
    with pytest.raises(vk.BackendError, match=r"'b' comes after 'c'; rows must be in ascending order.*sort_by\('id'\)"):
        vk.copy(f"file:{path}?metric=l2", vk.MemoryBackend())


def test_what_a_file_of_others_does_not_say_must_be_said(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text(lines_of(*OTHERS))
    with pytest.raises(vk.InvalidArgumentError, match=r"say it with file:.*theirs.jsonl\?metric=cosine"):
        vk.copy(f"file:{path}", vk.MemoryBackend())
    with pytest.raises(vk.CollectionExistsError, match="holds something else"):
        vk.copy(filled(), f"file:{path}")


def filled() -> vk.MemoryBackend:
    backend = vk.MemoryBackend()
    fill(backend, count=5)
    return backend


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{]", vk.BackendError, "line 1 is not JSON"),
        ("[1]", vk.BackendError, "line 1 must be a JSON object, got list"),
        (lines_of({"id": 7, "embedding": [1]}), vk.InvalidIdError, "line 1: the id must be a string, got 7"),
        (lines_of({"embedding": [1]}), vk.InvalidIdError, "line 1: the id must be a string, got None"),
        (lines_of({"id": "a", "document": 5, "embedding": [1]}), vk.BackendError, "document must be a string or null"),
        (lines_of({"id": "a", "metadata": {}, "embedding": [1]}) * 2, vk.DuplicateIdError, "line 2: 'a' stands in an"),
        (
            lines_of({"id": "a", "metadata": "x", "embedding": [1]}),
            vk.BackendError,
            "metadata must be an object or null",
        ),
        (lines_of({"id": "a", "embedding": ["x"]}), vk.BackendError, "must be a list of numbers, got one with 'x'"),
        (lines_of({"id": "a", "embedding": [[1]]}), vk.BackendError, r"must be a list of numbers, got one with \[1\]"),
        (lines_of({"id": "a", "embedding": [1]}, {"id": "b", "embedding": [1, 2]}), vk.DimensionMismatchError, "'b'"),
        (lines_of({"id": "a", "embedding": [1]}, {"id": "b"}), vk.InvalidVectorError, "'b' has no embedding"),
        (lines_of({"vectorkit": 2}), vk.CollectionMismatchError, "is written in version 2 of the layout"),
        (lines_of({"vectorkit": 1}), vk.BackendError, "the stored name was changed or damaged"),
    ],
)
def test_what_is_no_file_of_records_is_refused(
    tmp_path: Path, text: str, error: type[vk.VectorKitError], message: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(error, match=message):
        vk.copy(f"file:{path}?metric=l2", vk.MemoryBackend())


def test_a_file_that_was_changed_after_it_was_written_is_refused(source: vk.VectorBackend, tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    vk.copy(source, f"file:{path}")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], lines[7], lines[6], *lines[8:]]))
    with pytest.raises(vk.BackendError, match=r"line 7: .* comes after .* the file was changed"):
        vk.copy(f"file:{path}", vk.MemoryBackend())
    path.write_bytes(b"".join(lines)[:-30])
    with pytest.raises(vk.BackendError, match=r"line 2,301 is not JSON .* was the file cut off"):
        vk.copy(f"file:{path}", vk.MemoryBackend())
    parquet = tmp_path / "copy.parquet"
    vk.copy(source, f"file:{parquet}")
    whole = bytearray(parquet.read_bytes())
    whole[2000:3000] = bytes(1000)
    parquet.write_bytes(whole)
    with pytest.raises(vk.BackendError) as damaged:
        vk.copy(f"file:{parquet}", vk.MemoryBackend())
    assert str(damaged.value).startswith(f"file:{parquet}")
    parquet.write_bytes(whole[:-30])
    with pytest.raises(vk.BackendError, match="is no Parquet file"):
        vk.copy(f"file:{parquet}", vk.MemoryBackend())


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet", "none.csv", "none", "none.jsonl?index=none"])
def test_a_file_that_is_none_is_a_mistake(tmp_path: Path, name: str) -> None:
    with pytest.raises(vk.InvalidArgumentError, match=r"no file|a file is file:PATH.parquet or|the options of"):
        vk.verify(f"file:{tmp_path}/{name}", vk.MemoryBackend())
    with pytest.raises(vk.InvalidArgumentError, match="l2"):
        vk.verify(f"file:{tmp_path}/none.jsonl?metric=euclid", vk.MemoryBackend())


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path) -> None:
    """A fresh process in which pyarrow cannot be imported; JSON lines need nothing."""
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import vectorkit as vk\n"
        "b = vk.MemoryBackend(); b.create_collection(vk.CollectionSpec('docs', 'l2', 2))\n"
        "vk.copy(b, sys.argv[1] + '.jsonl')\n"
        "try: vk.copy(b, sys.argv[1] + '.parquet')\n"
        "except vk.MissingDependencyError as error: print(error)\n"
    )
    given = [sys.executable, "-c", program, f"file:{tmp_path}/copy"]
    said = subprocess.run(given, check=True, capture_output=True, text=True).stdout
    assert said == ("Parquet files need pyarrow: pip install 'vectorkit-db[parquet]'; or use file:PATH.jsonl\n")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.jsonl"]
