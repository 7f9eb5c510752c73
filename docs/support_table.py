"""`make support`: run the conformance suite on every backend here, and write the README's support table from it.

The runs' figures go to `docs/support.json`; the table in README.md is made of that file alone. `--render` only makes
the table again, `--check` says whether README.md holds it.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "support.json"
BEGIN = "<!-- The table of `make support`: -->\n"
END = "<!-- end of the table -->\n"

CAPABILITIES = {
    "atomic_writes": "a call of any size is all or nothing",
    "atomic_add": "`add` refuses an id that another process adds at that moment",
    "approximate_search": "index",
    "text_search": "text and hybrid search",
    "persistent": "survives the process",
    "multi_process": "many processes",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="make the table of the figures that are there")
    parser.add_argument("--check", action="store_true", help="exit with 1 if README.md does not hold that table")
    options = parser.parse_args()
    if not (options.render or options.check):
        FIGURES.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    before = README.read_text(encoding="utf-8")
    start, end = before.index(BEGIN) + len(BEGIN), before.index(END)
    after = before[:start] + table(json.loads(FIGURES.read_text(encoding="utf-8"))) + before[end:]
    if options.check:
        sys.exit(before != after and "README.md holds another table than docs/support.json; run `make support`")
    README.write_text(after, encoding="utf-8")


def measured() -> dict[str, Any]:
    """One report a backend, without what differs from run to run and from machine to machine."""
    with tempfile.TemporaryDirectory() as folder, chroma_server(Path(folder)) as server:
        reports = {
            label: report(url)
            for label, url in (
                ("memory:", "memory:"),
                ("chroma:", "chroma:"),
                ("chroma:PATH", f"chroma:{folder}/chroma"),
                ("chroma+http:", f"chroma+{server}"),
                ("postgresql:", f"postgresql+embedded:{folder}/postgres"),
            )
        }
    suite = sorted(test["test"] for test in reports["memory:"]["tests"])
    return {
        "tests": suite,
        "backends": {
            label: {
                "backend": found["backend"],
                "capabilities": found["capabilities"],
                "passed": sum(section["passed"] for section in found["sections"]),
                "failed": [test["test"] for test in found["tests"] if test["outcome"] in ("failed", "not run")],
                "deviations": {
                    test["test"]: test["message"] for test in found["tests"] if test["outcome"] == "deviation"
                },
            }
            for label, found in reports.items()
        },
    }


def report(url: str) -> dict[str, Any]:
    """What `vectorkit conformance` says of a URL."""
    print(f"{url.partition(':')[0]} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "vectorkit", "conformance", url, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def chroma_server(folder: Path) -> Generator[str]:
    """A `chroma run` on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    chroma = shutil.which("chroma", path=sysconfig.get_path("scripts"))
    if chroma is None:
        sys.exit("no chroma command; install chromadb")
    arguments = ["run", "--path", str(folder / "server"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([chroma, *arguments], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/api/v2/heartbeat", timeout=5).close()
                break
            except (URLError, OSError):
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def table(figures: dict[str, Any]) -> str:
    """The table, in Markdown."""
    columns = list(figures["backends"].values())
    count = len(figures["tests"])
    rows = [
        ["", *(f"`{label}`" for label in figures["backends"])],
        ["---"] * (len(columns) + 1),
        ["tested with", *(each["backend"] for each in columns)],
        [f"tests of the contract, {count} in all", *(f"{each['passed']} pass" for each in columns)],
        ["failures, deviations", *(f"{len(each['failed'])}, {len(each['deviations'])}" for each in columns)],
        *(
            [what, *("yes" if each["capabilities"][name] else "no" for each in columns)]
            for name, what in CAPABILITIES.items()
        ),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    main()
