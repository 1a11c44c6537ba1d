"""Makes the pictures of the README again, in docs/pictures: a preview as a terminal shows it, and a plan drawn.

    python examples/pictures.py          writes them
    python examples/pictures.py --check  says whether they are as they would be written

It needs neither root nor a namespace: the plan is made from the facts and the result in examples/pod, which are those
of a pod that the CNI plugin "bridge" made.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from executor.templates import load_templates  # noqa: E402  the checkout is on the path only now
from planner.cni.result import parse_result  # noqa: E402
from planner.facts.model import NamespaceFacts  # noqa: E402
from planner.formats.ansi import COLOURED  # noqa: E402
from planner.formats.markup import Element, element  # noqa: E402
from planner.formats.picture.palette import MONO  # noqa: E402
from planner.formats.svg import render_svg  # noqa: E402
from planner.formats.text import render_text  # noqa: E402
from planner.options import PlanOptions  # noqa: E402
from planner.plan.plan import Plan  # noqa: E402
from planner.planning import make_plan  # noqa: E402
from planner.text.codec import from_json  # noqa: E402
from planner.text.document import load_json  # noqa: E402
from planner.text.values import NetnsPath, PlanId  # noqa: E402

POD = ROOT / "examples" / "pod"
PICTURES = ROOT / "docs" / "pictures"
PROMPT = "\x1b[2m$\x1b[0m podwire plan --result result.json --netns pod1"

WIDTH, HEIGHT, PAD = 7.8, 19.0, 24.0  # a character's cell, and the room around all of them
CLASSES = {"1": "strong", "2": "faint", "31": "removed", "32": "added", "33": "changed", "0": ""}
STYLE = (
    f"text{{font:13px {MONO};fill:#dde3ea;white-space:pre}}.screen{{fill:#14191f}}.strong{{font-weight:700;fill:#fff}}"
    ".faint{fill:#919ca8}.added{fill:#56d077}.removed{fill:#ff8078}.changed{fill:#e3b04b}"
)


def example_plan() -> Plan:
    """Return the plan of the example's pod; what podwire chooses at random is the same each time."""
    return make_plan(
        parse_result((POD / "result.json").read_bytes()),
        from_json(NamespaceFacts, load_json((POD / "facts.json").read_bytes(), "facts")),
        plan_id=PlanId("pod1"),
        netns=NetnsPath("/run/netns/pod1"),
        options=PlanOptions(),
        random=random.Random(1),  # noqa: S311  a picture, not a namespace
        templates=load_templates(),
    )


def terminal(text: str) -> str:
    """Return coloured text as a terminal shows it, drawn: each run of characters on its cells, whatever the font."""
    lines = text.rstrip("\n").split("\n")
    columns = max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in lines)
    across, high = columns * WIDTH + 2 * PAD, len(lines) * HEIGHT + 2 * PAD
    drawn = [run for row, line in enumerate(lines) for run in _runs(line, PAD + (row + 0.75) * HEIGHT)]
    svg = element(
        "svg",
        element("title", "podwire plan: the preview on a terminal"),
        element("style", STYLE),
        element("rect", class_="screen", width=across, height=high, rx=10),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {across:.0f} {high:.0f}",
        width=f"{across:.0f}",
        height=f"{high:.0f}",
        role="img",
    )
    return f"{svg}\n"


def _runs(line: str, y: float) -> Iterator[Element]:
    """Yield the runs of one line that have one style (ECMA-48, "Select Graphic Rendition")."""
    column, kind = 0, ""
    for code, words in re.findall(r"\x1b\[(\d+)m|((?:(?!\x1b\[).)+)", line):
        if code:
            kind = CLASSES[code]
            continue
        for found in re.finditer(r"\S+(?: \S+)*", words):
            x, long = PAD + (column + found.start()) * WIDTH, len(found[0]) * WIDTH
            yield element(
                "text", found[0], class_=kind or None, x=x, y=y, textLength=long, lengthAdjust="spacingAndGlyphs"
            )
        column += len(words)


def pictures() -> dict[str, str]:
    """Return the pictures by the names of their files."""
    plan = example_plan()
    return {
        "preview.svg": terminal(f"{PROMPT}\n{render_text(plan, style=COLOURED)}"),
        "plan.svg": render_svg(plan),
        "teardown.svg": render_svg(plan.reverse()),
    }


def main(words: list[str]) -> int:
    """Write the pictures, or with --check say which are not as they would be written."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, text in pictures().items():
        file = PICTURES / name
        if words == ["--check"]:
            stale += [name] if not file.exists() or file.read_text(encoding="utf-8") != text else []
        else:
            file.write_text(text, encoding="utf-8")
            print(file.relative_to(ROOT))
    if stale:
        print(f"not as podwire draws them now: {', '.join(stale)}; run python examples/pictures.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
