"""Commands side by side: each lane in its order, and a command waits for what it depends on, for nothing else.

The jobs are stand-ins that end when the test lets them: what is to be seen is which may run beside which. That the real
programs do is seen where they are measured, and in what they leave (test_round_trip, test_frames).
"""

from __future__ import annotations

import itertools
import os
import time
from ipaddress import ip_interface
from typing import Any

import pytest
from attrs import evolve

from executor.operations.execution import Execution
from executor.operations.scheduler import BESIDE, lanes, run_scheduled
from executor.process.result import CommandResult
from planner.changes.change import Change
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import DropRule, EbtablesRules, RulesState
from planner.kinds.link import BridgeDevice, Link, LinkState, TapDevice
from planner.kinds.link_attributes import Admin, AdminState, Mac, MacState, Master, MasterState
from planner.kinds.sysctl import LinkSysctl, Sysctl, SysctlState
from planner.plan.render import Command
from planner.text.values import InterfaceName, Keyword, MacAddress, NetnsPath, PlanId, SysctlKey, SysctlValue
from tests.planner.builders import templates
from tests.planner.situations import SITUATIONS

NETNS = NetnsPath("/run/netns/pod1")
# Who waits for something that does not come waits as long as this.
PATIENCE = 0.2


_NUMBERS = itertools.count()
ETH0, BR0, TAP0 = InterfaceName("eth0"), InterfaceName("br0"), InterfaceName("tap0")
OLD, NEW = MacAddress("02:00:00:00:00:01"), MacAddress("02:00:00:00:00:02")


def commands(resource: Any, before: Any, after: Any) -> list[Command]:
    """Return the commands of one change, rendered by its template; no two changes are the same."""
    found = templates().commands((Change(resource, before, after, "because", NETNS),))
    number = next(_NUMBERS)
    return [evolve(command, changes=(number,)) for command in found]


def link(name: InterfaceName, device: Any, **more: Any) -> list[Command]:
    """Return the commands that make a link."""
    return commands(Link(name), None, LinkState(device=device, mac=OLD, mtu=1500, up=True, group=77, **more))


STATE = RulesState((DropRule(Keyword("INPUT"), ETH0),), (Keyword("INPUT"),), new_table=True)
(RULES,) = commands(EbtablesRules(PlanId("pod1")), None, STATE)
RULES_GO, NO_TABLE = commands(EbtablesRules(PlanId("pod1")), STATE, None)
(OF_LINK,) = commands(
    Sysctl(SysctlKey("net/ipv6/conf/eth0/accept_dad")), SysctlState(SysctlValue("1")), SysctlState(SysctlValue("0"))
)
(OF_ALL,) = commands(
    Sysctl(SysctlKey("net/ipv6/conf/all/accept_dad")), SysctlState(SysctlValue("1")), SysctlState(SysctlValue("0"))
)
(OF_BRIDGES,) = commands(
    Sysctl(SysctlKey("net/bridge/bridge-nf-call-iptables")),
    SysctlState(SysctlValue("0")),
    SysctlState(SysctlValue("1")),
)
(MAC,) = commands(Mac(ETH0), MacState(OLD), MacState(NEW))
DEAF = LinkSysctl(SysctlKey("net/ipv6/conf/br0/accept_ra"), SysctlValue("0"))
NEW_BRIDGE, _, ITS_SYSCTL, ITS_UP = link(BR0, BridgeDevice(ageing_time=0, mcast_snooping=False), sysctls=(DEAF,))
NEW_TAP = link(TAP0, TapDevice(owner=None, owner_group=None, multi_queue=False, vnet_hdr=False), master=BR0)[0]
(PORT,) = commands(Master(ETH0), MasterState(None), MasterState(BR0))
(NO_PORT,) = commands(Master(ETH0), MasterState(BR0), MasterState(None))
(GOES,) = commands(
    Link(BR0), LinkState(BridgeDevice(ageing_time=0, mcast_snooping=False), mac=OLD, mtu=1500, up=True), None
)
(UP,) = commands(Admin(ETH0), AdminState(up=False), AdminState(up=True))
(ADDRESS,) = commands(Address(ETH0, ip_interface("10.1.90.5/24")), None, AddressState(Keyword("global")))
(NO_ADDRESS,) = commands(Address(ETH0, ip_interface("10.1.90.5/24")), AddressState(Keyword("global")), None)
# What no kind says anything of touches everything.
UNKNOWN = Command(("tc", "qdisc", "add", "dev", "eth0", "ingress"), NETNS, None, (next(_NUMBERS),))


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
        patience = time.monotonic() + PATIENCE
        return Execution(lambda: bell, lambda: patience, lambda: CommandResult(0, "", "", 0.0))

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
        pytest.param([GOES, RULES_GO], 0, 1, id="links that go, and rules that go"),
        pytest.param([NO_PORT, GOES, OF_BRIDGES], 1, 2, id="links that go, and what is of bridges"),
        pytest.param([OF_LINK, NEW_TAP], 0, 1, id="a sysctl, and a link that is made"),
        pytest.param([RULES, OF_LINK], 0, 1, id="rules and sysctls"),
        pytest.param([GOES, RULES_GO, NO_TABLE], 0, 2, id="links that go, and the table"),
        pytest.param([MAC, ADDRESS], 0, 1, id="what a link has, and what is sent behind"),
        pytest.param([GOES, MAC], 0, 1, id="links that go, and what others have"),
    ],
)
def test_what_does_not_depend_runs_beside(commands: list[Command], one: int, other: int) -> None:
    """The kernel waits long for some, and programs take their time to start."""
    assert beside(commands, one, other)


@pytest.mark.parametrize(
    ("commands", "one", "other"),
    [
        pytest.param([RULES, PORT], 0, 1, id="no port before the rules"),
        pytest.param([NO_PORT, RULES_GO], 0, 1, id="no rules go before the port"),
        pytest.param([NEW_BRIDGE, ITS_SYSCTL], 0, 1, id="no sysctl before its link"),
        pytest.param([ITS_SYSCTL, ITS_UP], 0, 1, id="no new link goes up before its sysctl"),
        pytest.param([OF_LINK, UP], 0, 1, id="no link goes up before its sysctl"),
        pytest.param([OF_LINK, ADDRESS], 0, 1, id="no address before the sysctl of its link"),
        pytest.param([OF_ALL, ADDRESS], 0, 1, id="no address before the sysctl of all links"),
        pytest.param([ADDRESS, OF_ALL], 0, 1, id="no sysctl of all links before an address"),
        pytest.param([OF_LINK, PORT], 0, 1, id="no port before the sysctl"),
        pytest.param([OF_BRIDGES, PORT], 0, 1, id="no port before frames are only bridged"),
        pytest.param([NO_PORT, OF_BRIDGES], 0, 1, id="bridged frames are only bridged while there are ports"),
        pytest.param([NO_ADDRESS, RULES], 0, 1, id="addresses go alone, rules wait"),
        pytest.param([RULES, NO_ADDRESS], 0, 1, id="addresses wait for rules"),
        pytest.param([OF_LINK, NO_ADDRESS], 0, 1, id="addresses wait for sysctls"),
        pytest.param([NEW_BRIDGE, MAC], 0, 1, id="nothing of ip before a link is made"),
        pytest.param([RULES_GO, NO_TABLE], 0, 1, id="ebtables in its order"),
        pytest.param([NEW_TAP, UNKNOWN], 0, 1, id="an unknown program waits for what is before it"),
        pytest.param([RULES, MAC, UNKNOWN], 0, 2, id="an unknown program waits for other programs"),
        pytest.param([UNKNOWN, MAC], 0, 1, id="what is behind an unknown program waits for it"),
        pytest.param([UNKNOWN, RULES], 0, 1, id="other programs wait for an unknown one"),
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
    lane = lanes(whole)
    assert set(lane) >= {"ip", "ebtables-restore", "sysctl"}
    for one in set(lane):
        own = [at for at in begun if lane[at] == one]
        assert own == sorted(own)
    assert stage.overdue == []


def test_behind_what_is_slow_another_ip_goes_on() -> None:
    """From there to the end, so that what one of the two remembers of links is never wrong."""
    assert lanes([NO_PORT, GOES, MAC, RULES_GO, NEW_BRIDGE]) == ["ip", "ip", BESIDE, "ebtables-restore", BESIDE]


def test_what_is_awaited_is_answered_before_the_next_begins() -> None:
    """An address that the kernel makes from a MAC, for one."""
    stage = Stage([MAC, ADDRESS])
    run_scheduled(stage.commands, stage.begin, stage.end, awaited={0})
    assert stage.said == [("begins", 0), ("ends", 0), ("begins", 1), ("ends", 1)]


def test_only_the_first_under_way_in_a_lane_is_collected() -> None:
    """An open `ip` answers in order."""
    stage = Stage([MAC, ADDRESS, UP], {0: 2, 1: 2})
    stage.run()
    assert stage.said == [(word, at) for word in ("begins", "ends") for at in range(3)]


def test_behind_a_failure_nothing_begins_and_what_runs_is_waited_for() -> None:
    """A namespace is not rolled back while a command still changes it."""
    stage = Stage([RULES, NEW_BRIDGE, NEW_TAP, MAC], {0: 9})

    def end(at: int, this: Command, job: Execution) -> bool:
        stage.end(at, this, job)
        return at != 1

    run_scheduled(stage.commands, stage.begin, end)
    assert stage.said == [("begins", 1), ("begins", 0), ("ends", 1), ("ends", 0)]


@pytest.mark.parametrize("where", ["begin", "end"])
def test_what_is_raised_is_raised_when_nothing_runs_any_more(where: str) -> None:
    """A journal that cannot be written, somebody who wants to stop."""
    stage = Stage([RULES, NEW_BRIDGE, NEW_TAP], {0: 9})

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
