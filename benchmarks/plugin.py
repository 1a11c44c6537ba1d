"""What a call of a chained CNI plugin costs, as a whole process: podwire-cni, tuning, and one that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.installed import PYTHON
from benchmarks.measuring import Times, in_turns, timed
from benchmarks.pods import state_directory
from tests.cni.helpers_cni import Attached, attached
from tests.conformance.trial import Conf
from tests.support.cni import PLUGINS
from tests.support.package import Package

# The least that a plugin in Python does: it reads its input and hands the result on.
_NOTHING = f"#!{PYTHON} -I\nimport json, sys\nprint(json.dumps(json.load(sys.stdin)['prevResult']))\n"


def plugins(rounds: int, package: Package) -> dict[str, tuple[Times, ...]]:
    """Return the times of ADD and DEL of each plugin, behind the bridge plugin."""
    with state_directory() as folder, attached(folder / "state") as pod:
        nothing = folder / "nothing"
        nothing.write_text(_NOTHING)
        nothing.chmod(0o755)
        own = package.plugin
        tuning: Conf = {"type": "tuning", "mtu": 1400}
        return in_turns(
            rounds,
            {
                "podwire-cni, `bridge`": _calls(pod, own, pod.conf(wiring="bridge")),
                "podwire-cni, `tc`": _calls(pod, own, pod.conf(wiring="tc")),
                "tuning (Debian's, in Go)": _calls(pod, PLUGINS / "tuning", _without_state(pod.conf()) | tuning),
                "one in Python that does nothing": _calls(pod, nothing, pod.conf()),
            },
        )


def _calls(pod: Attached, plugin: Path, conf: Conf) -> Callable[[], Iterable[float]]:
    def call(command: str) -> float:
        def work() -> None:
            answer = pod.trial.run(plugin, command, conf)
            if not answer.ok:
                raise RuntimeError(str(answer))

        return timed(work)

    return lambda: (call("ADD"), call("DEL"))


def _without_state(conf: Conf) -> Conf:
    return {key: value for key, value in conf.items() if key != "stateDir"}
