"""A comparison as one HTML page: no other file, no script, nothing from a network; for a browser, a phone, paper.

Everything that comes from a store or a user is escaped, and the page forbids scripts and requests besides.
"""

import json
from html import escape
from typing import TYPE_CHECKING, Final

from vectorkit.transfer.compare.page_style import STYLE
from vectorkit.visible import visible

if TYPE_CHECKING:
    from vectorkit.transfer.compare.report import Answer, Comparison, QueryComparison
    from vectorkit.types import Hit

__all__ = ["page"]

_EXCERPT: Final = 280
"""Characters of a document that are shown at once; the rest is folded away."""


def page(found: "Comparison") -> str:
    """The page, UTF-8 text."""
    differing = sum(not query.agrees for query in found.queries)
    count = len(found.queries)
    verdict = (
        f"The answers to {differing:,} of {count:,} queries differ."
        if differing
        else f"The answers to {'the query' if count == 1 else f'all {count:,} queries'} agree."
    )
    title = f"{found.collection}: {'answers differ' if differing else 'answers agree'}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_text(found.collection)}, asked in two stores</h1>
<p class="verdict">{_badge(not differing)} <span>{verdict}</span></p>
<dl class="sides">
<div><dt><b class="side">A</b></dt><dd>{_text(found.first)}</dd></div>
<div><dt><b class="side">B</b></dt><dd>{_text(found.second)}</dd></div>
</dl>
</header>
<main>
{_figures(found)}
{_overview(found)}
{"".join(_query(number, query, found) for number, query in enumerate(found.queries, 1))}
</main>
<footer><p>Made by <code>vectorkit compare</code>. Answers agree if they hold the same records with the same scores in
the same order; only records whose distances differ by less than a millionth, relative to the metric’s scale, may swap.
Times are those of the search alone, without embedding the query.</p></footer>
</body>
</html>
"""


def _figures(found: "Comparison") -> str:
    first, second = found.times
    asked = {"vector": "vectors", "text": "words", "hybrid": "vectors and words"}[found.mode]
    figures = (
        (f"{found.overlap:.1%}", f"of the first {found.k:,} hits are in both"),
        (f"{found.score_difference:.1e}" if found.score_difference else "0", "largest difference of two scores"),
        (f"{first.p50:.1f} ms", f"A, half of the searches; {first.p95:.1f} ms for 95 of 100"),
        (f"{second.p50:.1f} ms", f"B, half of the searches; {second.p95:.1f} ms for 95 of 100"),
    )
    cells = "".join(f"<div><dt>{label}</dt><dd>{figure}</dd></div>" for figure, label in figures)
    return f'<p class="how">Ranked by {asked}, metric {found.metric}.</p>\n<dl class="figures">{cells}</dl>'


def _overview(found: "Comparison") -> str:
    if len(found.queries) < 2:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><a href="#q{number}">{_text(_cut(query.query, 120))}</a></th>'
        f'<td>{_badge(query.agrees)}</td><td class="number">{query.overlap:.0%}</td>'
        f'<td class="number">{query.first.milliseconds:.1f}</td>'
        f'<td class="number">{query.second.milliseconds:.1f}</td></tr>'
        for number, query in enumerate(found.queries, 1)
    )
    return (
        '<section><h2>Queries</h2><table class="overview"><thead><tr><th scope="col">Query</th>'
        '<th scope="col">Answers</th>'
        '<th scope="col" class="number">In both</th><th scope="col" class="number">A, ms</th>'
        '<th scope="col" class="number">B, ms</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _query(number: int, query: "QueryComparison", found: "Comparison") -> str:
    where = "" if query.where is None else f"<p>where <code>{_text(_json(query.where))}</code></p>"
    said = "".join(f"<li>{_text(sentence)}</li>" for sentence in query.differences)
    sides = (("A", found.first, query.first, query.second), ("B", found.second, query.second, query.first))
    return f"""<section class="query" id="q{number}">
<h2 dir="auto">{_text(query.query)}</h2>
{where}<p>{_badge(query.agrees)} {query.overlap:.0%} of the hits are in both; scores differ by \
{query.score_difference:.1e} at the most.</p>
{f'<ul class="said">{said}</ul>' if said else ""}
<div class="answers">{"".join(_answer(*side) for side in sides)}</div>
</section>
"""


def _answer(side: str, label: str, answer: "Answer", other: "Answer") -> str:
    ranks = {hit.id: rank for rank, hit in enumerate(other.hits, 1)}
    rows = "".join(_row(rank, hit, ranks.get(hit.id), side) for rank, hit in enumerate(answer.hits, 1))
    return (
        f'<table><caption><b class="side">{side}</b> <span class="label">{_text(label)}</span> '
        f'<span class="time">· {answer.milliseconds:.1f} ms</span></caption>'
        '<thead><tr><th scope="col">Rank</th><th scope="col">Record</th><th scope="col">Score</th></tr></thead>'
        f"<tbody>{rows or _NOTHING}</tbody></table>"
    )


_NOTHING: Final = '<tr><td colspan="3">No record matches.</td></tr>'


def _row(rank: int, hit: "Hit", elsewhere: int | None, side: str) -> str:
    other = "B" if side == "A" else "A"
    note, kind = "", "same"
    if elsewhere is None:
        note, kind = f"not in {other}", "alone"
    elif elsewhere != rank:
        note, kind = f"rank {elsewhere} in {other}", "moved"
    marked = f' <span class="note">{note}</span>' if note else ""
    return (
        f'<tr class="{kind}"><td>{rank}</td><th scope="row"><span class="id">{_text(hit.id)}</span>{marked}'
        f"{_document(hit.document)}{_metadata(hit)}</th><td>{hit.score:.6f}</td></tr>"
    )


def _document(document: str | None) -> str:
    if document is None:
        return '<p class="document none">no document</p>'
    if len(document) <= _EXCERPT:
        return f'<p class="document" dir="auto">{_text(document)}</p>'
    return (
        f'<details><summary dir="auto">{_text(_cut(document, _EXCERPT))}</summary>'
        f'<p class="document" dir="auto">{_text(document)}</p></details>'
    )


def _metadata(hit: "Hit") -> str:
    return f'<p class="metadata"><code>{_text(_json(hit.metadata))}</code></p>' if hit.metadata else ""


def _badge(agrees: bool) -> str:
    return (
        '<strong class="badge agree">✓ agree</strong>' if agrees else '<strong class="badge differ">✗ differ</strong>'
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _text(text: str) -> str:
    return escape(visible(text))
