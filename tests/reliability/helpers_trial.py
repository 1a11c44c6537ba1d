"""podwire tried on one pod, and what it must leave: the raw dump of before.

trial = Trial.on(pod, cli)
trial.podwire("apply", trial.plan, "--yes")       # how it ended and what it printed
with trial.started("apply", trial.plan, "--yes") as process:
    process.kill()
assert trial.changed() == ""
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import field, frozen

from tests.support import Outcome
from tests.support.cli import Cli
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import Pod


@frozen
class Trial:
    """A pod, the command line that wires it, the plan, and the raw dump of before."""

    pod: Pod
    cli: Cli
    plan: Path
    before: Dump = field(repr=False)

    @classmethod
    def on(cls, pod: Pod, cli: Cli, *options: str) -> Trial:
        """Plan the wiring of a pod with these options; nothing is changed yet."""
        cli.folder.mkdir(exist_ok=True)
        trial = cls(pod, cli, cli.folder / "plan.json", dump(pod.inside))
        trial.ok("plan", "--result", cli.result_of(pod), "--netns", pod.inside.name, *options, "-o", trial.plan)
        return trial

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.cli.folder

    @property
    def id(self) -> str:
        """The id of the wiring."""
        return self.pod.inside.name

    @property
    def result(self) -> Path:
        """The file with the pod's CNI result."""
        return self.folder / "result.json"

    @property
    def state_dir(self) -> Path:
        """The state directory."""
        return self.cli.state_dir

    @property
    def journal(self) -> Path:
        """The journal of the wiring."""
        return self.state_dir / "journal" / f"{self.id}.jsonl"

    def commands(self, key: str = "commands") -> list[str]:
        """Return the commands of the plan (or its `reverse_commands`), as lines to read."""
        return [" ".join(command["argv"]) for command in json.loads(self.plan.read_text())[key]]

    def podwire(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
        """Run `podwire WORDS…`, and return how it ended."""
        return self.cli.run(*words, env=env)

    def ok(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run it, see that it says nothing amiss, and return what it prints."""
        return self.cli.ok(*words, env=env)

    def apply(self, env: Mapping[str, str] | None = None) -> Outcome:
        """Apply the plan."""
        return self.podwire("apply", self.plan, "--yes", env=env)

    def teardown(self, env: Mapping[str, str] | None = None) -> Outcome:
        """Roll the wiring back."""
        return self.podwire("teardown", self.id, "--yes", env=env)

    def started(
        self, *words: str | Path, env: Mapping[str, str] | None = None, through: tuple[str | Path, ...] = ()
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Start `podwire WORDS…` as a process and go on; at the end it is killed, unless it has ended."""
        return self.cli.started(*words, env=env, through=through)

    def state(self) -> str | None:
        """Return what `podwire list` says of the wiring: wired, half-done, gone, or None if it doesn't list it."""
        rows = json.loads(self.ok("list", "--json"))
        return next((row["state"] for row in rows if row["id"] == self.id), None)

    def see_the_truth(self, outcome: Outcome) -> None:
        """See that "as it was" is said of what was rolled back if raw dumps say the same, and only then."""
        said, left = "is as it was" in outcome.out + outcome.err, self.changed()
        assert said == (left == ""), f"{outcome}\n{left}"

    def changed(self) -> str:
        """Return what is not as it was before the wiring; "" if all is.

        The kernel ends address detection on a queue of its own, for all namespaces (addrconf_dad_work): on a host that
        is that busy, podwire may have set accept_dad back first, and an address is tentative for as long as ever.
        """
        left = difference(self.before, dump(self.pod.inside))
        if "tentative" in left:
            self.pod.inside.settle()
            left = difference(self.before, dump(self.pod.inside))
        return left
