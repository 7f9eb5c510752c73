"""How a search was answered: it runs as it always does, on a session that has every statement explained as well."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from vectorkit.ranking import EXACT_LIMIT
from vectorkit.types import Explanation
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.search import vectors as vector_search
from vectorkit_pgvector.search.answers import Request
from vectorkit_pgvector.search.plan_cache import PlanCache
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql.tables import Statement, Table

__all__ = ["explain"]

T = TypeVar("T")


class _Step(NamedTuple):
    """One node of a plan: how deep it is, and what EXPLAIN says of it."""

    depth: int
    node: Mapping[str, Any]

    @property
    def loops(self) -> float:
        return float(self.node.get("Actual Loops", 0))

    @property
    def looked_at(self) -> int:
        """Rows that a scan gave, or looked at and left out."""
        if "Scan" not in self.node["Node Type"] or "Plans" in self.node or "CTE Name" in self.node:
            return 0
        names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        return round(sum(float(self.node.get(name, 0)) for name in names) * self.loops)

    def __str__(self) -> str:
        node = self.node
        place = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name") or ""
        happened = (
            f"{round(float(node['Actual Rows']) * self.loops):,} rows, {node['Actual Total Time']:.2f} ms"
            if self.loops
            else "never executed"
        )
        return f"{'  ' * self.depth}{node['Node Type']}{f' on {place}' if place else ''}: {happened}"


class _ExplainingSession(Session):
    """A session that keeps what EXPLAIN says of every statement with a query vector."""

    def __init__(self, session: Session, table: Table) -> None:
        super().__init__(session.connection, joins=session.joins)
        self._query = f"$1::{table.vector}"
        self.statements: list[str] = []
        self.plans: list[Mapping[str, Any]] = []

    def each(self, statements: Sequence[Statement], take: Callable[[int, list[tuple[Any, ...]]], T]) -> list[T]:
        return [take(at, self.rows(statement)) for at, statement in enumerate(statements)]

    def rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        self._note(statement)
        return super().rows(statement)

    def stream(self, statement: Statement) -> Generator[tuple[Any, ...]]:
        self._note(statement)
        return super().stream(statement)

    def _note(self, statement: Statement) -> None:
        if self._query not in statement.text:  # a look at what to expect, on the way to an answer
            return
        explained = Statement(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", statement.parameters, prepare=False)
        (((plan,),),) = super().rows(explained)
        self.statements.append(statement.text)
        self.plans.append(plan)


def explain(session: Session, table: Table, request: Request, settings: Mapping[str, str]) -> Explanation:
    """See `VectorBackend.explain`; under the settings given."""
    explaining = _ExplainingSession(session, table)
    (ranking,) = vector_search.search(explaining, table, [request], PlanCache())
    steps = [step for plan in explaining.plans for step in _steps(plan["Plan"], 0)]
    built = dict(session.rows(index_sql.existing(table)))
    names = {name.rpartition(".")[2].strip('"') for name in built}
    scanned = (step.node.get("Index Name") for step in steps if step.loops)
    used = next((name for name in scanned if name in names), None)
    return Explanation(
        sql=";\n".join(explaining.statements),
        index=used,
        exact=ranking.exact,
        reason=_reason(
            table,
            request,
            used=used is not None,
            exact=ranking.exact,
            usable=any(built.values()),
            compared=len(explaining.statements) > 1,
        ),
        rows_scanned=sum(step.looked_at for step in steps),
        settings=dict(settings),
        milliseconds=sum(plan["Planning Time"] + plan["Execution Time"] for plan in explaining.plans),
        plan="\n".join(map(str, steps)),
    )


def _steps(node: Mapping[str, Any], depth: int) -> Iterator[_Step]:
    yield _Step(depth, node)
    for child in node.get("Plans", ()):
        yield from _steps(child, depth + 1)


def _reason(table: Table, request: Request, *, used: bool, exact: bool, usable: bool, compared: bool) -> str:
    spec = table.spec
    if request.exact is True:
        return "exact=True asks to compare with every record that matches"
    if spec.index is None:
        return "the collection has no index; create_index() makes one"
    if index_sql.representation(spec) is None:
        return f"pgvector has no index for {spec.dimension:,} dimensions under {spec.metric!r}"
    if not index_sql.serves(table):
        version = ".".join(map(str, table.facts.version))
        return f"pgvector {version} cannot go on scanning an index until there are k rows; 0.8 can"
    if used and exact:
        return "it gave fewer records than were asked for, so all that match were compared"
    if used:
        return "exact=False asks for it" if request.exact is False else f"more than {EXACT_LIMIT:,} records match"
    if exact and compared and request.exact is None:
        return "comparing all that match was expected to take less time than the index"
    if exact and request.exact is None:
        return f"at most {EXACT_LIMIT:,} records match, and all of them were compared"
    if not usable:
        return (
            f"it is not built: that takes {index_sql.enough(spec.index):,} records and a write by the table's owner, "
            "or create_index()"
        )
    return "PostgreSQL expected it to take longer than to find what matches and sort it"
