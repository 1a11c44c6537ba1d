"""Commands side by side: each lane in its order, and a command waits for what it depends on, for nothing else.

The jobs are stand-ins that end when the test lets them: what is to be seen is which may run beside which. That the real
programs do is seen where they are measured, and in what they leave (test_round_trip, test_frames).
"""

from __future__ import annotations

import os
import time

import pytest

from executor.operations.execution import Execution
from executor.operations.scheduler import run_scheduled
from executor.process.result import CommandResult
from planner.plan.render import Command
from planner.text.values import NetnsPath
from tests.planner.situations import SITUATIONS

NETNS = NetnsPath("/run/netns/pod1")
# Who waits for something that does not come waits as long as this.
PATIENCE = 0.2


def command(line: str, stdin: str | None = None) -> Command:
    """Return a command in the namespace."""
    return Command(tuple(line.split()), NETNS, stdin, (0,))


RULES = command("ebtables-restore --noflush", "*filter\n-I INPUT -i eth0 -j DROP\n")
NO_TABLE = command("ebtables --init-table")
OF_LINK = command("sysctl -q -p -", "net/bridge/bridge-nf-call-iptables=0\nnet/ipv6/conf/br0/accept_ra=0\n")
OF_BRIDGES = command("sysctl -q -p -", "net/bridge/bridge-nf-call-iptables=1\n")
MAC = command("ip link set dev eth0 address 02:00:00:00:00:01")
NEW_BRIDGE = command("ip link add name br0 type bridge")
NEW_TAP = command("ip tuntap add dev tap0 mode tap")
PORT = command("ip link set dev eth0 master br0")
NO_PORT = command("ip link set dev eth0 nomaster")
GOES = command("ip link del group 77")
UP = command("ip link set dev br0 up")
ADDRESS = command("ip addr add 10.1.90.5/24 dev eth0")
NO_ADDRESS = command("ip addr del 10.1.90.5/24 dev eth0")


class Stage:
    """Begins commands, and ends one only when the test lets it, or nobody else can go on: then `overdue` names it."""

    def __init__(self, commands: list[Command], ends_behind: dict[int, int] | None = None) -> None:
        self.commands = commands
        self.ends_behind = ends_behind or {}  # which command ends only when which other has begun
        self.said: list[tuple[str, int]] = []
        self.overdue: list[int] = []
        self.bells: dict[int, int] = {}
        self.rung: set[int] = set()

    def begin(self, at: int, _command: Command) -> Execution:
        """Begin a command, and let those end that waited for this."""
        self.said.append(("begins", at))
        bell = self.bells[at] = os.eventfd(0)
        for waiting in [at, *self.bells]:
            if self.ends_behind.get(waiting, waiting) in self.bells and waiting not in self.rung:
                self.rung.add(waiting)
                os.eventfd_write(self.bells[waiting], 1)
        return Execution(lambda: bell, time.monotonic() + PATIENCE, lambda: CommandResult(0, "", "", 0.0))

    def end(self, at: int, _command: Command, job: Execution) -> bool:
        """End a command."""
        assert job.collect().ok
        self.said.append(("ends", at))
        if at not in self.rung:
            self.overdue.append(at)
        return True

    def run(self) -> None:
        """Run them all."""
        try:
            run_scheduled(self.commands, self.begin, self.end)
        finally:
            for bell in self.bells.values():
                os.close(bell)


def beside(commands: list[Command], one: int, other: int) -> bool:
    """Say whether `one` may still run when `other` begins."""
    stage = Stage(commands, {one: other})
    stage.run()
    assert [at for word, at in stage.said if word == "begins"].count(other) == 1
    return one not in stage.overdue


@pytest.mark.parametrize(
    ("commands", "one", "other"),
    [
        pytest.param([RULES, MAC], 0, 1, id="rules, and links behind them"),
        pytest.param([MAC, RULES], 0, 1, id="links, and rules behind them"),
        pytest.param([GOES, RULES], 0, 1, id="links that go, and rules that go"),
        pytest.param([NO_PORT, GOES, OF_BRIDGES], 1, 2, id="links that go, and what is of bridges"),
        pytest.param([OF_LINK, NEW_TAP], 0, 1, id="a sysctl, and a link that is made"),
        pytest.param([RULES, OF_LINK], 0, 1, id="rules and sysctls"),
        pytest.param([GOES, RULES, NO_TABLE], 0, 2, id="links that go, and the table"),
    ],
)
def test_what_does_not_depend_runs_beside(commands: list[Command], one: int, other: int) -> None:
    """The kernel waits long for some, and programs take their time to start."""
    assert beside(commands, one, other)


@pytest.mark.parametrize(
    ("commands", "one", "other"),
    [
        pytest.param([RULES, PORT], 0, 1, id="no port before the rules"),
        pytest.param([NO_PORT, RULES], 0, 1, id="no rules go before the port"),
        pytest.param([NEW_BRIDGE, OF_LINK], 0, 1, id="no sysctl before its link"),
        pytest.param([OF_LINK, UP], 0, 1, id="no link goes up before its sysctl"),
        pytest.param([OF_LINK, ADDRESS], 0, 1, id="no address before the sysctl"),
        pytest.param([OF_LINK, PORT], 0, 1, id="no port before the sysctl"),
        pytest.param([NO_PORT, OF_BRIDGES], 0, 1, id="bridged frames are only bridged while there are ports"),
        pytest.param([NO_ADDRESS, RULES], 0, 1, id="addresses go alone, rules wait"),
        pytest.param([RULES, NO_ADDRESS], 0, 1, id="addresses wait for rules"),
        pytest.param([OF_LINK, NO_ADDRESS], 0, 1, id="addresses wait for sysctls"),
        pytest.param([MAC, NEW_BRIDGE], 0, 1, id="ip in its order"),
        pytest.param([RULES, NO_TABLE], 0, 1, id="ebtables in its order"),
    ],
)
def test_what_depends_waits(commands: list[Command], one: int, other: int) -> None:
    """However long it takes."""
    assert not beside(commands, one, other)


@pytest.fixture(params=["wiring", "teardown"])
def whole(request: pytest.FixtureRequest) -> list[Command]:
    """Return the commands of a plan for three interfaces, there and back."""
    plan = SITUATIONS["several-interfaces"].plan()
    return list(plan.commands if request.param == "wiring" else plan.reverse_commands)


def test_each_lane_keeps_its_order_and_all_are_run(whole: list[Command]) -> None:
    """Every command once."""
    stage = Stage(whole)
    stage.run()
    begun = [at for word, at in stage.said if word == "begins"]
    assert sorted(begun) == list(range(len(whole)))
    for program in ("ip", "ebtables", "sysctl"):
        own = [at for at in begun if whole[at].argv[0].startswith(program)]
        assert own == sorted(own)
    assert stage.overdue == []


def test_behind_a_failure_nothing_begins_and_what_runs_is_waited_for() -> None:
    """A namespace is not taken back while a command still changes it."""
    stage = Stage([RULES, MAC, NEW_BRIDGE, NEW_TAP], {0: 9})

    def end(at: int, this: Command, job: Execution) -> bool:
        stage.end(at, this, job)
        return at != 1

    run_scheduled(stage.commands, stage.begin, end)
    assert stage.said == [("begins", 1), ("begins", 0), ("ends", 1), ("ends", 0)]


@pytest.mark.parametrize("where", ["begin", "end"])
def test_what_is_raised_is_raised_when_nothing_runs_any_more(where: str) -> None:
    """A journal that cannot be written, somebody who wants to stop."""
    stage = Stage([RULES, MAC, NEW_BRIDGE], {0: 9})

    def begin(at: int, this: Command) -> Execution:
        if where == "begin" and at == 2:
            raise KeyboardInterrupt
        return stage.begin(at, this)

    def end(at: int, this: Command, job: Execution) -> bool:
        stage.end(at, this, job)
        if where == "end" and at == 1:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        run_scheduled(stage.commands, begin, end)
    assert stage.said == [("begins", 1), ("begins", 0), ("ends", 1), ("ends", 0)]


def test_a_command_that_is_not_to_be_run_keeps_nobody_waiting() -> None:
    """What ebtables was to do behind a failure is left out; the others go on."""
    stage = Stage([RULES, PORT])
    run_scheduled(stage.commands, lambda at, this: None if at == 0 else stage.begin(at, this), stage.end)
    assert stage.said == [("begins", 1), ("ends", 1)]
