"""How ./dev docs makes a site of README and docs/, with Sphinx and MyST: the very pages that the repository shows.

The source is the whole checkout, so that links are the same there and here. A link or an anchor that leads nowhere is a
warning, and warnings are errors.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "podwire"
author = "The podwire authors"
copyright = "the podwire authors, Apache-2.0"  # noqa: A001 -- Sphinx's own word
release = re.findall(r'__version__ = "(.+)"', (ROOT / "executor/version.py").read_text())[0]

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".venv", "build", "dist", "tests"]
myst_heading_anchors = 3
smartquotes = False  # "--version" is an option, and no dash

html_theme = "furo"
html_title = f"podwire {release}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["site"]
html_css_files = ["podwire.css"]
pygments_style = "default"
pygments_dark_style = "github-dark"
highlight_language = "none"

# The way through the site, in the order in which somebody needs it.
CONTENTS = {
    "Using podwire": (
        "getting-started",
        "install",
        "guests",
        "kubernetes",
        "agent",
        "firecracker",
        "sriov",
        "review",
        "coming-from",
    ),
    "Looking things up": ("command-line", "troubleshooting", "situations", "reliability", "glossary"),
    "Understanding it": ("how-it-works", "kernel", "performance", "decisions/README"),
}
DECISIONS = sorted(path.stem for path in (ROOT / "docs/decisions").glob("*.md") if path.stem != "README")


def contents(caption: str, pages: tuple[str, ...] | list[str]) -> str:
    """Return a table of contents that is only in the menu: the repository's own pages have none."""
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def add_contents(_app: Sphinx, name: str, source: list[str]) -> None:
    """Add to README and to the list of decisions what belongs below them."""
    if name == root_doc:
        source[0] += "".join(
            contents(caption, [f"docs/{page}" for page in pages]) for caption, pages in CONTENTS.items()
        )
        source[0] += contents("The project", ["CONTRIBUTING", "SECURITY", "CHANGELOG"])
    elif name == "docs/decisions/README":
        source[0] += contents("", DECISIONS)


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Let the first page be found by the name that servers look for."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Register what this site does beyond Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("build-finished", add_index)
