"""What README and docs show is what podwire prints: every `console` block is run, line by line.

A line `…` in a block matches any lines. `PODWIRE_DOCS_UPDATE=1 ./dev test tests/cli/test_docs.py` puts what is
really printed in the place of what is shown, so that a page shows one plan; the result is to be reviewed.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import frozen

from executor.cli.parser import options_of
from executor.cni.conf import OWN_KEYS
from executor.version import __version__
from tests.support import Namespace, run
from tests.support.cli import Cli
from tests.support.pods import Pod, plain
from tests.support.preloaded import ROOT

UPDATE = bool(os.environ.get("PODWIRE_DOCS_UPDATE"))
EVERY_PAGE = sorted(
    str(path.relative_to(ROOT)) for folder in ("", "docs", "docs/decisions") for path in (ROOT / folder).glob("*.md")
)
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"(?<=^```python\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
PAGES = [page for page in EVERY_PAGE if BLOCK.search((ROOT / page).read_text())]

# What differs from run to run, and how it is written for comparing.
RANDOM = {
    r"\b02(:[0-9a-f]{2}){5}\b": "02:xx:xx:xx:xx:xx",
    r"\bgroup \d+": "group N",
    r"\bin \d+ ms\b": "in N ms",
    r" +\d+\.\d ms\b": " N ms",
    r"\d{4}-\d\d-\d\d": "2026-01-31",
    r"\d\d:\d\d:\d\d(\.\d+)?": "12:00:00",
    r"\bprocess \d+\b": "process N",
    r'("time"|"applied_at"|"duration_ms"|"observed_at"): [\d.]+': r"\1: 0",
    r"\b[0-9a-f]{64}\b": "SHA-256",
}


@frozen
class Session:
    """A shell on a host with one pod, `pod1`, whose CNI result is in `result.json`."""

    cli: Cli
    pod: Pod

    def run(self, line: str) -> str:
        """Run a line as somebody would type it; return what is seen."""
        programs = self.cli.folder / "bin"
        if not programs.exists():
            programs.mkdir()
            podwire = programs / "podwire"
            podwire.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m executor "$@"\n')
            podwire.chmod(0o755)
        environment = self.cli.environment | {"PATH": f"{programs}:{os.environ['PATH']}"}
        through = ["sh", "-c", f'cd "{self.cli.folder}" && exec sh -c "$1" 2>&1', "sh", line]
        return run(through, env=environment, check=False).out


@pytest.fixture
def session(cli: Cli) -> Iterator[Session]:
    """Make the host and the pod; bridged frames don't pass iptables there, as on a host without br_netfilter."""
    with ExitStack() as stack:
        host, inside = (Namespace.create(name) for name in ("node", "pod1"))
        for namespace in (host, inside):
            stack.callback(namespace.delete)
        pod = plain(host, inside)
        inside.run("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 >$f; done")
        cli.result_of(pod)
        yield Session(cli, pod)


def parts(block: str) -> list[tuple[str, str]]:
    """Return each command of a block with the output below it."""
    found = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert found[0] == "", f"a console block begins with a command, not with {found[0]!r}"
    return [(command, output) for command, _, output in (part.partition("\n") for part in found[1:])]


def comparable(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, replacement in RANDOM.items():
        text = re.sub(pattern, replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def matches(shown: str, printed: str) -> bool:
    """Tell whether what a page shows is what was printed."""
    first, *others = (piece.strip("\n") for piece in re.split(rf"^{ANYTHING}$", comparable(shown), flags=re.MULTILINE))
    text = comparable(printed).strip("\n")
    if not others:
        return text == first
    at = len(first)
    for piece in others[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return text.startswith(first) and text.endswith(others[-1]) and at + len(others[-1]) <= len(text)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_is_printed(session: Session, page: str) -> None:
    """In the order in which it is there: a page is one session."""
    path = ROOT / page
    wrong: list[str] = []

    def check(found: re.Match[str]) -> str:
        block = []
        for command, shown in parts(found[0]):
            printed = session.run(command)
            differs = not matches(shown.rstrip("\n"), printed.rstrip("\n"))
            if differs:
                wrong.append(f"$ {command}\n{printed}\ninstead of\n{shown}")
            if differs or (UPDATE and ANYTHING not in shown):  # all of it, so that a page shows one plan
                shown = printed  # noqa: PLW2901 -- what the page should show
            block.append(f"$ {command}\n{shown}")
        return "".join(block)

    text = path.read_text()
    updated = BLOCK.sub(check, text)
    if UPDATE:
        path.write_text(updated)
    assert not wrong, "\n".join(wrong)


def test_the_readme_s_library_example_works(session: Session) -> None:
    """It plans, prints and applies; the command line rolls it back."""
    code = PYTHON.findall((ROOT / "README.md").read_text())
    assert len(code) == 1
    path = session.cli.file("example.py", code[0].replace("/var/lib/podwire", str(session.cli.state_dir)))
    printed = session.run(f"{sys.executable} {path}")
    assert "+ tap0" in printed
    assert printed.endswith("pod1 wired\n")
    assert session.cli.json("list")[0]["state"] == "wired"
    session.cli.ok("teardown", "pod1", "--yes")


def commands_of(cli: Cli) -> set[str]:
    """Return the commands that --help lists."""
    return set(re.findall(r"^    ([a-z]+)(?=  +\S|$)", cli.ok("--help"), re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md"])
def test_every_command_is_described(cli: Cli, page: str) -> None:
    """Those that --help lists, and no others."""
    listed = commands_of(cli)
    text = (ROOT / page).read_text()
    pattern = r"^## podwire ([a-z]+)$" if page.startswith("docs") else r"^\| `podwire ([a-z]+)"
    assert set(re.findall(pattern, text, re.MULTILINE)) == listed


def test_every_option_is_described(cli: Cli) -> None:
    """In the section of its command; those that all have are in one of their own."""
    text = (ROOT / "docs/command-line.md").read_text()
    sections = dict(re.findall(r"^## (?:podwire )?(.+?)$\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    common = set(re.findall(r"^\| `(-[-\w]+)", sections["Options of every command"], re.MULTILINE))
    for command in commands_of(cli):
        options = set(re.findall(r"^  (?:-\w(?: \S+)?, )?(--[-\w]+)", cli.ok(command, "--help"), re.MULTILINE))
        described = set(re.findall(r"`(--[-\w]+)", sections[command])) | common
        assert options <= described, f"{command}: {', '.join(sorted(options - described))}"


LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]*)#?([^)]*)\)")
FENCED = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return what a page's headings are called in a link, as GitHub and ./dev docs make it."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_links_lead_somewhere(page: str) -> None:
    """Those inside the repository: to a file that is there, and to a heading of it."""
    path = ROOT / page
    wrong = []
    for target, anchor in LINK.findall(FENCED.sub("", path.read_text())):
        found = path.parent / target if target else path
        if "://" not in target and (not found.exists() or (anchor and anchor not in anchors(found))):
            wrong.append((target, anchor))
    assert not wrong


def test_every_page_has_its_place_in_the_site() -> None:
    """What docs/conf.py names is there, and all that is there is named."""
    contents = re.findall(r"^CONTENTS = \{$.*?^\}$", (ROOT / "docs/conf.py").read_text(), re.MULTILINE | re.DOTALL)[0]
    named = re.findall(r'"([a-z/-]+|decisions/README)"', contents.replace(": (", ":\n("))
    assert {*named} == {"decisions/README", *(path.stem for path in (ROOT / "docs").glob("*.md"))}


def test_the_map_of_files_is_true() -> None:
    """What CONTRIBUTING.md names is there; it names every module, by its file or by a folder, and every test folder."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    mapped = text.partition("## Where things go")[2].partition("\n## ")[0]
    named = {word: (ROOT / word).exists() for word in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", mapped)}
    assert all(named.values()), [word for word, there in named.items() if not there]
    rows = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.+?) \|", mapped, re.MULTILINE))))
    folders = tuple(word for word in rows if word.endswith("/"))
    modules = {str(path.relative_to(ROOT)) for top in ("planner", "executor") for path in ROOT.glob(f"{top}/**/*.py")}
    modules = {module for module in modules if not module.endswith("/__init__.py")}
    missing = [module for module in modules if module not in rows and not module.startswith(folders)]
    assert not missing, sorted(missing)
    tests = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("tests/*/test_*.py")}
    assert tests <= set(folders), sorted(tests - set(folders))


def test_every_key_of_the_plugin_is_explained() -> None:
    """In the table of docs/kubernetes.md, and no other."""
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (ROOT / "docs/kubernetes.md").read_text(), re.MULTILINE)
    assert {key for row in table for key in re.findall(r"\w+", row)} == set(OWN_KEYS)


def sentences() -> str:
    """Return every text of the source, each on a line, with `…` for what is filled in; constants are put in."""
    found = []
    for path in (path for top in ("planner", "executor") for path in sorted((ROOT / top).rglob("*.py"))):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
                found.append(
                    "".join(
                        str(
                            part.value if isinstance(part, ast.Constant) else constants.get(ast.unparse(part), ANYTHING)
                        )
                        for part in parts
                    )
                )
    return "\n".join(found)


def test_the_messages_of_troubleshooting_are_those_that_there_are() -> None:
    """Each piece between two `…` is in a sentence of the source."""
    rows = re.findall(r"^\| (.*?) \| .* \| .* \|$", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    source = sentences()
    quoted = [words for row in rows for words in re.findall(r"`([^`]+)`", row)]
    messages = [words for words in quoted if ANYTHING in words or ": " in words]  # the others are commands
    assert len(messages) > 30
    missing = [piece for message in messages for piece in message.split(ANYTHING) if piece.strip() not in source]
    assert not missing


def test_pages_say_nothing_of_this_machine() -> None:
    """No path of it, no host of a registry."""
    for page in EVERY_PAGE:
        text = (ROOT / page).read_text()
        for word in (str(ROOT), "/work/", "../shared", "pypi.org", "/root/"):
            assert word not in text, (page, word)


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_command_of_dev_that_a_page_names_exists(page: str) -> None:
    """In its usage, from where people have it."""
    usage = run([str(ROOT / "dev"), "--help"]).out
    for command in re.findall(r"\./dev ([a-z]+)", (ROOT / page).read_text()):
        assert re.search(rf"^  {command} ", usage, re.MULTILINE), command


def examples(page: str) -> list[str]:
    """Return the lines of a page's indented blocks that call podwire, and are not run."""
    lines = re.findall(r"^    (podwire .*)$", BLOCK.sub("", (ROOT / page).read_text()), re.MULTILINE)
    return [re.sub(r"  +# .*| [|>&].*| --$|\\\\$| -- .*", "", line) for line in lines]


@pytest.mark.parametrize("page", [page for page in EVERY_PAGE if examples(page)])
def test_examples_that_are_not_run_are_spelt_as_podwire_is(page: str) -> None:
    """They want a cluster, a card or a VMM; their commands and options are those that there are."""
    for line in examples(page):
        command, *words = shlex.split(line)[1:]
        if not command.startswith("-"):
            options = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert options <= {*options_of(command)}, line


NAMED = re.compile(r"podwire[:_ -]v?(\d+\.\d+\.\d+)|^(?:appV|v)ersion: \"?(\d+\.\d+\.\d+)", re.MULTILINE)


def test_the_version_is_that_of_the_one_place() -> None:
    """executor/version.py has it; whatever else names a version of podwire names this one."""
    found = [ROOT / "README.md", *(path for folder in ("deploy", "docs") for path in (ROOT / folder).rglob("*.*"))]
    files = [path for path in found if path.is_file() and path.parent.name != "__pycache__"]
    named = {(file, one or other) for file in files for one, other in NAMED.findall(file.read_text())}
    assert len(named) > 3
    assert {version for _, version in named} == {__version__}, named
