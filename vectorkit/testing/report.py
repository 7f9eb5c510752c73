"""Running the conformance suite on a URL, without a test file, and what came out of it.

The suite is run by pytest, in this process, apart from any configuration and plugins of the project around it.
"""

import os
import platform
import re
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, Literal, TypeAlias

import pytest

from vectorkit.errors import InvalidArgumentError, VectorKitError
from vectorkit.protocol import VectorBackend
from vectorkit.registry import open_backend
from vectorkit.testing._examples import EXAMPLES_VARIABLE
from vectorkit.testing._preflight import make_and_drop, protocol_problems
from vectorkit.types import Capabilities

__all__ = ["NAME", "SECTIONS", "URL", "Outcome", "Report", "Result", "Section", "run"]

URL = pytest.StashKey[str]()
"""Where the URL is, in the stash of pytest's configuration."""

NAME = pytest.StashKey[str]()
"""Where the backend's name is, of one that was used: it may then know the version of its server."""

SECTIONS: Final[Mapping[int, str]] = {
    1: "Collections",
    2: "Records",
    3: "Writing",
    4: "Reading",
    5: "Filters",
    6: "Search",
    7: "Text and hybrid search",
    8: "Errors",
    9: "What a backend may differ in",
}
"""The sections of the contract."""

Outcome: TypeAlias = Literal["passed", "failed", "deviation", "not run"]
"""A deviation is a test that was said to fail, and did; not run is what a failed preflight made pointless."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test.

    Attributes:
        test: Its name, with its case in brackets if it has several.
        rule: The first rule of the contract that it proves, such as `"5.10"`.
        proves: What it proves, in a sentence.
        outcome: What became of it.
        seconds: How long it took, opening and closing its stores included.
        message: Why it failed or deviates; else empty.
    """

    test: str
    rule: str
    proves: str
    outcome: Outcome
    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The results of one section of the contract, counted."""

    number: int
    title: str
    passed: int
    failed: int
    deviations: int
    not_run: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What the suite found out about one backend.

    Attributes:
        backend: The backend's own name, such as `"chroma 1.5.9 on disk"`.
        scheme: The scheme of its URL; the rest of it may hold a password.
        capabilities: What it declares.
        versions: Of Python, vectorkit and the packages that ran the suite, by name.
        results: One a test, in the order of the contract's rules.
    """

    backend: str
    scheme: str
    capabilities: Capabilities
    versions: Mapping[str, str]
    results: list[Result] = field(default_factory=list[Result])

    @property
    def conforms(self) -> bool:
        """Whether every test passed, or deviates as it was said to, and none was left out."""
        outcomes = {result.outcome for result in self.results}
        return bool(outcomes) and outcomes <= {"passed", "deviation"}

    @property
    def failures(self) -> list[Result]:
        """The results that failed."""
        return [result for result in self.results if result.outcome == "failed"]

    @property
    def sections(self) -> list[Section]:
        """One a section of the contract."""

        def section(number: int, title: str) -> Section:
            own = [result for result in self.results if result.rule.partition(".")[0] == str(number)]
            count = {each: sum(result.outcome == each for result in own) for each in _OUTCOMES}
            return Section(
                number=number,
                title=title,
                passed=count["passed"],
                failed=count["failed"],
                deviations=count["deviation"],
                not_run=count["not run"],
                seconds=sum(result.seconds for result in own),
            )

        return [section(number, title) for number, title in SECTIONS.items()]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "conforms": self.conforms,
            "backend": self.backend,
            "scheme": self.scheme,
            "capabilities": asdict(self.capabilities),
            "versions": dict(self.versions),
            "seconds": round(sum(result.seconds for result in self.results), 3),
            "sections": [{**asdict(section), "seconds": round(section.seconds, 3)} for section in self.sections],
            "tests": [{**asdict(result), "seconds": round(result.seconds, 3)} for result in self.results],
        }


def run(
    url: str,
    *,
    deviations: Mapping[str, str] | None = None,
    examples: int | None = None,
    on_result: Callable[[Result, int], None] | None = None,
) -> Report:
    """Run the conformance suite on the store of a URL.

    Args:
        url: Of a store that is empty and that nothing else uses meanwhile: each test makes collections in it, and
            all are dropped.
        deviations: Tests that the backend is known to fail, by name, each with the reason and a link.
        examples: How many examples each property test generates; None for the usual, few number.
        on_result: Called after each test, with its result and the number of tests there are.

    Raises:
        InvalidArgumentError: The URL is malformed, the store holds collections already, or `deviations` names a test
            that is not there.
        MissingDependencyError: The backend's client library is not installed.
        BackendError: The store cannot be opened, or no collection can be made in it.
        VectorKitError: pytest itself failed.
        KeyboardInterrupt: The run was interrupted; what it had made is dropped.
    """
    backend = open_backend(url)
    try:
        held = [info.name for info in backend.list_collections()]
        capabilities = backend.capabilities
        if not held:
            _try_out(backend)
    finally:
        backend.close()
    if held:
        raise InvalidArgumentError(
            f"the store holds {len(held):,} collection(s) already ({', '.join(map(repr, held[:5]))}), and the suite "
            "would drop them; give it an empty store of its own (a new path, database or schema)"
        )
    recorder = _Recorder(url, deviations or {}, on_result)
    with TemporaryDirectory() as folder, _settings(folder, examples), _heeding_interrupts(recorder):
        status = pytest.main([str(Path(__file__).with_name("_by_url.py")), *_alone(folder)], plugins=[recorder])
    if recorder.unknown:
        raise InvalidArgumentError(f"deviations names {', '.join(recorder.unknown)}: no such test in the suite")
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise VectorKitError(f"the suite could not be run: pytest ended with {status!r}; its output is above")
    return Report(
        backend=recorder.backend,
        scheme=url.partition(":")[0],
        capabilities=capabilities,
        versions={
            "python": platform.python_version(),
            **{each: version(each) for each in ("vectorkit-db", "numpy", "pytest", "hypothesis")},
        },
        results=sorted(recorder.results, key=lambda result: [int(part) for part in result.rule.split(".")]),
    )


def _try_out(backend: VectorBackend) -> None:
    """Raise what makes the store unusable, such as an extension that its server lacks; a bug is left to the suite."""
    if protocol_problems(backend):
        return
    try:
        make_and_drop(backend)
    except VectorKitError:
        raise
    except Exception:
        return  # no error of ours: the backend itself is wrong, and the suite says so in its report


_OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "failed", "deviation", "not run")


def _alone(folder: str) -> list[str]:
    """Arguments of pytest: no configuration, no plugins, no output, nothing written."""
    return [
        *("-c", os.devnull, "--rootdir", folder, "--noconftest", "--import-mode=importlib"),
        *("-p", "no:terminal", "-p", "no:cacheprovider"),
    ]


@contextmanager
def _settings(folder: str, examples: int | None) -> Generator[None]:
    """Environment variables of the run."""
    wanted = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": None,
        "HYPOTHESIS_STORAGE_DIRECTORY": folder,
        EXAMPLES_VARIABLE: os.environ.get(EXAMPLES_VARIABLE) if examples is None else str(examples),
    }
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _heeding_interrupts(recorder: "_Recorder") -> Generator[None]:
    """Note Ctrl-C: what is raised while garbage is collected, which Hypothesis watches, would otherwise be lost."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> object:
        recorder.interrupted = True
        return before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Recorder:
    """A plugin of pytest that gives the suite its URL and deviations, and notes what becomes of each test."""

    def __init__(
        self, url: str, deviations: Mapping[str, str], on_result: Callable[[Result, int], None] | None
    ) -> None:
        self.results: list[Result] = []
        self.unknown: list[str] = []
        self.backend = url.partition(":")[0]
        self.interrupted = False
        self._url = url
        self._deviations = deviations
        self._on_result = on_result
        self._total = 0
        self._running: Result | None = None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark the deviations, once the tests are known."""
        from vectorkit.testing.suite import deviation, unknown_tests

        config.stash[URL] = self._url
        self._total = len(items)
        self.unknown = unknown_tests(self._deviations)
        if self.unknown:
            items.clear()
        for item in items:
            if mark := deviation(item.name, self._deviations):
                item.add_marker(mark)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Note what the backend calls itself."""
        self.backend = session.config.stash.get(NAME, self.backend)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note one test."""
        said = re.match(r"(\d+\.\d+)[\d., ]*(.*)", (getattr(item, "obj", None).__doc__ or "").partition("\n")[0])
        assert said is not None, f"{item.name} cites no rule"
        self._running = Result(item.name, said[1], said[2], "passed", 0.0)
        done = yield
        self.results.append(self._running)
        if self._on_result is not None:
            self._on_result(self._running, self._total)
        if self.interrupted:
            raise KeyboardInterrupt
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of a test: its set-up, itself, or its end."""
        assert self._running is not None
        seconds = self._running.seconds + report.duration
        outcome: Outcome = self._running.outcome
        message = self._running.message
        if report.failed:
            outcome, message = "failed", _message(report)
        elif report.skipped and outcome == "passed":
            reason = getattr(report, "wasxfail", None)
            outcome, message = ("not run", "") if reason is None else ("deviation", reason)
        self._running = replace(self._running, outcome=outcome, seconds=seconds, message=message)


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, str):  # a deviation that passes
        return f"it passes, and is listed as a deviation: {report.longrepr.removeprefix('[XPASS(strict)] ')}"
    crash = getattr(report.longrepr, "reprcrash", None)
    said = report.longreprtext if crash is None else f"{crash.message}\n({Path(crash.path).name}:{crash.lineno})"
    return said.strip()
