"""A state entry that is damaged or lost: no command says that the pod is not wired, and recover puts the entry back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import MakeNamespace
from tests.support.cli import Cli, tree
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import Pod, plain


@pytest.fixture
def before(pod: Pod) -> Dump:
    """Take down how the pod is before anything is done to it."""
    return dump(pod.inside)


@pytest.fixture
def entry(cli: Cli, pod: Pod, before: Dump) -> Path:
    """Wire the pod and return the file of its entry."""
    del before
    cli.apply(pod)
    return cli.state_dir / f"wirings/{pod.inside.name}.json"


def edit_the_plan(entry: Path) -> None:
    """So that its commands are not those of its changes."""
    document = json.loads(entry.read_text())
    document["plan"]["reverse_commands"][0]["argv"] = ["reboot"]
    entry.write_text(json.dumps(document))


def replace_by_a_folder(entry: Path) -> None:
    """With something in it, which is not podwire's to delete."""
    entry.unlink()
    (entry / "precious").mkdir(parents=True)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda entry: entry.write_text(entry.read_text()[:100]),
    "empty": lambda entry: entry.write_text(""),
    "removed": Path.unlink,
    "edited": edit_the_plan,
    "a folder": replace_by_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_recover_puts_it_back(cli: Cli, pod: Pod, entry: Path, before: Dump, damage: Callable[[Path], object]) -> None:
    """From the journal; until then nothing is changed, and after that everything works as before."""
    name, wired = pod.inside.name, dump(pod.inside)
    damage(entry)
    there = tree(cli.state_dir)
    said = cli.refused("teardown", name, "--yes")
    assert f"podwire recover {name}" in said or damage in (edit_the_plan, replace_by_a_folder)
    cli.refused("show", name)
    assert "would be restored" in cli.ok("recover", name, "--dry-run")
    assert tree(cli.state_dir) == there
    assert cli.json("recover", name)["outcome"] == "mended"
    assert difference(wired, dump(pod.inside)) == ""
    assert cli.ok("check", "--all") == f"{name}: no drift\n"
    assert cli.ok("recover", name) == f"{name}: nothing to recover: it is not half done\n"
    cli.ok("teardown", name, "--yes")
    assert difference(before, dump(pod.inside)) == ""
    assert "already torn down" in cli.ok("teardown", name, "--yes")


def test_what_was_lost_is_never_called_torn_down(cli: Cli, pod: Pod, entry: Path) -> None:
    """Nor not wired: the namespace is as podwire made it."""
    name = pod.inside.name
    entry.unlink()
    lost = (
        f"the state entry of {name} is lost, but its journal does not say that the wiring ended: "
        f"run podwire recover {name}"
    )
    for verb in ("teardown --yes", "teardown -n", "show", "check", "guest", "confirm"):
        assert cli.refused(*verb.split(), name) == lost
    assert cli.refused("exec", name, "--", "true") == lost
    for verb in ("plan", "apply --yes"):
        assert cli.refused(*verb.split(), *cli.wiring(pod)) == lost


def test_its_id_is_in_use(cli: Cli, pod: Pod, entry: Path, netns: MakeNamespace, before: Dump) -> None:
    """For another namespace too: what its journal has of the first would not be the last any more."""
    entry.unlink()
    other = plain(netns("host"), netns("other"))
    untouched = dump(other.inside)
    result = cli.file("other.json", other.result)
    said = cli.refused("apply", "--result", result, "--netns", other.inside.name, "--id", pod.inside.name, "--yes")
    assert f"the state entry of {pod.inside.name} is lost" in said
    assert difference(untouched, dump(other.inside)) == ""
    cli.ok("recover")
    cli.ok("teardown", pod.inside.name, "--yes")
    assert difference(before, dump(pod.inside)) == ""


def test_whoever_asks_for_all_hears_of_what_was_lost(cli: Cli, pod: Pod, entry: Path, before: Dump) -> None:
    """list, check and teardown name it, and say how it comes back; recover puts it back without being told which."""
    name, netns = pod.inside.name, str(pod.inside.path)
    entry.unlink()
    lost = (
        f"the state entry of {name} is lost, but its journal does not say that the wiring ended: "
        f"run podwire recover {name}"
    )
    for verb in ("list", "list --json", "check --all", "teardown --all --yes", f"teardown --netns {netns} --yes"):
        outcome = cli.run(*verb.split())
        assert outcome.rc == 1, verb
        assert lost in outcome.err, verb
        assert "nothing is wired" not in outcome.out, verb
    would = f"{name}: its state entry would be restored from the copy in the journal\n"
    assert cli.ok("recover", "--dry-run") == would
    assert "its state entry was restored" in cli.ok("recover")
    assert cli.json("list")[0]["state"] == "wired"
    assert cli.ok("recover") == "nothing to recover: no wiring is half done\n"
    cli.ok("teardown", "--all", "--yes")
    assert difference(before, dump(pod.inside)) == ""
    assert cli.ok("list") == "nothing is wired here\n"


def test_what_is_being_wired_is_not_called_lost(cli: Cli, pod: Pod, entry: Path) -> None:
    """Its entry is written while somebody looks: after the look at the entries, and before that at its journal."""
    name, hidden = pod.inside.name, entry.with_suffix(".hidden")
    entry.rename(hidden)
    program = BETWEEN_TWO_LOOKS.format(hidden=str(hidden), entry=str(entry))
    argv = [sys.executable, "-c", program, "list", "--json", "--state-dir", str(cli.state_dir)]
    outcome = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert entry.exists()
    assert cli.json("list")[0]["id"] == name


BETWEEN_TWO_LOOKS = """\
import os, sys
from executor.state.store import StateStore
journalled_ids = StateStore.journalled_ids

def wire_before(store):
    if os.path.exists({hidden!r}):
        os.rename({hidden!r}, {entry!r})
    return journalled_ids(store)

StateStore.journalled_ids = wire_before
from executor.cli import main
sys.exit(main())
"""


def test_a_repair_does_not_make_the_copy_useless(cli: Cli, pod: Pod, entry: Path, before: Dump) -> None:
    """Only what rolls a wiring back does."""
    name = pod.inside.name
    pod.inside.ip("link set tap0 down")
    cli.ok("check", name, "--fix", "--yes")
    entry.unlink()
    cli.ok("recover", name)
    cli.ok("teardown", name, "--yes")
    assert difference(before, dump(pod.inside)) == ""


def test_what_was_forgotten_is_not_put_back(cli: Cli, pod: Pod, entry: Path) -> None:
    """Its namespace is gone, or it was rolled back."""
    name = pod.inside.name
    del entry
    cli.ok("teardown", name, "--yes")
    assert "nothing to recover" in cli.ok("recover", name)
    cli.apply(pod)
    pod.inside.delete()
    cli.ok("gc")
    for words in (("recover", name), ("recover", name, "--dry-run"), ("teardown", name, "--yes")):
        assert cli.run(*words).rc == 0
        assert cli.json("list") == []


def test_a_copy_does_not_wait_for_what_was_confirmed(cli: Cli, pod: Pod, entry: Path) -> None:
    """It was written before that, and the journal says that it was confirmed."""
    name = pod.inside.name
    cli.ok("teardown", name, "--yes")
    cli.ok("apply", *cli.wiring(pod), "--yes", "--confirm-within", "2s")
    cli.ok("confirm", name)
    entry.unlink()
    time.sleep(2)
    assert cli.json("recover", name)["outcome"] == "mended"
    assert cli.json("list")[0]["state"] == "wired"


def test_what_was_confirmed_is_not_rolled_back_when_its_copy_is_put_back(cli: Cli, pod: Pod, entry: Path) -> None:
    """Though the time for that is not over, and the process that would do it still waits."""
    name = pod.inside.name
    cli.ok("teardown", name, "--yes")
    cli.ok("apply", *cli.wiring(pod), "--yes", "--confirm-within", "30s")
    assert json.loads(entry.read_text())["confirm_token"]
    cli.ok("confirm", name)
    entry.unlink()
    assert cli.json("recover", name)["outcome"] == "mended"
    assert json.loads(entry.read_text())["confirm_token"] is None
    assert cli.json("list")[0]["state"] == "wired"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["lost", "damaged"])
def test_what_nobody_confirmed_is_rolled_back_from_its_copy(
    cli: Cli, pod: Pod, entry: Path, before: Dump, damage: Callable[[Path], object]
) -> None:
    """Though nobody could while the entry was not whole: it does not stay wired for that."""
    name = pod.inside.name
    cli.ok("teardown", name, "--yes")
    cli.ok("apply", *cli.wiring(pod), "--yes", "--confirm-within", "1s")
    damage(entry)
    time.sleep(1)
    assert cli.json("recover", name)["outcome"] in ("restored", "nothing")  # or what waited for it has done so
    assert difference(before, dump(pod.inside)) == ""
    assert cli.json("list") == []


def foreign(path: Path) -> None:
    """Make a file of somebody else's."""
    path.touch()
    os.chown(path, 65534, 65534)


IN_ITS_PLACE = {"folder": Path.mkdir, "pipe": os.mkfifo, "link": lambda path: path.symlink_to(path), "foreign": foreign}


@pytest.mark.parametrize("make", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE)
def test_what_is_in_the_place_of_a_servers_record_blocks_no_way_back(
    cli: Cli, pod: Pod, entry: Path, before: Dump, make: Callable[[Path], object]
) -> None:
    """It is said; whatever serves a guest ends with what it serves."""
    record = cli.state_dir / "dhcp" / entry.name
    make(record)
    said = cli.ok("teardown", pod.inside.name, "--yes")
    assert "is as it was before" in said
    assert f"{record}'" in said
    assert "the server of its guest could not be stopped" in said
    assert difference(before, dump(pod.inside)) == ""
    assert cli.json("list") == []


@pytest.mark.parametrize("make", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE)
def test_what_is_in_the_place_of_a_gateways_record_is_no_refusal(
    cli: Cli, pod: Pod, entry: Path, before: Dump, make: Callable[[Path], object]
) -> None:
    """All else was rolled back by then: status 4, and not 1, which says that nothing was changed."""
    make(cli.state_dir / "dummies" / entry.name)
    outcome = cli.run("teardown", pod.inside.name, "--yes")
    assert outcome.rc == 4, outcome
    assert f"all else of {pod.inside.name} was rolled back" in outcome.err
    assert difference(before, dump(pod.inside)) == ""
