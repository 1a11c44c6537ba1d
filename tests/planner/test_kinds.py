"""A kind of resource is one record: what it does not say is noticed when it is defined, not when a user comes by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import planner
from planner.kinds import SELDOM
from planner.kinds.kind import Kind, kinds, readers, register
from planner.kinds.link_attributes import MAC, Mac

REQUIRED = [field.name for field in attrs.fields(Kind) if field.default is attrs.NOTHING]
SOURCES = sorted(Path(planner.__file__).parent.glob("**/*.py"))


def answers() -> dict[str, object]:
    """Return what a kind says, by the example of a MAC's."""
    return {field.name: getattr(MAC, field.name) for field in attrs.fields(Kind)}


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_answer_fails_when_the_kind_is_defined(missing: str) -> None:
    """Whichever it is."""
    said = {name: value for name, value in answers().items() if name != missing}
    with pytest.raises(TypeError, match=missing):
        Kind(**said)  # type: ignore[arg-type]


def test_there_is_one_kind_of_a_name() -> None:
    """A second one would make stored plans mean something else."""
    with pytest.raises(ValueError, match="there is a kind mac already"):
        register(MAC)


def test_a_kind_is_called_in_documents_as_its_resource_is() -> None:
    """Else what is written could not be read."""
    with pytest.raises(ValueError, match=r"Mac\.TAG must be {'kind': 'hardware'}"):
        register(attrs.evolve(MAC, name="hardware"))
    assert Mac.TAG == {"kind": "mac"}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_every_kind_has_its_template(kind: Kind) -> None:
    """One file for each, which a reviewer reads."""
    assert (Path(planner.__file__).parents[1] / "templates" / kind.template).is_file()


SELDOM_LOADED = [kind for kind in kinds() if kind.resource.__module__.rpartition(".")[2] in SELDOM]


def test_a_kind_that_is_seldom_loaded_has_no_reader() -> None:
    """It would not be asked whether there is such a resource."""
    assert SELDOM_LOADED
    assert not {kind.read for kind in SELDOM_LOADED} & set(readers())


@pytest.mark.parametrize("kind", SELDOM_LOADED, ids=lambda kind: kind.name)
def test_a_kind_that_is_seldom_loaded_is_known_when_a_document_names_it(kind: Kind) -> None:
    """By a process that has met no such resource yet."""
    code = (
        "from planner.errors import InvalidInput; from planner.kinds.kind import resource_from_json\n"
        "from planner.text.document import Node\n"
        f"try: resource_from_json(Node({{'kind': {kind.name!r}, 'nonsense': 1}}, 'resource'))\n"
        "except InvalidInput as error: print(error)"
    )
    root = Path(planner.__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert "is wanted, not" not in ran.stdout
    assert "resource" in ran.stdout


def shared() -> list[Path]:
    """Return the modules that serve every kind; the picture of the bridge wiring draws what that is made of."""
    found = [path for path in SOURCES if path.parts[-2] in ("changes", "formats", "plan") or path.name == "drift.py"]
    return [path for path in found if path.name != "guest.py"]


@pytest.mark.parametrize("path", shared(), ids=lambda path: "/".join(path.parts[-2:]))
def test_what_serves_every_kind_names_none(path: Path) -> None:
    """A further kind is one more file in planner/kinds/, and nothing else."""
    imports = [line for line in path.read_text().splitlines() if line.startswith("from planner.kinds.")]
    assert not [line for line in imports if line.split()[1] not in ("planner.kinds.kind", "planner.kinds.shown")]
