"""How modules are kept in folders, and which of them know each other: read from their imports, also those for types."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "vectorkit_pgvector": ROOT / "backends" / "vectorkit_pgvector",
    "vectorkit_chroma": ROOT / "backends" / "vectorkit_chroma",
    "vectorkit.transfer": ROOT / "vectorkit" / "transfer",
}
LARGEST_FOLDER = 16


def modules(package: str) -> dict[str, Path]:
    folder = FOLDERS[package]
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in folder.rglob("*.py")
    }


def imported(path: Path) -> Iterator[str]:
    """Every name that may be a module: `from a import b` may mean `a`, or `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(package: str) -> dict[str, set[str]]:
    """Which modules of a package each of them imports; a package itself counts only where it has more than its name."""
    known = modules(package)
    return {
        name: {other for other in imported(path) if other in known and other != name} for name, path in known.items()
    }


@pytest.mark.parametrize("package", FOLDERS)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    try:
        TopologicalSorter(graph(package)).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", FOLDERS)
def test_no_folder_holds_more_modules_than_one_can_survey(package: str) -> None:
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in modules(package).values()}}
    assert {str(folder): size for folder, size in sizes.items() if size > LARGEST_FOLDER} == {}


def test_the_sql_is_made_apart_from_what_sends_it() -> None:
    """Nothing that makes SQL imports a connection, by whatever way."""
    known = graph("vectorkit_pgvector")
    reached = {name for name in known if name.startswith("vectorkit_pgvector.sql")}
    while further := {other for name in reached for other in known[name]} - reached:
        reached |= further
    assert [name for name in sorted(reached) if name.startswith("vectorkit_pgvector.connections")] == []
