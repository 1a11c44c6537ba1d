"""`ip -batch -`: what one open `ip` does with many lines.

executor/process/ip_batch.py and executor/observe/observe.py are built on this.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO, Any

import pytest

from tests.kernel.asking import addresses, ask, batch, routes
from tests.support import Namespace, Outcome, by_netlink, eventually

SHOW_LO = "link show dev lo"


def documents(output: str) -> list[list[dict[str, Any]]]:
    """Return the JSON answers among the lines of an output."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("[")]


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failure_names_the_number_of_its_line(inside: Namespace) -> None:
    """`Command failed -:N` follows the reason and ends an answer (executor/process/ip_batch.py)."""
    answer = batch(inside, SHOW_LO, "link show dev nope", SHOW_LO, "link del dev nope")
    lines = answer.out.splitlines()
    assert lines[1:3] == ['Device "nope" does not exist.', "Command failed -:2"]
    assert lines[4:] == ['Cannot find device "nope"', "Command failed -:4"]
    assert answer.rc == 1  # with -force: the worst of them


@pytest.mark.parametrize(
    "line",
    [
        "link show dev nope",
        "link del dev nope",
        "link del group 4711",
        "link set dev eth0 address 01:00:00:00:00:01",
        "link add br9 type nosuch",
        "addr add 192.0.2.5/24 dev nope",
        "addr del 192.0.2.5/24 dev eth0",
        "route append 198.51.100.0/24 via 192.0.2.1",
        "route del 198.51.100.0/24",
        "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev nope",
        "tuntap add dev eth0 mode tap",
    ],
)
def test_a_refusal_does_not_end_it(inside: Namespace, line: str) -> None:
    """With -force the next line is answered; podwire then journals the refusal and goes on."""
    answer = batch(inside, line, SHOW_LO)
    assert "Command failed -:1" in answer.out.splitlines()
    assert len(documents(answer.out)) == 1


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("route append nonsense", 1),
        ("addr add 192.0.2.300/24 dev eth0", 1),
        ("link set dev lo mtu many", 255),
        ("link set dev eth0 master nope", 255),
        ("route append 198.51.100.0/24 dev eth0 congestion cubic", 255),
        ("tuntap add dev tap0 mode tap user no-such-user", 255),
        ("link nonsense", 255),
    ],
)
def test_an_argument_that_cannot_be_parsed_ends_it(inside: Namespace, line: str, status: int) -> None:
    """Without `Command failed`, and -force doesn't help: a new session is opened then."""
    answer = batch(inside, line, SHOW_LO)
    assert answer.rc == status
    assert answer.out.strip() != ""
    assert "Command failed" not in answer.out
    assert documents(answer.out) == []


@pytest.mark.parametrize(
    "line",
    [
        "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0",
        "neigh add proxy 192.0.2.9 dev lo nud nonsense",
        "neigh del 192.0.2.8 dev eth0",
        "neigh del proxy 192.0.2.8 dev eth0",
    ],
)
def test_a_refused_neighbour_ends_it(inside: Namespace, line: str) -> None:
    """`neigh add` and `neigh del` exit by themselves (status 2, not 1) if others report: another new session."""
    inside.ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0")
    answer = batch(inside, line, SHOW_LO)
    assert answer.rc == (255 if "nonsense" in line else 2)
    assert "Command failed" not in answer.out
    assert documents(answer.out) == []


def test_an_unknown_object_is_no_reason_to_end(inside: Namespace) -> None:
    """Nor to ask the kernel, which may keep others waiting (executor/process/ip_batch.py: the marker)."""
    answer = batch(inside, SHOW_LO, "./x", SHOW_LO)
    assert [each[0]["ifname"] for each in documents(answer.out)] == ["lo", "lo"]
    assert answer.out.splitlines()[1:3] == ['Object "./x" is unknown, try "ip help".', "Command failed -:2"]


# --- the language -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-4", "-6"])
def test_families_cannot_be_chosen_by_option(inside: Namespace, option: str) -> None:
    """So observe asks `route show table all root ::/0`, never `-6 route show`."""
    assert f'Object "{option}" is unknown' in batch(inside, f"{option} route show").out


def test_root_chooses_a_family_and_nothing_chooses_both(inside: Namespace) -> None:
    """The two questions about routes (executor/observe/observe.py) together are `route show table all`."""
    inside.ip("addr add 192.0.2.5/24 dev eth0")
    inside.ip("addr add 2001:db8::5/64 dev eth0 nodad")
    eventually(lambda: "2001:db8::5 " in inside.ip("-6 route show table local"), "the local route, which comes last")
    answer = batch(
        inside, *(f"route show table all{root}" for root in (" root 0.0.0.0/0", " root ::/0", "")), options="-o"
    )
    v4 = inside.ip("-4 -o route show table all")
    v6 = inside.ip("-6 -o route show table all")
    assert answer.out == v4 + v6 + v4 + v6
    assert "2001:db8::/64" in v6
    assert ":" not in v4


def test_root_without_all_tables_chooses_nothing(inside: Namespace) -> None:
    """Not even the main table's: there is no shorter way to ask than observe's."""
    inside.ip("addr add 2001:db8::5/64 dev eth0 nodad")
    answer = batch(inside, "route show root ::/0", "route show table main root ::/0", options="-o")
    assert answer == Outcome(0, "", "")


def test_default_is_ipv4_until_an_address_says_otherwise(inside: Namespace) -> None:
    """Templates write `::/0` (a route without a gateway has nothing else to tell its family by)."""
    batch(inside, "route append default dev eth0", "route append ::/0 dev eth0")
    assert routes(inside) == ["default dev eth0 scope link"]
    assert routes(inside, family=6) == ["default dev eth0 metric 1024 pref medium"]


@pytest.mark.parametrize(
    ("line", "alias"),
    [
        ("link set dev lo alias 'two words'", "two words"),
        ("link set dev lo alias one # two", "one"),
        ("link set dev lo alias \\\none", "one"),
    ],
    ids=["quotes", "comment", "line end"],
)
def test_the_language_has_quotes_and_comments(inside: Namespace, line: str, alias: str) -> None:
    """Text that isn't a plain token could become another word, so it never gets there (ip_batch.batch_line)."""
    assert batch(inside, line).rc == 0
    assert ask(inside, "link show dev lo")[0]["ifalias"] == alias


def test_a_comment_begins_within_quotes_too(inside: Namespace) -> None:
    """So there is no way to write `#` at all, and the line is then one that ends `ip`."""
    answer = batch(inside, "link set dev lo alias '# one'", SHOW_LO)
    assert answer.out == "Unterminated quoted string\n"


# --- the conversation -------------------------------------------------------------------------------------------------


@contextmanager
def conversation(namespace: Namespace, options: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open an `ip` and yield its standard input and its output."""
    argv = ["nsenter", f"--net={namespace.path}", "ip", *options.split(), "-force", "-batch", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.stdin.close()
            process.wait(timeout=5)


@pytest.mark.parametrize("options", ["-j -d", "-d -o"])
@pytest.mark.parametrize(
    "line", ["link show", "addr show", "route show table all root ::/0", "neigh show nud all", "neigh show proxy"]
)
def test_an_answer_comes_before_the_next_line_is_sent(inside: Namespace, options: str, line: str) -> None:
    """Standard output is flushed after each line; a session could not wait for an answer otherwise."""
    inside.ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0")
    inside.ip("neigh add proxy 192.0.2.10 dev eth0")
    with conversation(inside, options) as (question, output):
        question.write(f"{line}\n".encode())
        question.flush()
        assert select([output], [], [], 5)[0] != []


def test_errors_and_answers_stay_in_order_in_one_pipe(inside: Namespace) -> None:
    """That is how podwire knows whose error it is (executor/process/ip_batch.py)."""
    answer = batch(inside, *[SHOW_LO, "link show dev nope"] * 50)
    kinds = ["ok" if line.startswith("[") else line for line in answer.out.splitlines()]
    expected = [["ok", 'Device "nope" does not exist.', f"Command failed -:{2 * n}"] for n in range(1, 51)]
    assert kinds == [word for three in expected for word in three]


def test_display_state_leaks_from_line_to_line(inside: Namespace) -> None:
    """After `link show` the same question has more keys: planner.facts.parse reads named keys, never a whole answer."""
    before, _, after = documents(batch(inside, "addr show", "link show dev lo", "addr show").out)
    assert set(after[0]) - set(before[0]) == {"linkmode", "inet6_addr_gen_mode"}
    assert [entry["addr_info"] for entry in after] == [entry["addr_info"] for entry in before]


@pytest.mark.parametrize("first", ["lo", "nope"])
def test_whoever_was_asked_for_a_link_shows_links_whole(inside: Namespace, first: str) -> None:
    """So `addr show` has all of `link show`, of which podwire asks for one only (executor/observe/observe.py)."""
    inside.batch(
        "link add br9 type bridge",
        "link add veth9 type veth peer name peer9",
        "link set veth9 master br9 up",
        "link add mv9 link eth0 type macvlan",
        "link add vx9 type vxlan id 9 dstport 4789",
        "tuntap add tap9 mode tap user nobody group 7",
        "link set tap9 alias 'of another' txqueuelen 7",
        "link property add dev tap9 altname another",
        "link set br9 type bridge forward_delay 200",
        "link set br9 up",
    )
    *_, addresses, links = documents(batch(inside, f"link show dev {first}", "addr show", "link show").out)
    assert len(links) > 7
    for shown in addresses:
        del shown["addr_info"]
    assert [without_timers(shown) for shown in addresses] == [without_timers(shown) for shown in links]


def without_timers(link: dict[str, Any]) -> str:
    """Return a link as JSON, less what counts down meanwhile."""
    return re.sub(r'"[a-z_]*timer": [0-9.]+', "", json.dumps(link))


def test_after_links_the_addresses_of_one_link_are_not_shown(inside: Namespace) -> None:
    """`addr show dev X` then has no `addr_info` at all, without an error: observe asks for all links' at once."""
    before, _, after = documents(batch(inside, "addr show dev lo", "link show", "addr show dev lo").out)
    assert [entry["local"] for entry in before[0]["addr_info"]] == ["127.0.0.1", "::1"]
    assert "addr_info" not in after[0]


def test_only_link_show_tells_the_address_generation_mode(inside: Namespace) -> None:
    """`ip -d addr` doesn't, unless it is asked after a link."""
    assert "inet6_addr_gen_mode" not in ask(inside, "addr show dev eth0")[0]
    assert ask(inside, "link show dev eth0")[0]["inet6_addr_gen_mode"] == "eui64"


# --- what it remembers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "name", "number"), [("proto", "static", "77"), ("scope", "link", "200"), ("tos", "AF11", "0x8")]
)
def test_a_number_takes_the_place_of_the_last_name(inside: Namespace, word: str, name: str, number: str) -> None:
    """Of routes, and of addresses and neighbours as well (iproute2, rt_names.c)."""
    batch(
        inside, *(f"route add 203.0.113.{at} dev eth0 {word} {value}" for at, value in enumerate((name, number, name)))
    )
    shown = inside.ip("-d route show root 203.0.113.0/24").splitlines()
    assert (f" {name} " in shown[0], f" {name} " in shown[2]) == (True, False)


MAKE = ("link add name br7 type bridge", "link set dev br7 group 77", "link set dev br7 up", "link show")


@pytest.mark.parametrize("show", ["link show", "addr show", "link show dev br7"])
def test_a_link_that_was_shown_and_deleted_by_name_is_forgotten(inside: Namespace, show: str) -> None:
    """A link of that name that is made afterwards is found; one session does for a whole operation."""
    answer = batch(inside, *MAKE, show, "link del dev br7", *MAKE)
    assert answer.rc == 0
    first, *_, second = documents(answer.out)
    assert max(link["ifindex"] for link in first) < max(link["ifindex"] for link in second)


@pytest.mark.parametrize("show", ["link show", "addr show", "link show dev br7"])
def test_links_that_were_shown_and_deleted_by_group_are_not_forgotten(inside: Namespace, show: str) -> None:
    """The new link is looked for under the old number: a new session takes over (executor/process/ip_batch.py)."""
    answer = batch(inside, *MAKE, show, "link del group 77", *MAKE)
    number = len(MAKE) + 4
    assert f"RTNETLINK answers: No such device\nCommand failed -:{number}\n" in answer.out


# --- what -j prints is not what ip takes ------------------------------------------------------------------------------


def test_that_a_metric_is_locked_is_only_in_the_text(inside: Namespace) -> None:
    """So observe asks once more without -j if a route has metrics, and capture reads them from there."""
    inside.ip("route add 198.51.100.0/24 dev eth0 mtu lock 1280")
    inside.ip("route add 203.0.113.0/24 dev eth0 mtu 1280")
    locked, free = ask(inside, "route show")
    assert locked["metrics"] == free["metrics"] == [{"mtu": 1280}]
    assert [line.split("mtu ")[1] for line in routes(inside)] == ["lock 1280", "1280"]


def test_metrics_have_other_words_in_json(inside: Namespace) -> None:
    """Not so in the text form, which is nearly the input language: what it prints makes the same route again."""
    words = "mtu lock 1280 rtt 90ms features ecn congctl cubic"
    inside.ip(f"route add 198.51.100.0/24 dev eth0 {words}")
    (route,) = ask(inside, "route show")
    assert route["metrics"] == [{"mtu": 1280, "rtt": 90, "ecn": None, "congestion": "cubic"}]
    (line,) = inside.ip("-o -d route show").splitlines()
    inside.ip("route flush dev eth0")
    inside.ip(f"route append {line}")
    assert inside.ip("-o -d route show").splitlines() == [line]
    assert words in line


def test_rto_min_is_shown_as_locked_and_takes_no_lock(inside: Namespace) -> None:
    """The one metric whose text can't be given back as it is (planner/facts/parse.py)."""
    inside.ip("route add 198.51.100.0/24 dev eth0 rto_min 200ms")
    assert "rto_min lock 200ms" in inside.ip("route show")
    refused = batch(inside, "route append 203.0.113.0/24 dev eth0 rto_min lock 200ms")
    assert 'argument "lock" is wrong: "rto_min" value is invalid' in refused.out


def test_others_set_metrics_that_ip_shows_and_cannot_set(inside: Namespace) -> None:
    """A feature that it doesn't know, a `rto_min` without a lock (planner/facts/parse_route.py)."""
    inside.ip("addr add 192.0.2.5/24 dev eth0")
    program = Path(by_netlink.__file__)
    inside.run("python3", str(program), "route", "198.51.100.0/24", "192.0.2.1", "eth0", "12=17", "13=40")
    (line,) = routes(inside, "198.51.100.0/24")
    assert "features ecn 0x11 rto_min 40ms" in line
    refused = batch(inside, "route append 203.0.113.0/24 dev eth0 features 0x11")
    assert '"features" value not valid' in refused.out


def test_a_gateway_of_the_other_family_is_called_via(inside: Namespace) -> None:
    """`via: {family, host}` instead of `gateway` (planner/facts/parse.py)."""
    inside.ip("route add 198.51.100.0/24 via inet6 fe80::1 dev eth0")
    (route,) = ask(inside, "route show")
    assert "gateway" not in route
    assert route["via"] == {"family": "inet6", "host": "fe80::1"}


def test_a_nexthop_object_brings_keys_and_a_line_of_its_own(inside: Namespace) -> None:
    """`nhid` and `nh_info`; in text an indented line even with -o, which planner/facts/parse.py skips."""
    inside.ip("nexthop add id 7 dev eth0")
    inside.ip("route add 198.51.100.0/24 nhid 7")
    (route,) = ask(inside, "route show")
    assert route["nhid"] == route["nh_info"]["id"] == 7
    first, second = inside.ip("-o -d route show").splitlines()
    assert first.startswith("unicast 198.51.100.0/24 nhid 7")
    assert second.startswith("\tnh_info id 7 ")


def test_an_encapsulated_route_repeats_a_key(inside: Namespace) -> None:
    """The last `dst` wins in most JSON readers; the route's is the first. Such routes are refused if touched."""
    inside.ip("addr add 192.0.2.5/24 dev eth0")
    inside.ip("route add 198.51.100.0/24 encap ip id 5 dst 192.0.2.2 via 192.0.2.3 dev eth0")
    text = inside.ip("-j route show")
    assert text.count('"dst":"198.51.100.0/24"') == text.count('"dst":"192.0.2.2"') == 1
    assert [route["dst"] for route in json.loads(text)][-1] == "192.0.2.2"


def test_the_flags_of_a_neighbour_are_keys_with_null(inside: Namespace) -> None:
    """Not words in a list, as its state is (planner/facts/parse.py)."""
    inside.ip("neigh add fe80::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent router extern_learn")
    inside.ip("neigh add proxy 192.0.2.9 dev eth0")
    (found,) = (entry for entry in ask(inside, "neigh show") if entry["dst"] == "fe80::1")
    assert found["state"] == ["PERMANENT"]
    assert [found[key] for key in ("router", "extern_learn")] == [None, None]
    assert ask(inside, "neigh show proxy") == [{"dst": "192.0.2.9", "dev": "eth0", "proxy": None}]


def test_forever_is_a_number_and_local_is_ours(inside: Namespace) -> None:
    """4294967295 seconds; `address` is the peer's; nobody can set `secondary` (planner/facts/parse.py)."""
    inside.ip("addr add 192.0.2.5 peer 192.0.2.1/24 dev eth0")
    inside.ip("addr add 198.51.100.5/24 dev eth0")
    inside.ip("addr add 198.51.100.6/24 dev eth0")
    peer, _, secondary = addresses(inside)[:3]
    assert (peer["local"], peer["address"], peer["prefixlen"]) == ("192.0.2.5", "192.0.2.1", 24)
    assert (peer["valid_life_time"], peer["preferred_life_time"]) == (2**32 - 1, 2**32 - 1)
    assert secondary["secondary"] is True
    assert "secondary option is not mutable" in batch(inside, "addr add 192.0.2.7/24 dev eth0 secondary").out
    assert "secondary" not in addresses(inside)[-1]


def test_owners_of_taps_are_names(inside: Namespace) -> None:
    """If the host has a name for the number; observe makes numbers of them again."""
    inside.ip("tuntap add dev tap7 mode tap user 0 group 4711")
    (tap,) = ask(inside, "link show dev tap7")
    assert tap["linkinfo"]["info_data"]["user"] == "root"
    assert tap["linkinfo"]["info_data"]["group"] in ("4711", 4711)
