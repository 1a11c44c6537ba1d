"""guest: what is told of a plan, and of what is wired."""

from __future__ import annotations

from pathlib import Path

import pytest

import podwire
from tests.support.cli import Cli
from tests.support.pods import Pod


@pytest.fixture
def plan(cli: Cli, pod: Pod, result: Path) -> Path:
    """Store the plan that wires the pod, and return the file."""
    file = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
    return file


def test_a_plan_tells_what_the_wiring_will(cli: Cli, pod: Pod, plan: Path) -> None:
    """Before anything is applied, and then by the id."""
    before = cli.ok("guest", plan, "--format", "cloud-init")
    assert 'addresses: ["10.1.90.5/24"]' in before
    cli.ok("apply", plan, "--yes")
    assert cli.ok("guest", pod.inside.name, "--format", "cloud-init") == before


def test_dnsmasq_takes_the_configuration(cli: Cli, pod: Pod, plan: Path) -> None:
    """`dnsmasq --test` reads it to its end, if the links are that it names."""
    cli.ok("apply", plan, "--yes")
    file = cli.folder / "dnsmasq.conf"
    file.write_text(cli.ok("guest", plan, "--format", "dnsmasq"))
    assert "syntax check OK" in pod.inside.run("dnsmasq", "--test", "-C", str(file)).err


def test_dnsmasq_takes_what_has_room(cli: Cli, pod: Pod) -> None:
    """However many routes, name servers and domains there are; what is left out is said."""
    many = range(100)
    pod.inside.run("ip", "-batch", "-", stdin="".join(f"route add 20.0.{n}.0/24 via 10.1.90.1\n" for n in many))
    servers = [f"{net}{n + 1:{form}}" for net, form in (("10.9.0.", "d"), ("fd00:1:2:3:4:5:6:", "x")) for n in many]
    pod.result["dns"] = {"nameservers": servers, "search": [f"{'d' * 40}{n}.svc.example" for n in many]}
    cli.ok("apply", *cli.wiring(pod), "--yes")
    outcome = cli.run("guest", pod.inside.name, "--format", "dnsmasq")
    file = cli.folder / "dnsmasq.conf"
    file.write_text(outcome.out)
    assert "syntax check OK" in pod.inside.run("dnsmasq", "--test", "-C", str(file)).err
    for what in ("routes", "name servers", "domains to search in"):
        assert f"{what} of eth0: the first left out is " in outcome.err


def test_cloud_init_has_two_versions(cli: Cli, plan: Path) -> None:
    """And no third; others have none."""
    assert cli.ok("guest", plan, "--format", "cloud-init", "--version", "1").startswith("version: 1\n")
    assert "'3' is not one of 1, 2" in cli.refused("guest", plan, "--format", "cloud-init", "--version", "3")
    assert "only cloud-init's" in cli.refused("guest", plan, "--format", "qemu", "--version", "2")


def test_what_a_format_cannot_say_is_said(cli: Cli, pod: Pod) -> None:
    """On standard error, so that what is printed can be used."""
    pod.result["dns"] = {"options": ["ndots:5"]}
    file = cli.folder / "dns.plan"
    cli.ok("plan", "--result", cli.result_of(pod), "--netns", pod.inside.name, "-o", file)
    outcome = cli.run("guest", file, "--format", "kernel")
    assert outcome.rc == 0
    assert outcome.out == "ip=10.1.90.5::10.1.90.1:255.255.255.0:::off\n"
    assert outcome.err == "podwire: ip= cannot carry the resolver's options ('ndots:5')\n"


def test_an_unknown_id_is_refused(cli: Cli) -> None:
    """And so is a file that is none."""
    assert "pod9 was never wired here" in cli.refused("guest", "pod9")
    assert "cannot be read" in cli.refused("guest", "./pod9")


def test_the_library_has_it(cli: Cli, plan: Path) -> None:
    """As text and notes."""
    given = podwire.parse_plan(plan.read_text())
    assert podwire.guest(given, "qemu").text == cli.ok("guest", plan, "--format", "qemu")
    with pytest.raises(podwire.InvalidInput, match="'yaml' is not one of json, dnsmasq"):
        podwire.guest(given, "yaml")
