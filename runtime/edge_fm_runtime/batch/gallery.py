"""Write a page of all labelled images: thumbnails by label and confidence, in one offline file.

Thumbnails are inside the page, as small JPEGs; the browser makes an image only for those on the screen.
Nothing is fetched from anywhere. File names and labels come from strangers: they are data in the page, never
markup.
"""

import base64
import contextlib
import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_fm_runtime.batch.inputs.locators import Opener, from_text
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.atomic import atomic, sweep
from edge_fm_runtime.batch.outputs.lock import OutputLock
from edge_fm_runtime.batch.outputs.rows import Row
from edge_fm_runtime.errors import InputError, OutputError, SourceError
from edge_fm_runtime.image import guard
from edge_fm_runtime.image.decoding import decode
from edge_fm_runtime.image.header import ImageFormat
from edge_fm_runtime.image.opencv import cv2

SIDE = 72
"""Longer side of a thumbnail in pixels."""

_QUALITY = 70
_FILL = 255
_OVERSAMPLED = 3 * SIDE


def write(table: Path, output: Path, listener: Callable[[int, int], None]) -> int:
    """Write the page; return the number of images on it.

    Args:
        table: what `edge-fm label` wrote.
        output: the `.html` file.
        listener: called with progress.

    Raises:
        SourceError: the table cannot be read, or has no rows.
        OutputError: the page cannot be written.
    """
    if not output.parent.is_dir():
        raise OutputError(
            f"the folder {output.parent} does not exist: make it first, or choose another output with -o"
        )
    if not output.name or output.is_dir():
        raise OutputError(f"{str(output)!r} is a folder, expected the name of a file to write")
    rows = list(files.read(table))
    if output.exists() and output.samefile(table):
        raise OutputError(f"{output} is the table itself: choose another output with -o")
    if not rows:
        raise SourceError(f"{table} has no rows: label a folder first, edge-fm label FOLDER -o {table}")
    before, after = _PAGE.replace("$TITLE", html.escape(table.name)).split("$DATA")
    with OutputLock(output):
        sweep(output)
        # One opener for all: it keeps an archive open for its next members.
        with (
            contextlib.closing(Opener(guard.DEFAULT_LIMITS)) as opener,
            atomic(output) as temporary,
            temporary.open("w", encoding="utf-8") as page,
        ):
            page.write(before)
            for number, row in enumerate(rows):
                page.write(("," if number else "") + _embedded(_entry(row, opener)))
                listener(number + 1, len(rows))
            page.write(after)
    return len(rows)


def _entry(row: Row, opener: Opener) -> list[str | float]:
    label, confidence = row.ranking[0] if row.ranking else ("", "0")
    return [
        row.path,
        str(row.status),
        label,
        float(confidence),
        row.error,
        _thumbnail(row, opener) if row.ranking else "",
    ]


def _embedded(entry: list[str | float]) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    return (
        json.dumps(entry, ensure_ascii=True)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )


def _thumbnail(row: Row, opener: Opener) -> str:
    """Return a thumbnail as a base64 JPEG; empty if the image is gone."""
    for locator in _candidates(row.path):
        try:
            data = opener.open(locator).read()
            header = guard.check(data)
        except InputError:
            continue
        reduction = next((r for r in (8, 4, 2) if max(header.width, header.height) >= r * _OVERSAMPLED), 1)
        try:
            image = decode(data, header, 3, _FILL, reduction if header.format is ImageFormat.JPEG else 1)
        except InputError:
            continue
        scale = SIDE / max(image.shape[:2])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        return base64.b64encode(encoded.tobytes()).decode()
    return ""


def _candidates(text: str) -> Iterator[str]:
    """Yield the locators that a row's path can name: a file, or a member of an archive."""
    locator = from_text(text)
    yield locator
    for suffix in (".zip/", ".tar/"):
        head, found, member = locator.partition(suffix)
        if found:
            yield f"{head}{found[:-1]}\0{member}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$TITLE - edge-fm gallery</title>
<style>
:root { color-scheme: light dark; --ink: #222; --quiet: #666; --paper: #fafafa; --tile: #fff; --line: #ddd; --accent: #1769aa; --warn: #b35900 }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --quiet: #aaa; --paper: #161616; --tile: #222; --line: #383838; --accent: #7cc0ff; --warn: #ffb066 } }
* { box-sizing: border-box }
body { margin: 0; font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
header { position: sticky; top: 0; z-index: 1; padding: 10px 16px; background: var(--paper); border-bottom: 1px solid var(--line) }
h1 { font-size: 16px; margin: 0 0 8px }
nav { display: flex; flex-wrap: wrap; gap: 6px; align-items: center }
button, input, select { font: inherit; color: inherit; background: var(--tile); border: 1px solid var(--line); border-radius: 6px; padding: 3px 9px }
button { cursor: pointer } button[aria-pressed=true] { border-color: var(--accent); color: var(--accent) }
input { min-width: 160px }
#count { color: var(--quiet); margin-left: auto }
main { position: relative; margin: 12px 16px }
figure { position: absolute; width: 104px; height: 128px; margin: 0; padding: 6px; background: var(--tile); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; text-align: center }
figure img, figure .none { width: 72px; height: 72px; object-fit: contain; display: block; margin: 0 auto 4px; image-rendering: auto }
figure .none { line-height: 72px; color: var(--warn); font-size: 11px }
figcaption { font-size: 11px; line-height: 1.3; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.unknown { color: var(--warn) } small { color: var(--quiet); display: block; overflow: hidden; text-overflow: ellipsis }
</style>
</head>
<body>
<header><h1>$TITLE</h1><nav id="bar"></nav></header>
<main id="grid"></main>
<script type="application/json" id="data">[$DATA]</script>
<script>
"use strict";
const all = JSON.parse(document.getElementById("data").textContent);
const grid = document.getElementById("grid"), bar = document.getElementById("bar");
const W = 112, H = 136;
let label = null, order = "sure", text = "", shown = [], tiles = new Map(), columns = 1;
function make(kind, parent, content) { const e = document.createElement(kind); if (content !== undefined) e.textContent = content; if (parent) parent.append(e); return e; }
function group(row) { return row[1] === "ok" ? row[2] : row[1]; }
const counts = new Map();
for (const row of all) counts.set(group(row), (counts.get(group(row)) || 0) + 1);
const names = [...counts.keys()].sort();
function button(name, count) {
  const b = make("button", bar, `${name === null ? "all" : name} ${count}`);
  b.onclick = () => { label = name; choose(); };
  b.dataset.name = name === null ? "" : name; b.dataset.all = name === null;
}
button(null, all.length);
for (const name of names) button(name, counts.get(name));
const sort = make("select", bar); sort.setAttribute("aria-label", "order");
for (const [value, title] of [["sure", "surest first"], ["unsure", "least sure first"], ["path", "by path"]]) make("option", sort, title).value = value;
sort.onchange = () => { order = sort.value; choose(); };
const find = make("input", bar); find.type = "search"; find.placeholder = "part of a path"; find.setAttribute("aria-label", "part of a path");
find.oninput = () => { text = find.value.toLowerCase(); choose(); };
const count = make("span", bar); count.id = "count";
function choose() {
  shown = all.filter(r => (label === null || group(r) === label) && (!text || r[0].toLowerCase().includes(text)));
  if (order !== "path") shown.sort((a, b) => order === "sure" ? b[3] - a[3] : a[3] - b[3]);
  for (const b of bar.querySelectorAll("button")) b.setAttribute("aria-pressed", label === null ? b.dataset.all === "true" : b.dataset.name === label && b.dataset.all !== "true");
  count.textContent = `${shown.length} pictures`;
  for (const tile of tiles.values()) tile.remove();
  tiles.clear(); window.scrollTo(0, 0); place();
}
function tile(row) {
  const f = make("figure"); f.title = row[4] ? `${row[0]}\\n${row[4]}` : row[0];
  if (row[5]) { const i = make("img", f); i.alt = ""; i.src = "data:image/jpeg;base64," + row[5]; }
  else { const n = make("div", f, row[1]); n.className = "none"; }
  const c = make("figcaption", f, row[2] ? `${row[2]} ${(row[3] * 100).toFixed(0)}%` : row[1]);
  if (row[1] === "unknown") c.className = "unknown";
  make("small", c, row[0].split("/").pop());
  return f;
}
function place() {
  columns = Math.max(1, Math.floor(grid.clientWidth / W));
  grid.style.height = Math.ceil(shown.length / columns) * H + "px";
  const top = window.scrollY - grid.offsetTop;
  const first = Math.max(0, Math.floor(top / H) - 3) * columns;
  const last = Math.min(shown.length, (Math.ceil((top + window.innerHeight) / H) + 3) * columns);
  for (const [at, t] of tiles) if (at < first || at >= last) { t.remove(); tiles.delete(at); }
  for (let at = first; at < last; at++) {
    let t = tiles.get(at);
    if (!t) { t = tile(shown[at]); tiles.set(at, t); grid.append(t); }
    t.style.transform = `translate(${(at % columns) * W}px, ${Math.floor(at / columns) * H}px)`;
  }
}
addEventListener("scroll", () => requestAnimationFrame(place), {passive: true});
addEventListener("resize", () => requestAnimationFrame(place));
choose();
</script>
</body>
</html>
"""
