"""Changes to commands: strict about names, and about what may become a word."""

from __future__ import annotations

import re
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from planner.changes.change import Change
from planner.errors import RenderError
from planner.kinds.address import Address, AddressState
from planner.kinds.driver import Driver
from planner.kinds.kind import kinds
from planner.kinds.link import BridgeDevice, Link, LinkState, TapDevice, VethDevice
from planner.kinds.link_attributes import Admin, Mac, MacState, Master, MasterState, QueueLength
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.kinds.vf_setting import VfSetting
from planner.plan.render import Command, Templates, quote
from planner.text.values import InterfaceName, Keyword, Label, MacAddress, NetnsPath, SysctlKey, SysctlValue
from tests.planner.builders import NETNS, address, namespace, neighbour, plan_of, route, veth
from tests.planner.situations import SITUATIONS

ETH0 = InterfaceName("eth0")
FILES = sorted((Path(__file__).parents[2] / "templates").rglob("*.j2"))
KINDS = kinds()
# What lives as long as its link can only change.
ONLY_CHANGES = {Sysctl, Mac, Master, Admin, QueueLength, VfSetting, Driver}


def made_of(source: str) -> Templates:
    """Return templates in which a MAC's is ``source``."""
    return Templates({"mac.j2": source})


def mac_change(**values: Any) -> Change:
    """Return a change of a MAC."""
    states = MacState(MacAddress("02:00:00:00:00:01")), MacState(MacAddress("02:00:00:00:00:02"))
    return evolve(Change(Mac(ETH0), *states, "because", NETNS), **values)


class TestFiles:
    """templates/ has one short file per kind, which a reviewer can read in one go."""

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_every_kind_has_its_file_with_the_blocks_it_needs(self, kind: Any) -> None:
        """What appears has add and remove, what only changes has change; no block is never used."""
        text = next(file for file in FILES if file.name == kind.template).read_text()
        blocks = set(re.findall(r"{% block (\w+) %}", text))
        only_changes = kind.resource in ONLY_CHANGES
        assert blocks - {"change", "together"} == (set() if only_changes else {"add", "remove"})
        assert "change" in blocks or not only_changes

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_every_file_begins_with_its_manual_page(self, file: Path) -> None:
        """So that a reviewer knows where the options come from."""
        first = file.read_text().partition("#}")[0]
        assert re.match(r"{# .*\b[a-z]+(-[a-z]+)?\([18]\)", first)

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_every_file_is_used(self, file: Path) -> None:
        """By a kind, or included by one that is."""
        included = {name for other in FILES for name in re.findall(r'include "parts/(\w+\.j2)"', other.read_text())}
        tags = [device.TAG["type"] for device in (BridgeDevice, TapDevice, VethDevice)]
        devices = {f"{tag}_device{tail}.j2" for tag in tags for tail in ("", "_change")}
        assert file.name in {kind.template for kind in KINDS} | included | devices

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_no_file_quotes_or_escapes_by_itself(self, file: Path) -> None:
        """A value is quoted because of what it is, not because somebody remembered."""
        text = file.read_text()
        assert not re.search(r"\|\s*(safe|quote|tojson|e)\b", text)
        assert "'{{" not in text
        assert '"{{' not in text

    def test_they_run_no_program_but_seven(self) -> None:
        """A reviewer knows everything that podwire can ever do: ip, sysctl, tc, ebtables, and what writes to sysfs."""
        starts = {
            line.split()[1] for file in FILES for line in file.read_text().splitlines() if line.startswith(("$ ", "& "))
        }
        assert starts == {"ip", "sysctl", "tc", "ebtables", "ebtables-restore", "tee", "sh"}


class TestStrictness:
    """A template and a value that do not fit are a bug, said at once."""

    def test_unknown_names_are_refused(self) -> None:
        """StrictUndefined: a misspelt name is no empty word."""
        with pytest.raises(RenderError, match=r"^mac\.j2, change: .*'afterr' is undefined"):
            made_of("{% block change %}$ ip {{ afterr }}{% endblock %}").commands([mac_change()])

    def test_unknown_attributes_are_refused(self) -> None:
        """Of a value, too."""
        with pytest.raises(RenderError, match="has no attribute 'macc'"):
            made_of("{% block change %}$ ip {{ after.macc }}{% endblock %}").commands([mac_change()])

    def test_a_missing_block_is_refused(self) -> None:
        """The sentence names file, block and resource."""
        with pytest.raises(RenderError, match=r"^mac\.j2 has no block add, which MAC of eth0 needs$"):
            made_of("{% block change %}{% endblock %}").commands([mac_change(before=None)])

    def test_text_without_a_command_mark_is_refused(self) -> None:
        """What is not marked as a command is none."""
        with pytest.raises(RenderError, match=r"must start with '\$ '"):
            made_of("{% block change %}ip link{% endblock %}").commands([mac_change()])

    @pytest.mark.parametrize(
        "value",
        ["eth0", "", True, None, 1.5, ["a"], ("a",), object(), b"eth0", mac_change()],
        ids=lambda v: type(v).__name__,
    )
    def test_only_validated_types_become_words(self, value: object) -> None:
        """A plain string, a flag or a list never gets into a command, whatever it holds."""
        with pytest.raises(RenderError, match="a template may not print a"):
            quote(value)

    @pytest.mark.parametrize(
        ("value", "word"),
        [
            (ETH0, "eth0"),
            (7, "7"),
            (ip_interface("10.0.0.1/8"), "10.0.0.1/8"),
            (InterfaceName("a~b"), "'a~b'"),
            (InterfaceName("a=b%c"), "a=b%c"),
            (SysctlValue("-1"), "-1"),
        ],
    )
    def test_validated_types_are_quoted_where_a_shell_wants_it(self, value: object, word: str) -> None:
        """The quotes are gone again when the text is split into words."""
        assert quote(value) == word


class TestCommands:
    """Rendered text is split into words once, in one place."""

    def test_a_line_that_goes_on_is_one_command(self) -> None:
        """`$ ` starts a command, other lines go on, `| ` is its standard input."""
        source = (
            "{% block change %}\n$ ip link set\n  dev {{ resource.link }}\n\n$ ebtables-restore\n| *filter\n| -A  X\n"
            "{% endblock %}"
        )
        assert made_of(source).commands([mac_change()]) == (
            Command(("ip", "link", "set", "dev", "eth0"), NETNS, None, (0,)),
            Command(("ebtables-restore",), NETNS, "*filter\n-A X\n", (0,)),
        )

    @pytest.mark.parametrize("name", ["a~b", "a%b", "a=b", "...", "a,b+c@d"])
    def test_an_odd_name_stays_one_word(self, templates: Templates, name: str) -> None:
        """A name that a shell would look at twice is one word of argv, as it is."""
        odd = InterfaceName(name)
        (command,) = templates.commands([mac_change(resource=Mac(odd))])
        assert command.argv == ("ip", "link", "set", "dev", name, "address", "02:00:00:00:00:02")

    @pytest.mark.parametrize("name", ["up", "dev", "address", "del", "type", "nomaster", "default", "mtu"])
    def test_a_name_that_is_a_word_of_ip_is_always_behind_dev(self, name: str) -> None:
        """A link may be called `up`: behind `dev` it is a name, and it is used only there."""
        plain, odd = (_commands_of_a_pod("eth0"), _commands_of_a_pod(name))
        assert odd == [tuple(re.sub(r"\beth0\b", name, word) for word in argv) for argv in plain]
        before = {argv[place - 1] for argv in plain for place, word in enumerate(argv) if word == "eth0"}
        assert before == {"dev"}

    def test_sysctls_next_to_each_other_are_one_command(self, templates: Templates) -> None:
        """And it knows all the changes that it carries out."""
        keys = [SysctlKey(f"net/ipv6/conf/{name}/accept_dad") for name in ("all", "eth0.100")]
        states = SysctlState(SysctlValue("1")), SysctlState(SysctlValue("0"))
        changes = [Change(Sysctl(key), *states, "because", NETNS) for key in keys]
        assert templates.commands(changes) == (
            Command(
                ("sysctl", "-q", "-p", "-"),
                NETNS,
                "net/ipv6/conf/all/accept_dad=0\nnet/ipv6/conf/eth0.100/accept_dad=0\n",
                (0, 1),
            ),
        )
        elsewhere = evolve(changes[1], netns=NetnsPath("/run/netns/other"))
        assert len(templates.commands([changes[0], elsewhere])) == 2

    def test_sysctls_of_links_that_are_made_are_set_at_once(self, templates: Templates) -> None:
        """All are made first, and go up behind it, before what has no sysctl; earlier versions did not part them."""
        plan = SITUATIONS["several-interfaces"].plan()
        made = [change for change in plan.changes if isinstance(change.resource, Link)]
        commands = templates.commands(made)
        (at,) = (number for number, command in enumerate(commands) if command.argv[0] == "sysctl")
        assert [command.argv[:2] for command in commands[:at]] == [("ip", "link")] * 6
        assert commands[at].stdin == "".join(f"net/ipv6/conf/br{x}/accept_ra=0\n" for x in range(3))
        assert commands[at].changes == (0, 2, 4)
        own = dict(enumerate((2, 3) * 3))
        assert [command.changes for command in commands[at + 1 :]] == [
            (x,) for x in (0, 2, 4, 1, 3, 5) for _ in range(own[x])
        ]
        before = templates.commands(made, made_first=False)
        assert before[: at + 1] == commands[: at + 1]
        assert [command.changes for command in before[at + 1 :]] == [(x,) for x in own for _ in range(own[x])]

    def test_created_links_of_one_group_go_together(self, templates: Templates) -> None:
        """The kernel waits once for a group; links without one, or of two, go one by one."""
        plan = SITUATIONS["several-interfaces"].plan()
        gone = [change for change in plan.reverse().changes if isinstance(change.resource, Link)]
        (command,) = templates.commands(gone)
        assert command.argv == ("ip", "link", "del", "group", str(plan.chosen.group))
        assert command.changes == tuple(range(6))
        alone = [_in_group(gone[0], 0), _in_group(gone[1], 0)]
        assert [c.argv[-1] for c in templates.commands(alone)] == ["tap2", "br2"]
        mixed = [gone[0], _in_group(gone[1], 7)]
        assert len(templates.commands(mixed)) == 2

    def test_what_cannot_be_changed_in_place_is_removed_and_added(self, templates: Templates) -> None:
        """An address that is found with another label after a crash is put right, not stumbled over."""
        found, wanted = (AddressState(scope=Keyword("global"), label=Label(label)) for label in ("eth0:x", "eth0"))
        change = Change(Address(ETH0, ip_interface("10.1.90.5/24")), found, wanted, "", NETNS)
        assert [command.line for command in templates.commands([change])] == [
            "ip addr del 10.1.90.5/24 dev eth0",
            "ip addr add 10.1.90.5/24 dev eth0",
        ]

    def test_what_happens_by_itself_has_no_command(self, templates: Templates) -> None:
        """And the indexes of the others are right."""
        plan = SITUATIONS["advertised"].plan()
        named = {index for command in plan.reverse_commands for index in command.changes}
        back = plan.reverse().changes
        by_itself = {n for n, change in enumerate(back) if change.happens_by_itself}
        assert len(by_itself) == 3
        assert named == set(range(len(plan.changes))) - by_itself
        assert templates.commands([change for change in plan.reverse().changes if change.happens_by_itself]) == ()

    @pytest.mark.parametrize(
        ("master", "words"), [(InterfaceName("br0"), ("master", "br0")), (None, ("nomaster",))], ids=["port", "free"]
    )
    def test_a_link_is_released_by_nomaster(
        self, templates: Templates, master: InterfaceName | None, words: tuple[str, ...]
    ) -> None:
        """There is no master called None."""
        change = Change(Master(ETH0), MasterState(InterfaceName("br9")), MasterState(master), "", NETNS)
        (command,) = templates.commands([change])
        assert command.argv == ("ip", "link", "set", "dev", "eth0", *words)


class TestLines:
    """The templates' words against the manual pages, if the kernel has its quirks."""

    @pytest.mark.parametrize(
        ("fact", "line"),
        [
            (address("10.1.90.5/24"), "ip addr add 10.1.90.5/24 dev eth0"),
            (
                address("10.1.90.5/24 brd 10.1.90.255 label eth0:x scope link metric 7"),
                "ip addr add 10.1.90.5/24 broadcast 10.1.90.255 dev eth0 label eth0:x scope link metric 7",
            ),
            (
                address("10.1.90.5/24 peer 10.9.0.1 valid_lft 9 preferred_lft 0"),
                "ip addr add 10.1.90.5/24 peer 10.9.0.1/24 dev eth0 valid_lft 9 preferred_lft 0",
            ),
            (address("127.0.0.2/8 scope host", "lo"), "ip addr add 127.0.0.2/8 dev lo scope host"),
            (address("127.0.0.3/8 scope global"), "ip addr add 127.0.0.3/8 dev eth0 scope global"),
            (address("fe80::5/64 nodad"), "ip addr add fe80::5/64 dev eth0 nodad"),
            (route("default via 10.1.90.1 dev eth0"), "ip route prepend 0.0.0.0/0 via 10.1.90.1 dev eth0"),
            (route("default via fe80::1 dev eth0"), "ip route append ::/0 metric 1024 via fe80::1 dev eth0"),
            (route("10.9.0.0/16 dev eth0 scope link"), "ip route prepend 10.9.0.0/16 dev eth0"),
            (route("10.9.0.0/16 dev eth0 scope global"), "ip route prepend 10.9.0.0/16 scope global dev eth0"),
            (
                route("10.9.0.0/16 via 10.1.90.1 dev eth0 scope link"),
                "ip route prepend 10.9.0.0/16 scope link via 10.1.90.1 dev eth0",
            ),
            (
                route("10.9.0.0/16 scope link nexthop dev eth0 nexthop dev net1 weight 2"),
                "ip route prepend 10.9.0.0/16 scope link nexthop dev eth0 weight 1 nexthop dev net1 weight 2",
            ),
            (route("blackhole 10.9.0.0/16"), "ip route prepend blackhole 10.9.0.0/16"),
            (
                route("local 10.9.0.0/16 dev eth0 table local"),
                "ip route prepend local 10.9.0.0/16 table local dev eth0",
            ),
            (
                route("10.9.0.0/16 via fe80::1 dev eth0 onlink"),
                "ip route prepend 10.9.0.0/16 via inet6 fe80::1 dev eth0 onlink",
            ),
            (
                route("10.9.0.0/16 dev eth0 proto kernel table default tos 0x10 src 10.1.90.5"),
                "ip route prepend 10.9.0.0/16 tos 0x10 table default proto kernel src 10.1.90.5 dev eth0",
            ),
            (
                route("fd97::/64 via fe80::1 dev eth0 expires 9 pref low mtu lock 1400"),
                "ip route append fd97::/64 metric 1024 pref low expires 9 mtu lock 1400 via fe80::1 dev eth0",
            ),
            (neighbour("10.1.90.1"), "ip neigh add 10.1.90.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent"),
            (neighbour("10.1.90.9", proxy=True), "ip neigh add proxy 10.1.90.9 dev eth0"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_adding(self, templates: Templates, fact: Any, line: str) -> None:
        """What is left out is what ip takes if nothing is said."""
        change = Change(fact.resource, None, fact.state, "", NETNS)
        assert [command.line for command in templates.commands([change])] == [line]

    @pytest.mark.parametrize(
        ("fact", "line"),
        [
            (address("10.1.90.5/24 label eth0:x"), "ip addr del 10.1.90.5/24 dev eth0"),
            (address("10.1.90.5/24 peer 10.9.0.1"), "ip addr del 10.1.90.5/24 peer 10.9.0.1/24 dev eth0"),
            (
                route("default via 10.1.90.1 dev eth0 metric 7 mtu 1400"),
                "ip route del 0.0.0.0/0 metric 7 via 10.1.90.1 dev eth0",
            ),
            (neighbour("10.1.90.9", proxy=True), "ip neigh del proxy 10.1.90.9 dev eth0"),
            (neighbour("fe80::1", flags=["router"]), "ip neigh del fe80::1 dev eth0"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_removing(self, templates: Templates, fact: Any, line: str) -> None:
        """What is named is what tells the resource from another."""
        change = Change(fact.resource, fact.state, None, "", NETNS)
        assert [command.line for command in templates.commands([change])] == [line]

    def test_a_route_by_a_nexthop_object_names_the_object(self, templates: Templates) -> None:
        """Its ways are the object's, not the route's."""
        fact = route("10.9.0.0/16 via 10.1.90.1 dev eth0")
        change = Change(evolve(fact.resource, nhid=7), None, fact.state, "", NETNS)
        assert [command.line for command in templates.commands([change])] == ["ip route prepend 10.9.0.0/16 nhid 7"]

    def test_rules_are_put_in_front_and_taken_away_by_one_program(self) -> None:
        """One behind somebody's ACCEPT would never match; chains that came along go behind the rules."""
        plan = SITUATIONS["foreign-rules"].plan()
        there, back = (
            next(command for command in commands if command.argv[0] == "ebtables-restore")
            for commands in (plan.commands, plan.reverse_commands)
        )
        assert there.argv == back.argv == ("ebtables-restore", "--noflush")
        rules = ["INPUT -i eth0 -j DROP", "OUTPUT -o eth0 -j DROP"]
        rules += ["FORWARD -p IPv4 -o eth0 --ip-proto udp --ip-dport 67 -j DROP"]
        assert (there.stdin or "").splitlines() == ["*filter", *(f"-I {rule}" for rule in rules)]
        assert (back.stdin or "").splitlines() == [
            "*filter",
            *(f"-D {rule}" for rule in rules),
            "-X INPUT",
            "-X OUTPUT",
        ]

    def test_a_prefix_route_that_was_absent_goes_again(self, templates: Templates) -> None:
        """Somebody (ptp) had removed it; the kernel brings it back with the address."""
        fact = address("10.1.90.5/24", absent=["10.1.90.0/24"])
        change = Change(fact.resource, None, fact.state, "", NETNS)
        assert [command.line for command in templates.commands([change])] == [
            "ip addr add 10.1.90.5/24 dev eth0",
            "ip route del 10.1.90.0/24 dev eth0 proto kernel",
        ]


def _commands_of_a_pod(name: str) -> list[tuple[str, ...]]:
    """Return the commands, both ways, of a namespace whose link is called ``name``."""
    facts = namespace(
        veth(name),
        address("10.1.90.5/24", name),
        address("fd00::5/64", name),
        route(f"default via 10.1.90.1 dev {name}"),
        route(f"10.9.0.0/16 dev {name}"),
        neighbour("10.1.90.1", name),
        neighbour("10.1.90.9", name, proxy=True),
    )
    plan = plan_of(facts)
    return [command.argv for command in (*plan.commands, *plan.reverse_commands)]


def _in_group(change: Change, group: int) -> Change:
    assert isinstance(change.before, LinkState)
    return evolve(change, before=evolve(change.before, group=group))
