"""An open `ip` answers each command by itself, quickly, in step, and nothing else can be said to it."""

from __future__ import annotations

import json
import os
import select
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from executor.errors import ExecutorError, HostError, TimedOut
from executor.netns.namespace import Namespace
from executor.process import ip_process
from executor.process.ip_batch import IpBatch, batch_line
from tests.executor.helpers_netns import ip, name_of
from tests.support import eventually
from tests.support.processes import children, descriptors, is_running

SHOW_LO = ("ip", "link", "show", "dev", "lo")
UNPARSABLE = ("ip", "route", "add", "nonsense")
ENDLESS = ("ip", "monitor", "route")  # that of links tells of namespaces that others remove


def test_an_answer_is_the_json_that_ip_prints(namespace: Namespace) -> None:
    """As if `ip -j -d` had been run for this command alone."""
    with IpBatch(namespace, timeout=5) as session:
        reply = session.run(SHOW_LO)
    assert reply.ok
    assert [link["ifname"] for link in json.loads(reply.stdout)] == ["lo"]
    assert reply.stderr == ""
    assert 0 < reply.duration < 5


def test_a_change_answers_nothing_and_happens_inside(namespace: Namespace) -> None:
    """The link is there afterwards, in that namespace."""
    with IpBatch(namespace, timeout=5) as session:
        reply = session.run(("ip", "link", "add", "br0", "type", "bridge"))
    assert (reply.rc, reply.stdout, reply.stderr) == (0, "", "")
    assert "br0" in ip("-n", name_of(namespace.path), "link")


def test_a_refused_command_has_its_reason_and_the_session_goes_on(namespace: Namespace) -> None:
    """The kernel's words and nothing of the session's own."""
    with IpBatch(namespace, timeout=5) as session:
        session.run(("ip", "link", "add", "br0", "type", "bridge"))
        reply = session.run(("ip", "link", "add", "br0", "type", "bridge"))
        assert (reply.rc, reply.stdout, reply.stderr) == (1, "", "RTNETLINK answers: File exists\n")
        assert session.run(SHOW_LO).ok


def test_answers_stay_in_step_over_many_commands(namespace: Namespace) -> None:
    """Good ones, refused ones and silent ones, one by one and sent together, each get their own answer."""
    commands = [
        ("ip", "link", "show", "dev", "lo"),
        ("ip", "link", "show", "dev", "nope"),
        ("ip", "route", "show", "table", "77"),
        ("ip", "link", "set", "lo", "mtu", "60000"),
        ("ip", "route", "get", "192.0.2.1"),
        ("ip", "neighbour", "show", "dev", "nope"),
    ] * 20
    with IpBatch(namespace, timeout=5) as session:
        one_by_one = [session.run(command) for command in commands]
        together = session.run_many(commands)
    for replies in (one_by_one, together):
        assert [reply.rc for reply in replies] == [0, 1, 0, 0, 1, 1] * 20
        assert {reply.stderr for reply in replies[1::6]} == {'Device "nope" does not exist.\n'}
        assert {reply.stdout for reply in replies[2::6]} == {"[]\n"}
        assert {reply.stderr for reply in replies[5::6]} == {'Cannot find device "nope"\n'}


def test_large_answers_and_many_questions_do_not_block_each_other(namespace: Namespace) -> None:
    """More than the pipes hold, both ways at once."""
    with IpBatch(namespace, timeout=30) as session:
        assert session.run(("ip", "link", "set", "lo", "up")).ok
        routes = [("ip", "route", "add", f"10.{at // 250}.{at % 250}.0/24", "dev", "lo") for at in range(2000)]
        assert all(reply.ok for reply in session.run_many(routes))
        answers = session.run_many([("ip", "route", "show")] * 20)
    assert {len(json.loads(reply.stdout)) for reply in answers} == {2000}


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_an_answer_is_the_same_wherever_it_is_cut(
    namespace: Namespace, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe may give the bytes in any pieces, those of a character too."""
    alias = "ein \xe4\u20ac"
    commands = [SHOW_LO, ("ip", "link", "show", "dev", "nope"), ("ip", "route", "show")]
    subprocess.run(["ip", "-n", name_of(namespace.path), "link", "set", "lo", "alias", alias], check=True)
    with IpBatch(namespace, timeout=30) as session:
        whole = session.run_many(commands)
        monkeypatch.setattr(ip_process, "_CHUNK", size)
        pieces = session.run_many(commands)
    assert alias in whole[0].stdout
    assert [(reply.rc, reply.stdout, reply.stderr) for reply in pieces] == [
        (reply.rc, reply.stdout, reply.stderr) for reply in whole
    ]


def test_an_answer_as_text_is_what_ip_prints(namespace: Namespace) -> None:
    """Without -j, one line for each thing shown; for what the JSON does not tell."""
    with IpBatch(namespace, timeout=5, json=False) as session:
        session.run(("ip", "link", "set", "lo", "up"))
        session.run(("ip", "route", "add", "192.0.2.0/24", "dev", "lo", "mtu", "lock", "1280"))
        shown = session.run(("ip", "route", "show"))
        refused = session.run(("ip", "route", "show", "dev", "nope"))
    assert (shown.rc, shown.stdout.strip(), shown.stderr) == (
        0,
        "unicast 192.0.2.0/24 dev lo proto boot scope link mtu lock 1280",
        "",
    )
    assert (refused.rc, refused.stdout, refused.stderr) == (1, "", 'Cannot find device "nope"\n')


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        pytest.param(UNPARSABLE, 1, 'Error: any valid prefix is expected rather than "nonsense".\n', id="address"),
        pytest.param(
            ("ip", "route", "show", "table", "nonsense"),
            255,
            'Error: argument "nonsense" is wrong: table id value is invalid\n\n',
            id="argument",
        ),
        pytest.param(
            ("ip", "link", "nonsense"), 255, 'Command "nonsense" is unknown, try "ip link help".\n', id="command"
        ),
    ],
)
def test_a_command_that_ip_cannot_parse_has_failed_and_the_next_one_is_run(
    namespace: Namespace, command: tuple[str, ...], status: int, reason: str
) -> None:
    """`ip` ends there, with its reason and one status or another; a new one is opened without being asked for."""
    with IpBatch(namespace, timeout=5) as session:
        assert session.run(SHOW_LO).ok
        reply = session.run(command)
        assert (reply.rc, reply.stdout, reply.stderr) == (status, "", reason)
        assert session.run(SHOW_LO).ok


def test_commands_sent_behind_one_that_ended_ip_are_run_once_each(namespace: Namespace) -> None:
    """None is lost and none is done twice: a second `append` would show."""
    commands = [
        ("ip", "link", "set", "lo", "up"),
        ("ip", "route", "append", "192.0.2.0/25", "dev", "lo"),
        UNPARSABLE,
        ("ip", "route", "append", "192.0.2.128/25", "dev", "lo"),
        UNPARSABLE,
        UNPARSABLE,
        ("ip", "route", "show"),
    ]
    with IpBatch(namespace, timeout=5) as session:
        replies = session.run_many(commands)
    assert [reply.rc for reply in replies] == [0, 0, 1, 0, 1, 1, 0]
    assert [route["dst"] for route in json.loads(replies[-1].stdout)] == ["192.0.2.0/25", "192.0.2.128/25"]


def test_a_refused_neighbour_ends_ip_and_is_answered_all_the_same(namespace: Namespace) -> None:
    """`ip neighbour add` exits with status 2 if the kernel refuses, unlike its sisters."""
    add = ("ip", "neighbour", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "br0")
    with IpBatch(namespace, timeout=5) as session:
        session.run(("ip", "link", "add", "br0", "type", "bridge"))
        first, second, third = session.run_many([add, add, SHOW_LO])
    assert first.ok
    assert (second.rc, second.stderr) == (2, "RTNETLINK answers: File exists\n")
    assert third.ok


def test_commands_sent_behind_one_another_are_answered_in_their_order(namespace: Namespace) -> None:
    """Each with an answer of its own, whenever it was begun and however many were read at once."""
    with IpBatch(namespace, timeout=5) as session:
        for words in ("link add br0 type bridge", "link add br0 type bridge", "link set br0 up"):
            session.begin(("ip", *words.split()))
        assert [session.answer().rc for _ in range(2)] == [0, 1]
        session.begin(SHOW_LO)
        assert [session.answer().rc for _ in range(2)] == [0, 0]
        assert session.answer_fd == -1


def test_what_was_not_run_since_ip_ended_is_taken_back_or_run_by_the_next(namespace: Namespace) -> None:
    """Only that: what was answered, or is under way, is not."""
    with IpBatch(namespace, timeout=5) as session:
        session.begin(UNPARSABLE)
        for name in ("br0", "br1"):
            session.begin(("ip", "link", "add", name, "type", "bridge"))
        assert not session.withdraw()
        assert not session.answer().ok
        assert session.withdraw()
        assert session.answer().ok
        assert not session.withdraw()
        shown = session.run(("ip", "link", "show", "type", "bridge"))
    assert [link["ifname"] for link in json.loads(shown.stdout)] == ["br1"]


def test_what_is_behind_a_command_that_took_too_long_was_not_run(namespace: Namespace) -> None:
    """It can be taken back, and is not waited for as long again."""
    with IpBatch(namespace, timeout=0.2) as session:
        session.begin(ENDLESS, SHOW_LO)
        with pytest.raises(TimedOut):
            session.answer()
        assert session.withdraw()
        assert session.run(SHOW_LO).ok


def test_an_ip_that_was_killed_between_commands_is_replaced(namespace: Namespace) -> None:
    """The next command is run, not reported as failed."""
    with IpBatch(namespace, timeout=5) as session:
        session.run(SHOW_LO)
        (pid,) = children()
        os.kill(pid, 9)
        eventually(lambda: not is_running(pid), "its end")
        assert session.run(SHOW_LO).ok


def test_an_ip_that_dies_during_a_command_is_said(namespace: Namespace) -> None:
    """The signal is the status, and there is a reason to show."""
    with IpBatch(namespace, timeout=30) as session:
        session.run(SHOW_LO)
        (pid,) = children()
        killer = threading.Timer(0.1, os.kill, (pid, 9))
        killer.start()
        reply = session.run(ENDLESS)
        killer.join()
    assert reply.rc == -9
    assert reply.stderr.endswith("ip ended unexpectedly, with status -9\n")  # it may have remarked something before


def test_a_command_that_takes_too_long_is_killed_and_the_next_one_is_run(namespace: Namespace) -> None:
    """The message says which command, where, and how long it was given; nothing is left of it."""
    with IpBatch(namespace, timeout=0.2) as session:
        session.run(SHOW_LO)
        (pid,) = children()
        with pytest.raises(
            TimedOut, match=rf"^ip monitor route did not end within 0\.2 s in {namespace.path} and was killed$"
        ):
            session.run(ENDLESS)
        assert children() == set()
        assert not is_running(pid)
        assert session.run(SHOW_LO).ok


def test_an_interrupted_command_does_not_leave_its_answer_to_the_next(namespace: Namespace) -> None:
    """After Ctrl-C in the middle of an answer, what follows is asked of a new `ip`."""
    with IpBatch(namespace, timeout=30) as session:
        session.run(SHOW_LO)
        # Of several threads the kernel may pick another, and that would not wake this one.
        interrupt = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            session.run(ENDLESS)
        interrupt.join()
        assert session.run(("ip", "route", "show")).stdout == "[]\n"


def test_a_closed_session_leaves_nothing_behind(namespace: Namespace) -> None:
    """No thread, no zombie, no descriptor; however often it was opened, and however it ended."""
    before = descriptors()
    for _ in range(3):
        with IpBatch(namespace, timeout=30) as session:
            session.run(SHOW_LO)
            session.run(UNPARSABLE)
            session.run(SHOW_LO)
        with IpBatch(namespace, timeout=0.3) as session, pytest.raises(TimedOut):
            session.run(ENDLESS)
    assert children() == set()
    assert descriptors() == before
    eventually(lambda: threading.active_count() == 1, "the end of the thread")


def test_a_link_can_be_made_again_after_its_group_was_deleted(namespace: Namespace) -> None:
    """An `ip` that deletes a group still remembers its links' numbers; one by one or together, nobody notices."""
    add = ("ip", "link", "add", "br0", "group", "4242", "type", "bridge")
    use = ("ip", "address", "add", "192.0.2.1/24", "dev", "br0")
    delete = ("ip", "link", "del", "group", "4242")
    commands = [add, use, delete, SHOW_LO, add, use, delete, add, use]
    with IpBatch(namespace, timeout=5) as session:
        assert [session.run(command).rc for command in commands] == [0] * 9
        assert session.run(delete).ok
        assert [reply.rc for reply in session.run_many(commands)] == [0] * 9


@pytest.mark.parametrize(
    ("word", "name", "number"), [("proto", "static", "77"), ("scope", "link", "200"), ("tos", "AF11", "0x08")]
)
def test_a_name_is_not_the_number_that_came_before(namespace: Namespace, word: str, name: str, number: str) -> None:
    """An `ip` that was given a number takes the last name for it; one by one or together, nobody notices."""
    values = (name, number, name, number, name)
    commands = [("ip", "route", "add", f"203.0.113.{at}", "dev", "lo", word, value) for at, value in enumerate(values)]
    show = ("ip", "route", "show", "root", "203.0.113.0/24")
    with IpBatch(namespace, timeout=5, json=False) as session:
        assert session.run(("ip", "link", "set", "dev", "lo", "up")).ok
        assert all(session.run(command).ok for command in commands)
        one_by_one = session.run(show).stdout
        assert session.run(("ip", "route", "flush", "root", "203.0.113.0/24")).ok
        assert all(reply.ok for reply in session.run_many(commands))
        together = session.run(show).stdout
    for shown in (one_by_one, together):
        assert [f" {name} " in line for line in shown.splitlines()] == [value == name for value in values], shown


def test_ip_is_in_the_namespace_in_a_group_of_its_own_and_holds_the_lock(namespace: Namespace) -> None:
    """So Ctrl-C on the terminal does not reach it, and the lock lasts as long as it does."""
    with IpBatch(namespace, timeout=5) as session:
        session.run(SHOW_LO)
        (pid,) = children()
        inode = Path(namespace.path).stat().st_ino
        assert str(Path(f"/proc/{pid}/ns/net").readlink()) == f"net:[{inode}]"
        assert os.getpgid(pid) == pid
        assert Path(f"/proc/{pid}/fd/{namespace.fd}").stat().st_ino == inode
        assert Path(f"/proc/{pid}/comm").read_text() == "ip\n"


def test_a_link_cannot_be_named_so_that_an_answer_never_ends(namespace: Namespace) -> None:
    """Linux lets an altname be ".", which the marker begins with."""
    with subprocess.Popen(
        ["ip", "-n", name_of(namespace.path), "link", "property", "add", "dev", "lo", "altname", "."]
    ) as add:
        assert add.wait() == 0
    with IpBatch(namespace, timeout=5) as session:
        assert session.run(("ip", "link", "show", "dev", ".")).ok
        assert session.run(SHOW_LO).ok


def test_an_alias_cannot_pass_for_the_end_of_an_answer(namespace: Namespace) -> None:
    """The pod chooses aliases; in JSON a line end in one is escaped."""
    alias = 'x\nCommand failed -:1\nObject "./x" is unknown, try "ip help".\nCommand failed -:2'
    ip("-n", name_of(namespace.path), "link", "set", "lo", "alias", alias)
    with IpBatch(namespace, timeout=5) as session:
        reply = session.run(SHOW_LO)
    assert reply.ok
    assert json.loads(reply.stdout)[0]["ifalias"] == alias


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "a b",
        "a\tb",
        "a\n",
        "\nlink del lo",
        "a#b",
        "#",
        'a"b',
        "a'b",
        "a\\",
        "a;b",
        "$(x)",
        "`x`",
        "a|b",
        "a&b",
        "-x",
        "--",
        "-",
        "-batch",
        "-1x",
        "-all",
        "é",
        "a\0b",
        "(",
        "*",
        "?",
        "{",
        "[",
        "<",
        ">",
        "!",
    ],
    ids=ascii,
)
def test_a_word_that_could_be_more_than_a_word_is_refused(namespace: Namespace, token: str) -> None:
    """Before anything is written, also behind good commands; `ip` is not even started."""
    with IpBatch(namespace, timeout=5) as session:
        with pytest.raises(ExecutorError, match=r"is not a word that podwire gives to ip$"):
            session.run_many([("ip", "link", "add", "br0", "type", "bridge"), ("ip", "link", "show", "dev", token)])
        assert children() == set()
        assert len(json.loads(session.run(("ip", "link", "show")).stdout)) == 1


@pytest.mark.parametrize("argv", [(), ("ip",), ("bridge", "link"), ("/bin/ip", "link"), ("sh", "-c", "true")], ids=str)
def test_only_ip_commands_go_to_ip(argv: tuple[str, ...]) -> None:
    """Everything else is a program of its own."""
    with pytest.raises(ExecutorError, match=r"is not an ip command$"):
        batch_line(argv)


def test_the_words_that_plans_are_made_of_are_safe() -> None:
    """Names, addresses, numbers and keywords go through as they are."""
    words = (
        "ip",
        "route",
        "add",
        "2001:db8::/64",
        "via",
        "fe80::1",
        "dev",
        "eth0.100@x",
        "metric",
        "-1",
        "a_b=c,d~e%f+g^h",
    )
    assert batch_line(words) == " ".join(words[1:])


def test_without_ip_the_session_says_what_to_install(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package has another name than the program."""
    monkeypatch.setattr("shutil.which", lambda *_args, **_keywords: None)
    monkeypatch.setattr("executor.process.spawn._found_before", {})
    with (
        IpBatch(namespace, timeout=5) as session,
        pytest.raises(HostError, match=r"the program ip .* package iproute2$"),
    ):
        session.run(SHOW_LO)


def test_a_command_costs_a_fraction_of_a_process(namespace: Namespace) -> None:
    """0.1 ms was measured, and 4 ms for a process; the limit leaves room for a busy machine."""
    durations = []
    with IpBatch(namespace, timeout=5) as session:
        for _ in range(200):
            started = time.perf_counter()
            session.run(SHOW_LO)
            durations.append(time.perf_counter() - started)
    assert statistics.median(durations) < 0.001


def test_questions_may_be_asked_ahead(namespace: Namespace) -> None:
    """Before ``ip`` runs, even; what is answered is what was so when it came to them, not when they are read."""
    with IpBatch(namespace, timeout=5) as session:
        session.begin(SHOW_LO, ("ip", "link", "show", "dev", "nope"))
        assert select.select([session.answer_fd], [], [], 5)[0] != []
        assert session.deadline > time.monotonic()
        lo, nope = session.finish()
        assert (lo.ok, nope.ok) == (True, False)
        assert session.run_many([]) == ()


@pytest.mark.parametrize("leave", [IpBatch.abandon, IpBatch.end, IpBatch.close])
def test_whoever_is_let_go_is_followed_by_another(namespace: Namespace, leave: Callable[[IpBatch], None]) -> None:
    """ProbeOutput that nobody reads do not get among those of the next one."""
    with IpBatch(namespace, timeout=5) as session:
        if leave is IpBatch.abandon:
            session.begin(*[("ip", "link", "show")] * 3)
        else:
            session.run(SHOW_LO)
        leave(session)
        reply = session.run(("ip", "link", "show", "dev", "nope"))
        assert (reply.rc, reply.stderr) == (1, 'Device "nope" does not exist.\n')
    assert children() == set()
