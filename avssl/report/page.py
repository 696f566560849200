"""One static HTML page from plain pieces. Everything that is not a :class:`Markup` is escaped, narration above all."""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from retrieval.files import replacing

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf7; --card: #ffffff; --ink: #1c1d21; --soft: #6a6d76; --line: #e2dfd8;
  --accent: #0b6e7f; --second: #b4541a; --third: #6a4fb3; --good: #0b6e7f1f; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --card: #1c1f25; --ink: #e8e6e1; --soft: #9a9da6;
  --line: #30343c; --accent: #5cc4d6; --second: #f0a06a; --third: #b09df0; --good: #5cc4d626; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0 .9rem; max-width: 46rem; }
.soft, figcaption, th { color: var(--soft); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; }
.row { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .75rem; margin: .5rem 0 1.5rem; }
@media (max-width: 48rem) { .row { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
figure.query { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
figure.right { background: var(--good); }
figure video, figure img { display: block; width: 100%; height: auto; background: #000; }
figure video { aspect-ratio: 1; object-fit: contain; cursor: pointer; }
figure:has(> video:not([controls])) { position: relative; }
figure:has(> video:not([controls]))::before { content: "\\25B6"; position: absolute; top: .4rem; left: .4rem;
  z-index: 1; width: 1.6rem; height: 1.6rem; border-radius: 50%; background: #000a; color: #fff; font-size: .7rem;
  line-height: 1.6rem; text-align: center; pointer-events: none; }
.filters { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.filters img { padding: .75rem; background: #fff; image-rendering: pixelated; }
.alike { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 5fr) minmax(0, 5fr); gap: 1rem;
  margin: .5rem 0; }
.five { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .35rem; }
.alike img { aspect-ratio: 1; object-fit: contain; }
.alike figure { border-width: 3px; }
.alike figure.right { border-color: var(--second); background: none; }
.alike figcaption { padding: .2rem .3rem .3rem; font-size: .7rem; }
.alike .words { padding: .2rem; font-size: .7rem; overflow-wrap: anywhere; }
@media (max-width: 48rem) { .alike { grid-template-columns: 1fr; gap: .35rem; margin-bottom: 1.25rem; }
  .alike > figure { width: 30%; } .alike:has(> b) { display: none; }
  .five::before { content: attr(data-of); grid-column: 1 / -1; color: var(--soft); font-size: .8rem; } }
figure svg { display: block; width: 100%; height: auto; padding: .5rem; }
figcaption { padding: .45rem .6rem .55rem; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
.words { display: grid; place-items: center; aspect-ratio: 1; padding: .75rem; text-align: center; font-size: 1.05rem; }
.words audio { width: 100%; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 4fr); align-items: center; background: #fff; }
@media (max-width: 48rem) { .pair { grid-template-columns: 1fr; } }
.pair video { aspect-ratio: auto; }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--soft); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem; overflow-x: auto; font-size: .8rem; }
.strip { margin: .75rem 0 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { padding: .3rem .75rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
td small { color: var(--soft); }
td:first-child small { white-space: normal; display: inline-block; max-width: 22rem; line-height: 1.3; }
td.best { color: var(--accent); font-weight: 650; }
code { font: .9em ui-monospace, monospace; }
.plot text { fill: var(--soft); font: 10px system-ui, sans-serif; }
.plot .title { fill: var(--ink); font-size: 12px; font-weight: 600; }
.plot .axis { stroke: var(--line); stroke-width: 1; }
.plot path { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.c0 { stroke: var(--accent); } .c1 { stroke: var(--second); } .c2 { stroke: var(--third); }
"""


class Markup(str):
    """Text that is HTML already; any other string is escaped where it is put."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Any value as HTML text; markup stays what it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def tag(name: str, /, *inside: object, **attributes: object) -> Markup:
    """An element; ``klass`` is its class, an attribute that is True stands alone and one that is None is left out."""
    words = [name]
    for key, value in attributes.items():
        key = "class" if key == "klass" else key.replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(str(value))}"')
    opening = f"<{' '.join(words)}>"
    if name in ("img", "meta", "br"):
        return Markup(opening)
    return Markup(opening + "".join(escape(part) for part in inside) + f"</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(escape(part) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], best: int | None = None) -> Markup:
    """A table whose first column is names; ``best`` is the index of the column to bring out."""
    body = [
        tag("tr", *(tag("td", cell, klass="best" if index == best else None) for index, cell in enumerate(row)))
        for row in rows
    ]
    top = tag("thead", tag("tr", *(tag("th", cell) for cell in head)))
    return tag("div", tag("table", top, tag("tbody", *body)), klass="scroll")


def section(title: str, *inside: object) -> Markup:
    """A heading and what stands under it."""
    return tag("section", tag("h2", title), *inside)


def page(title: str, lead: object, *sections: object, style: str = "", script: str = "") -> str:
    """The whole file: nothing is loaded from anywhere, and no script runs but the one given, if any."""
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    policy += f"; script-src '{fingerprint(script)}'" if script else ""
    head = join([
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Should markup ever slip in, it can load and run nothing.
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", title),
        tag("style", Markup(STYLE + style)),
    ])  # fmt: skip
    runs = tag("script", Markup(script)) if script else ""
    body = join([tag("main", tag("header", tag("h1", title), lead), *sections), runs])
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body), lang="en") + "\n"


def fingerprint(script: str) -> str:
    """What the page's policy names a script by, so that it runs this one and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write(path: Path, text: str) -> None:
    """Put the page on disk, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
