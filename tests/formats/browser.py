"""A real browser that looks at pages and says what it measured; no driver, only Chromium's own command line."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium here: the Debian package is chromium"
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1600,1200",
    "--virtual-time-budget=20000",
)

# Each document is in a frame of its own. What is seen of a text is where its glyphs are, whatever was computed.
_CHECKER = """
const near = 0.75;
const area = (node) => node.getBoundingClientRect();
const within = (a, b) => a.left >= b.left - near && a.right <= b.right + near
  && a.top >= b.top - near && a.bottom <= b.bottom + near;
const meets = (a, b) => a.left < b.right - near && b.left < a.right - near
  && a.top < b.bottom - near && b.top < a.bottom - near;
const pairs = (nodes) => {
  const areas = nodes.map(area), found = [];
  for (let i = 0; i < nodes.length; i++)
    for (let j = i + 1; j < nodes.length; j++)
      if (meets(areas[i], areas[j])) found.push([nodes[i].textContent, nodes[j].textContent]);
  return found;
};
const look = (page) => {
  const all = (selector) => [...page.querySelectorAll(selector)];
  const found = {texts: all("svg text").length, boxes: all("g.placed").length, cut: [], over: [], spilled: [], ran: []};
  for (const svg of all("svg")) {
    const texts = [...svg.querySelectorAll("text")];
    for (const node of [...texts, ...svg.querySelectorAll("rect,line")])
      if (!within(area(node), area(svg))) found.cut.push(node.textContent || node.tagName);
    found.over.push(...pairs(texts));
    found.over.push(...pairs([...svg.querySelectorAll("g.placed > rect")]));
    for (const box of svg.querySelectorAll("g.placed"))
      for (const text of box.querySelectorAll("text"))
        if (!within(area(text), area(box.querySelector("rect")))) found.spilled.push(text.textContent);
  }
  const room = page.documentElement.clientWidth;
  for (const node of all("code, h1, h2, p, span, .signed, .more"))
    if (!node.closest(".scroll, figure") && area(node).right > room + near) found.cut.push(node.textContent);
  found.wider = all("figure svg").filter((node) => area(node).right > room + near).length;
  found.scrolls = page.documentElement.scrollWidth > room;
  found.ran = all("script, iframe, object, img, image, foreignObject, link").map((node) => node.tagName);
  found.ground = page.defaultView.getComputedStyle(all("rect.page")[0] || page.body)
    [all("rect.page").length ? "fill" : "backgroundColor"];
  return found;
};
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) found[frame.name] = look(frame.contentDocument);
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


def chromium() -> str | None:
    """Return the browser's program, None if there is none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


def measured(documents: Mapping[str, str], folder: Path, *, wide: int = 1600, dark: bool = False) -> dict[str, Any]:
    """Return what the browser sees of each document in a window that is ``wide`` pixels wide."""
    style = f"border:0;width:{wide}px;height:900px"
    frames = "".join(
        f'<iframe name="{name}" style="{style}" srcdoc="{html.escape(_whole(text))}"></iframe>'
        for name, text in documents.items()
    )
    page = folder / "checker.html"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>{frames}<script>{_CHECKER}</script>',
        encoding="utf-8",
    )
    dumped = _run(folder, "--dump-dom", f"--blink-settings=preferredColorScheme={0 if dark else 1}", page.as_uri())
    found = re.search(r'<pre id="found">(.+?)</pre>', dumped, re.DOTALL)
    assert found, f"the page was not measured: {dumped[:500]}"
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


def _whole(text: str) -> str:
    """Return a page; a drawing is put into one, at its own size."""
    return f"<!DOCTYPE html><body style='margin:0'>{text}" if text.startswith("<svg") else text


def _run(folder: Path, *words: str) -> str:
    program = chromium()
    assert program, MISSING
    argv = [program, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout
