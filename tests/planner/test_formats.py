"""Ways to show a plan: the preview, commands that stand alone, and a script that looks first."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from planner.formats import COLOURED, Style, render_commands, render_script, render_text
from planner.formats.text import render_summary
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.plan.render import Command, Templates
from planner.text.values import InterfaceName, NetnsPath
from tests.planner.builders import address, namespace, plan_of, route, veth
from tests.planner.situations import SITUATIONS, recorded_again

# A stand-in for nsenter: it notes how it was called and what it was given to read, and answers nothing.
NSENTER = """\
#!/bin/sh
printf '%s\\0' "$@" >>{log}
printf '\\001' >>{log}
for word; do case $word in ebtables-restore | -) cat >>{log} ;; esac; done
printf '\\002' >>{log}
"""
Call = tuple[list[str], str | None]
BOTH_WAYS = pytest.mark.parametrize("reverse", [False, True], ids=["wiring", "teardown"])
ALL = pytest.mark.parametrize("name", SITUATIONS)


def plan_named(name: str, *, reverse: bool) -> Plan:
    """Return the plan of a situation, or its reverse."""
    plan = SITUATIONS[name].plan()
    return plan.reverse() if reverse else plan


def odd() -> Plan:
    """Return a plan whose names a shell would look at twice."""
    name = InterfaceName("a~b%c=d,e+f@g")
    netns = NetnsPath("/run/netns/x~y")
    plan = plan_of(namespace(veth(name), address("10.1.90.5/24", name), route(f"default via 10.1.90.1 dev {name}")))
    elsewhere = [evolve(change, netns=netns) for change in plan.changes]
    return evolve(
        plan, netns=netns, changes=tuple(elsewhere), commands=tuple(evolve(c, netns=netns) for c in plan.commands)
    )


def run(program: str, text: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], list[Call]]:
    """Run ``text`` with the stand-in for nsenter; return how it ended, and each call with its standard input."""
    log = folder / "log"
    log.touch()
    stand_in = folder / "nsenter"
    stand_in.write_text(NSENTER.format(log=shlex.quote(str(log))))
    stand_in.chmod(0o755)
    ended = subprocess.run(
        [program, "-c", text],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended, [_call(noted) for noted in log.read_text().split("\x02")[:-1]]


def _call(noted: str) -> Call:
    words, stdin = noted.split("\x01")
    return words.split("\x00")[:-1], stdin or None


class TestText:
    """The preview that a person reads before saying yes."""

    @ALL
    @BOTH_WAYS
    def test_plain_has_no_escape_codes_and_coloured_says_the_same(self, name: str, *, reverse: bool) -> None:
        """Colours add nothing but colours."""
        plan = plan_named(name, reverse=reverse)
        plain, coloured = (render_text(plan, style=style) for style in (COLOURED.__class__(), COLOURED))
        assert "\x1b" not in plain
        assert coloured.count("\x1b[") > 10
        without = re.sub(r"\x1b\[[0-9]*m", "", coloured)
        assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()
        assert coloured.count("\x1b[0m") * 2 == coloured.count("\x1b[")

    @ALL
    @BOTH_WAYS
    def test_every_change_has_a_line_with_its_sign(self, name: str, *, reverse: bool) -> None:
        """Resources that appear, change and disappear, as many as the totals say."""
        plan = plan_named(name, reverse=reverse)
        lines = render_text(plan).splitlines()
        signs: list[str] = []
        for line in lines:
            if re.match(r"  [-+~] \S", line):
                signs.append(line[2])
            elif found := re.match(r" +the same of (.*)", line):
                signs += signs[-1] * len(found[1].split(", "))
        assert signs == [change.sign for change in plan.changes]
        for sign, verb in (("+", "add"), ("~", "change"), ("-", "remove")):
            if signs.count(sign):
                assert re.search(rf"\b{signs.count(sign)} to {verb}\b", lines[-1])

    @ALL
    @BOTH_WAYS
    def test_every_command_is_there_in_order_and_can_be_copied(self, name: str, *, reverse: bool) -> None:
        """Numbered, on one line, its standard input beneath; what is behind a `#` a shell leaves aside."""
        plan = plan_named(name, reverse=reverse)
        numbered = re.findall(r"^ {0,4}(\d+)  (.*)$", render_text(plan), re.MULTILINE)
        assert [int(number) for number, _ in numbered] == list(range(1, len(plan.commands) + 1))
        assert [tuple(shlex.split(line, comments=True)) for _, line in numbered] == [c.argv for c in plan.commands]
        stdin = [line for command in plan.commands for line in (command.stdin or "").splitlines()]
        assert re.findall(r"^ {7}\| (.*)$", render_text(plan), re.MULTILINE) == stdin

    @ALL
    @BOTH_WAYS
    def test_no_line_says_none_or_ends_in_blanks(self, name: str, *, reverse: bool) -> None:
        """`None` is Python's, not a reader's."""
        text = render_text(plan_named(name, reverse=reverse))
        assert not re.search(r"\bNone\b", text)
        assert [line for line in text.splitlines() if line != line.rstrip()] == []

    @ALL
    def test_every_change_of_a_wiring_has_a_reason(self, name: str) -> None:
        """Whoever approves the plan reads why."""
        assert all(change.reason for change in SITUATIONS[name].plan().changes)

    @ALL
    @BOTH_WAYS
    @pytest.mark.parametrize("width", [80, 100, 119, 120, 200])
    def test_it_fits_a_terminal_and_no_word_is_broken(self, name: str, width: int, *, reverse: bool) -> None:
        """What is longer goes on below; commands behind a backslash, so that they can still be copied."""
        plan = plan_named(name, reverse=reverse)
        text = render_text(plan, style=Style(width=width))
        assert [line for line in text.splitlines() if len(line) > width] == []
        words = re.sub(r"(?m)( \\|, all \d+:)$|^ +all \d+: ", " ", text).split()
        assert {*render_text(plan).split()} - {*words} == set()
        joined = text.replace(" \\\n", " ")
        numbered = re.findall(r"^ {0,4}(\d+)  (.*)$", joined, re.MULTILINE)
        assert [tuple(shlex.split(line, comments=True)) for _, line in numbered] == [c.argv for c in plan.commands]

    def test_below_120_columns_reasons_have_lines_of_their_own(self) -> None:
        """One for several changes in a row, with their number."""
        plan = plan_named("routes", reverse=False)
        narrow = render_text(plan, style=Style(width=119)).splitlines()
        assert not any(re.match(r"  [-+~] .* moves to the VM$", line) for line in narrow)
        assert any(re.fullmatch(r" +all \d+: moves to the VM", line) for line in narrow)
        wide = render_text(plan, style=Style(width=120)).splitlines()
        assert any(re.match(r"  [-+~] .* moves to the VM$", line) for line in wide)

    def test_a_reason_that_does_not_fit_beside_is_below(self) -> None:
        """Whole, and not torn between what is said of the change."""
        reason = "isolates the bridge from the pod network; DHCP leases come from here only"
        plan = plan_named("plain", reverse=False)
        for width in (120, 125):
            text = render_text(plan, style=Style(width=width))
            assert re.search(rf"\n +drop DHCP requests leaving through eth0\n +{reason}\n", text), text
        assert re.search(rf"\n  [+] rules  .* {reason}\n", render_text(plan, style=Style(width=140)))

    def test_the_whole_line_of_a_change_is_coloured(self) -> None:
        """Not its sign alone; the reason is faint."""
        lines = render_text(plan_named("plain", reverse=False), style=COLOURED).splitlines()
        (line,) = (line for line in lines if "master none" in line)
        assert re.fullmatch(r"  \x1b\[33m~ eth0 .* master none → br0\x1b\[0m +\x1b\[2m.*\x1b\[0m", line), repr(line)

    @ALL
    @BOTH_WAYS
    def test_the_summary_counts(self, name: str, *, reverse: bool) -> None:
        """What there is of each kind adds up to the plan's changes; no command is shown."""
        plan = plan_named(name, reverse=reverse)
        lines = render_summary(plan).splitlines()
        counts = [int(found[1]) for line in lines if (found := re.match(r"  [-+~] +(\d+) \w", line))]
        assert sum(counts) == len(plan.changes)
        assert lines[-1] == render_text(plan).splitlines()[-1]
        assert not any(line.startswith(("    1  ", "  in /")) for line in lines)

    def test_the_vm_is_told_what_to_open(self) -> None:
        """The tap with the guest's MAC, MTU and queues, and where a DHCP server may listen."""
        (line,) = [
            line for line in render_text(plan_named("tap-options", reverse=False)).splitlines() if "opens" in line
        ]
        for word in ("tap0", "0a:58:0a:01:5a:05", "mtu 1500", "4 queues", "br0", "169.254.99.1"):
            assert word in line
        assert "the VM opens" not in render_text(plan_named("plain", reverse=True))

    def test_a_wired_namespace_has_nothing_to_do(self) -> None:
        """An empty plan says so instead of listing nothing."""
        again = recorded_again_wired("plain")
        text = render_text(again)
        assert render_summary(again) == text
        assert "nothing to do" in text
        assert "to add" not in text


class TestCommands:
    """Nothing but one physical line a command, which works alone in a POSIX shell."""

    @ALL
    @BOTH_WAYS
    def test_is_one_line_a_command(self, name: str, *, reverse: bool) -> None:
        """Standard input included; what must not run if the one before failed is in its line."""
        plan = plan_named(name, reverse=reverse)
        assert "\nnsenter --net=/run/netns/pod1 ebtables --init-table" not in render_commands(plan)
        lines = _each_command(plan)
        assert len(lines) == len(plan.commands)
        assert all(line.isprintable() for line in lines)

    @pytest.mark.parametrize(
        "plan",
        [plan_named("several-interfaces", reverse=False), plan_named("dual-stack", reverse=True), odd()],
        ids=["several-interfaces", "dual-stack-back", "odd-names"],
    )
    @pytest.mark.parametrize("shell", ["sh", "bash"])
    def test_a_shell_runs_exactly_the_words_of_the_plan(self, plan: Plan, shell: str, tmp_path: Path) -> None:
        """Words and standard input arrive at the program as they are in the plan."""
        ended, calls = run(shell, render_commands(plan), tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert calls == [([f"--net={plan.netns}", *command.argv], command.stdin) for command in plan.commands]

    def test_a_command_on_the_host_has_no_prefix(self) -> None:
        """None is the host's namespace."""
        plan = evolve(SITUATIONS["plain"].plan(), commands=(Command(("ip", "link"), None, None, (0,)),))
        assert render_commands(plan) == "ip link\n"

    def test_an_empty_plan_is_an_empty_text(self) -> None:
        """There is nothing to run."""
        assert render_commands(recorded_again_wired("plain")) == ""


def _each_command(plan: Plan) -> list[str]:
    """Return the commands, those that are in one line apart."""
    return render_commands(plan).replace(" && ", "\n").splitlines()


class TestScript:
    """A bash script that does the same by itself."""

    @ALL
    @BOTH_WAYS
    def test_bash_takes_it(self, name: str, *, reverse: bool, templates: Templates) -> None:
        """`bash -n` reads every script without a word."""
        plan = plan_named(name, reverse=reverse)
        script = render_script(plan, templates)
        checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    @ALL
    @BOTH_WAYS
    def test_runs_the_plans_commands_in_order(self, name: str, *, reverse: bool, templates: Templates) -> None:
        """Preview, commands and script show exactly the same."""
        plan = plan_named(name, reverse=reverse)
        runs = [shlex.split(line) for line in render_script(plan, templates).splitlines() if line.startswith("run ")]
        assert [line for _, _, line in runs] == _each_command(plan)
        begun = [{index for command in plan.commands[: n + 1] for index in command.changes} for n in range(len(runs))]
        assert [int(change) for _, change, _ in runs] == [max(indexes) + 1 for indexes in begun]

    @pytest.mark.parametrize(
        "name", ["plain", "routes", "addresses", "neighbours", "foreign-rules", "several-interfaces"]
    )
    def test_refuses_before_the_first_change_where_something_is_not_as_it_was(
        self, name: str, templates: Templates, tmp_path: Path
    ) -> None:
        """In a namespace that answers nothing it exits with 1, says what differs, and has only looked."""
        plan = plan_named(name, reverse=False)
        ended, calls = run("bash", render_script(plan, templates), tmp_path)
        assert ended.returncode == 1
        assert ended.stderr == f"refused: {plan.changes[0].resource} is not as it was when the plan was made\n"
        assert ended.stdout == ""
        assert [call for call, _ in calls if tuple(call[1:]) in {command.argv for command in plan.commands}] == []

    def test_looks_at_every_resource_first(self, templates: Templates) -> None:
        """Each change has its look, at its own resource."""
        script = render_script(plan_named("several-interfaces", reverse=False), templates)
        plan = plan_named("several-interfaces", reverse=False)
        assert len(re.findall(r"^before_\d+\(\) {$", script, re.MULTILINE)) == len(plan.changes)
        assert "lacks '^ [0-9]+: br2[:@]' nsenter --net=/run/netns/pod1 ip -o link show dev br2" in script

    @pytest.mark.parametrize(
        ("fact", "printed"),
        [
            (route("default via 10.1.90.1 dev eth0"), "default via 10.1.90.1 dev eth0 proto boot scope global "),
            (route("10.9.0.0/16 via fe80::1 dev eth0"), "10.9.0.0/16 via inet6 fe80::1 dev eth0 proto boot "),
            (route("10.9.0.0/16 dev eth0"), "unicast 10.9.0.0/16 dev eth0 proto boot scope link "),
            (
                route("10.9.0.0/16 nexthop via 10.1.90.1 dev eth0 nexthop via 10.1.90.2 dev eth0"),
                "10.9.0.0/16\n\tnexthop via 10.1.90.1 dev eth0 weight 1\n\tnexthop via 10.1.90.2 dev eth0 weight 1",
            ),
            (address("10.1.90.5/24"), "2: eth0    inet 10.1.90.5/24 brd 10.1.90.255 scope global eth0"),
            (address("10.1.90.5/32"), "2: eth0    inet 10.1.90.5/32 scope global eth0"),
            (address("10.1.90.5/24 peer 10.9.0.1"), "2: eth0    inet 10.1.90.5 peer 10.9.0.1/24 scope global eth0"),
            (address("10.1.90.5/32 peer 10.9.0.1"), "2: eth0    inet 10.1.90.5 peer 10.9.0.1/32 scope global eth0"),
            (address("fd00::5/128"), "2: eth0    inet6 fd00::5/128 scope global"),
        ],
        ids=lambda value: "" if isinstance(value, str) else str(value.resource),
    )
    def test_knows_what_ip_prints_of_it(self, fact: object, printed: str, templates: Templates, tmp_path: Path) -> None:
        """The look at a resource holds if ip prints it as it really does, and not if it prints something else."""
        facts = namespace(veth(), address("10.1.90.4/24"), fact)  # type: ignore[arg-type]
        plan = plan_of(facts)
        number = 1 + next(n for n, change in enumerate(plan.changes) if change.resource == fact.resource)  # type: ignore[attr-defined]
        head = render_script(plan, templates).partition("for ((i = 1;")[0]
        for shown, expected in (
            (printed, 0),
            (printed.replace("eth0", "eth01").replace("10.", "11.").replace("fd00", "fd01"), 1),
            ("", 1),
        ):
            answer = f"nsenter() {{ printf '%s\\n' {shlex.quote(shown)}; }}\n"
            ended, _ = run("bash", f"{answer}{head}\nbefore_{number}", tmp_path)
            assert (ended.returncode, ended.stderr) == (expected, ""), shown

    def test_does_not_wait_for_what_a_router_brings_back(self, templates: Templates) -> None:
        """After a rollback a learnt address that is still away is no failure."""
        plan = plan_named("advertised", reverse=False)
        script = render_script(plan, templates)
        marks = re.findall(r"^by_itself\+=\((.*)\)$", script, re.MULTILINE)
        assert [mark == "1" for mark in marks] == [change.inverse().happens_by_itself for change in plan.changes]
        assert marks.count("1") == 3

    def test_its_title_says_what_it_does(self, templates: Templates) -> None:
        """Id, namespace and size, in the second line."""
        plan = plan_of(namespace(veth(), address("10.1.90.5/24")), options=PlanOptions())
        title = render_script(plan, templates).splitlines()[1]
        assert (
            title == f"# podwire plan pod1, /run/netns/pod1: {len(plan.changes)} changes, {len(plan.commands)} commands"
        )


def recorded_again_wired(name: str) -> Plan:
    """Return the plan of a namespace that is wired as the situation wants it."""
    return recorded_again(SITUATIONS[name])
