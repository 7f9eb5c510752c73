"""How the page of a comparison looks: light or dark as the reader's system is, and narrow enough for a phone."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1f24; --quiet: #59636e; --line: #d5dae0; --shade: #f4f6f8; --link: #0b57d0;
  --good: #116329; --good-shade: #dafbe1; --bad: #a40e26; --bad-shade: #ffebe9;
  --moved: #7d4e00; --moved-shade: #fff8dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --ink: #e6eaef; --quiet: #9da7b3; --line: #333b45; --shade: #1b2129; --link: #8ab4f8;
    --good: #6fdd8b; --good-shade: #12361f; --bad: #ff9492; --bad-shade: #4b1519;
    --moved: #eac54f; --moved-shade: #3b2e0a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 .5rem; }
p { margin: .25rem 0; }
a { color: var(--link); }
code { font: .85em/1.4 ui-monospace, monospace; }
.verdict { font-size: 1.1rem; }
.badge {
  display: inline-block; padding: 0 .5em; border-radius: 1em; border: 1px solid currentColor; font-size: .85em;
  white-space: nowrap;
}
.agree { color: var(--good); background: var(--good-shade); }
.differ { color: var(--bad); background: var(--bad-shade); }
.side {
  display: inline-block; min-width: 1.5em; text-align: center; border-radius: .3em; background: var(--ink);
  color: var(--paper);
}
dl { margin: 1rem 0; }
dd { margin: 0; }
.sides div { display: flex; gap: .6rem; margin: .25rem 0; }
.how { color: var(--quiet); margin-top: 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; }
.figures div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .6rem .8rem; border-radius: .5rem;
  background: var(--shade);
}
.figures dt { color: var(--quiet); font-size: .85rem; line-height: 1.35; }
.figures dd { font-size: 1.35rem; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .5rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
th[scope=row] { font-weight: normal; }
thead th { color: var(--quiet); font-size: .8rem; font-weight: 600; border-top: 0; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
td:last-child, th:last-child, .overview .number { text-align: right; }
section { margin-top: 2rem; }
.query { padding-top: 1.25rem; border-top: 2px solid var(--line); }
.query > h2 { white-space: pre-wrap; }
.said { margin: .5rem 0; padding-left: 1.2rem; color: var(--bad); }
.answers { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; margin-top: .75rem; align-items: start; }
.answers table { table-layout: fixed; }
.answers thead th:first-child { width: 3.6rem; }
.answers thead th:last-child { width: 6rem; }
.answers td[colspan] { text-align: left; color: var(--quiet); }
caption { text-align: left; padding-bottom: .25rem; }
.label, .time { color: var(--quiet); font-size: .9rem; }
.time { white-space: nowrap; }
.id { font-weight: 600; }
.document { white-space: pre-wrap; }
.document, .metadata, summary { font-size: .9rem; line-height: 1.4; }
.metadata, .none { color: var(--quiet); }
summary { cursor: pointer; }
details[open] > summary { color: var(--quiet); }
.note { display: inline-block; padding: 0 .5em; border-radius: 1em; font-size: .8rem; border: 1px solid currentColor; }
.alone .note { color: var(--bad); background: var(--bad-shade); }
.moved .note { color: var(--moved); background: var(--moved-shade); }
footer { margin-top: 3rem; color: var(--quiet); font-size: .85rem; }
@media (max-width: 48rem) {
  .answers { grid-template-columns: minmax(0, 1fr); }
  .overview th, .overview td { padding-inline: .3rem; }
}
@media print {
  .answers table tr, .figures div { break-inside: avoid; }
}
"""
