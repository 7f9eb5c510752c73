"""What is installed: three packages, their entry points, and an import that loads no client library."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import vectorkit

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ADAPTERS = sorted(path.parent.name for path in (ROOT / "backends").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


def test_every_package_is_in_the_wheel_with_its_type_marker(wheel_names: list[str]) -> None:
    assert ADAPTERS == ["vectorkit_chroma", "vectorkit_pgvector"]
    for package in ["vectorkit", *ADAPTERS]:
        assert f"{package}/__init__.py" in wheel_names
        assert f"{package}/py.typed" in wheel_names


def test_the_stop_words_and_their_licence_are_in_the_wheel(wheel_names: list[str]) -> None:
    lists = sorted(path.name for path in (ROOT / "vectorkit" / "stopwords").iterdir())
    assert "english.txt" in lists
    assert "README.md" in lists
    assert [f"vectorkit/stopwords/{name}" in wheel_names for name in lists] == [True] * len(lists)


def test_nothing_but_the_packages_is_in_the_wheel(wheel_names: list[str]) -> None:
    roots = {name.partition("/")[0] for name in wheel_names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"vectorkit", *ADAPTERS}


def test_installed_entry_points_equal_those_of_pyproject() -> None:
    declared = PYPROJECT["project"]["entry-points"]["vectorkit.backends"]
    installed = entry_points(group="vectorkit.backends")
    ours = {point.name: point.value for point in installed if point.dist and point.dist.name == "vectorkit-db"}
    assert ours == declared


def test_the_command_is_installed() -> None:
    installed = {point.name: point.value for point in entry_points(group="console_scripts")}
    assert PYPROJECT["project"]["scripts"].items() <= installed.items()


def test_the_core_imports_no_adapter_and_no_client_library() -> None:
    banned = {*ADAPTERS, "psycopg", "pgvector", "chromadb", "openai", "torch"}
    for path in (ROOT / "vectorkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert not banned & {name.partition(".")[0] for name in names}, path


def test_import_vectorkit_loads_no_client_library() -> None:
    code = "import sys, vectorkit as vk, vectorkit.embedders; vk.connect('memory:'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    banned = {"psycopg", "chromadb", "openai", "torch", "pytest", "sentence_transformers"}
    assert not banned & set(done.stdout.split())


def test_import_vectorkit_loads_not_even_numpy() -> None:
    """Time is no test's business (`make bench` measures it), but what would cost it can be named."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, vectorkit; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    assert "numpy" not in done.stdout.split()


def test_public_names_are_sorted_and_exist() -> None:
    assert vectorkit.__all__ == sorted(vectorkit.__all__)
    assert all(hasattr(vectorkit, name) for name in vectorkit.__all__)
