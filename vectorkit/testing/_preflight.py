"""What must hold before a test can say anything of a backend: if it does not, one failure says so, not a hundred."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NoReturn, get_args

import pytest

from vectorkit.errors import UnsupportedError
from vectorkit.protocol import OPTIONAL, VectorBackend
from vectorkit.types import Capabilities, CollectionSpec, Metric

__all__ = ["Preflight", "PreflightError", "make_and_drop", "protocol_problems"]


class PreflightError(Exception):
    """The factory, or what it opens, cannot be tested; no test is at fault.

    No `AssertionError`, so that a deviation, which expects a test to fail, does not expect this.
    """


def protocol_problems(backend: object) -> list[str]:
    """Return in what an object differs from the protocol: names, kinds and defaults of arguments, and properties.

    The optional methods are looked at too: whoever derives from `VectorBackend` has them all.
    """
    problems: list[str] = []
    capabilities: object = getattr(backend, "capabilities", None)
    for name, wanted in _METHODS.items():
        method = getattr(backend, name, None)
        if not callable(method):
            problems.append(f"it lacks the method {name}{_shown(wanted)}")
        elif inspect.iscoroutinefunction(method):
            problems.append(f"{name} is async; the protocol's methods are not")
        elif _arguments(method) != _arguments(wanted)[1:]:
            problems.append(f"{name}{_shown(method)} should take {_shown(wanted)}")
    title: object = getattr(backend, "name", None)
    if not isinstance(title, str) or not title:
        problems.append(f"its property name is {title!r}; it should be a str that is not empty")
    if not isinstance(capabilities, Capabilities):
        problems.append(
            f"its property capabilities is of type {type(capabilities).__name__}; it should be Capabilities"
        )
    else:
        problems += _contradictions(backend, capabilities)
    return problems


def make_and_drop(backend: VectorBackend) -> None:
    """Create the plainest collection there is, and drop it; a store on which this raises fails every test."""
    backend.create_collection(_plain(backend))
    backend.drop_collection("preflight")


def _plain(backend: VectorBackend) -> CollectionSpec:
    return CollectionSpec("preflight", backend.capabilities.metrics[0], 2, language="none")


def _contradictions(backend: object, capabilities: Capabilities) -> list[str]:
    """What is declared in another way than it should be, or is declared and not written."""
    problems: list[str] = []
    for field in fields(capabilities):
        value: object = getattr(capabilities, field.name)
        if field.name != "metrics" and not isinstance(value, bool):
            problems.append(f"capabilities.{field.name} is {value!r}; it should be a bool")
        if value is True:
            problems += [
                f"capabilities.{field.name} is True, but {name} is not written; declare False, or write it"
                for name in OPTIONAL.get(field.name, ())
                if getattr(type(backend), name, None) is getattr(VectorBackend, name)
            ]
    metrics: object = capabilities.metrics
    if type(metrics) is not tuple or not metrics or not set(metrics) <= set(_METRICS):
        problems.append(f"capabilities.metrics is {metrics!r}; it should be a tuple of {', '.join(_METRICS)}")
    return problems


def _arguments(method: Callable[..., Any]) -> list[tuple[str, object, object]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]


def _shown(method: Callable[..., Any]) -> str:
    arguments = [
        each.replace(annotation=inspect.Parameter.empty) for each in inspect.signature(method).parameters.values()
    ]
    return str(inspect.Signature([each for each in arguments if each.name != "self"]))


@dataclass(slots=True)
class Preflight:
    """What the tests of one class found out about their factory.

    Attributes:
        first: The first backend that was opened.
        problem: Why nothing can be tested. The test that found it fails; those after it are not run.
    """

    first: VectorBackend | None = None
    problem: str | None = None

    @classmethod
    def of(cls, test: pytest.Item) -> "Preflight":
        """The one of the class that a test belongs to."""
        suite = test.getparent(pytest.Class)
        assert suite is not None
        return suite.stash.setdefault(_KEY, cls())

    def factory(self, request: pytest.FixtureRequest) -> Callable[[], VectorBackend]:
        """Return what `make_backend` returns, watched: what it opens is looked at before a test sees it."""
        if self.problem is not None:
            pytest.skip("not run: the backend cannot be tested, see the PreflightError above")
        try:
            make = request.getfixturevalue("make_backend")
        except Exception as error:
            self._fail(f"the fixture make_backend raised {type(error).__name__}: {error}", error)
        if not callable(make):
            self._fail(
                f"the fixture make_backend returned {_named(make)}; it should return a function that opens a backend"
            )
        make_one: Callable[[], Any] = make
        opened: list[VectorBackend] = []

        def open_backend() -> VectorBackend:
            try:
                backend: VectorBackend = make_one()
            except Exception as error:
                self._fail(f"make_backend's function raised {type(error).__name__}: {error}", error)
            if self.first is None:
                if problems := protocol_problems(backend):
                    self._fail(f"{_named(backend)} does not implement the protocol: {'; '.join(problems)}")
            elif any(backend is other for other in (self.first, *opened)):
                self._fail(
                    f"make_backend's function returned {_named(backend)} that it had returned before; each call should "
                    "open one of its own, as the suite closes what it is given"
                )
            if not opened:
                self._check_empty(backend)
            if self.first is None:
                self._check_usable(backend)
                self._check_text_search(backend)
                self.first = backend
            opened.append(backend)
            return backend

        return open_backend

    def _check_empty(self, backend: VectorBackend) -> None:
        try:
            left = [info.name for info in backend.list_collections()]
        except Exception as error:
            self._fail(f"list_collections of {_named(backend)} raised {type(error).__name__}: {error}", error)
        if left:
            backend.close()
            self._fail(
                f"the store of a test should be empty, and this one holds {', '.join(map(repr, left[:5]))}, which "
                "was there before or which another test left; let make_backend open a store that belongs to one "
                "test alone (a path under tmp_path, a database or schema made for it)"
            )

    def _check_usable(self, backend: VectorBackend) -> None:
        try:
            make_and_drop(backend)
        except NotImplementedError:
            return  # an adapter that is being written, step by step: the tests of what it has can be run
        except Exception as error:
            backend.close()
            self._fail(
                f"the store cannot be used: making and dropping a collection raised {type(error).__name__}: {error}",
                error,
            )

    def _check_text_search(self, backend: VectorBackend) -> None:
        """Many tests depend on this capability; what contradicts another one fails a test or two."""
        declared = backend.capabilities.text_search
        try:
            backend.create_collection(replace(_plain(backend), text_index=True))
        except UnsupportedError:
            if declared:
                self._fail(
                    "capabilities.text_search is True, but create_collection with text_index=True raised "
                    "UnsupportedError; declare False, or make the text index"
                )
        except Exception:
            return  # a plain collection can be made: the tests of text search will say what is wrong
        else:
            backend.drop_collection("preflight")
            if not declared:
                self._fail(
                    "capabilities.text_search is False, but create_collection with text_index=True made a collection; "
                    "raise UnsupportedError, or declare True if text search works"
                )

    def _fail(self, problem: str, error: Exception | None = None) -> NoReturn:
        if error is not None and self.first is not None:
            raise error  # it has worked before: that test alone is affected
        self.problem = problem
        raise PreflightError(f"{problem}. Nothing else can be tested before that is mended.") from error


_METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
_METHODS: Final = {
    name: method for name, method in inspect.getmembers(VectorBackend, inspect.isfunction) if not name.startswith("_")
}

_KEY = pytest.StashKey[Preflight]()


def _named(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
