"""podwire-cni behind chains of Debian's plugins, in several versions of CNI: nothing of a pod is left on the host."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import frozen

from tests.cni.helpers_cni import BRIDGE, PLUGIN, PTP
from tests.conformance.trial import Conf, Subject, Trial, trial_of
from tests.support.cni import complete, host_local
from tests.support.dumps import Dump, difference, dump, lasting_difference

DUAL = {"ipam": host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))}
MACVLAN: Conf = {"type": "macvlan", "master": "uplink", "mode": "bridge", "ipam": host_local()}
TUNING: Conf = {"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}
PORTMAP: Conf = {
    "type": "portmap",
    "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
}
BANDWIDTH: Conf = {"type": "bandwidth"} | {
    f"{way}gress{what}": 10**6 for way in ("in", "e") for what in ("Rate", "Burst")
}


@frozen
class Chain:
    """What comes before podwire-cni, and how that is configured; ``nat`` says that the host translates for the pod."""

    before: tuple[Conf, ...]
    version: str
    wiring: str
    nat: bool = True

    def __str__(self) -> str:
        return f"{'+'.join(conf['type'] for conf in self.before)}, {self.version}, {self.wiring}"


CHAINS = [
    Chain((BRIDGE,), "1.1.0", "bridge"),
    Chain((BRIDGE | DUAL, TUNING, BANDWIDTH, PORTMAP), "0.3.1", "bridge"),
    Chain((BRIDGE | DUAL, BANDWIDTH, PORTMAP), "1.0.0", "tc"),
    Chain((PTP | DUAL, TUNING, PORTMAP), "0.4.0", "bridge"),
    Chain((PTP | DUAL, PORTMAP), "0.3.1", "tc"),
    Chain((MACVLAN | DUAL, TUNING), "1.0.0", "tc", nat=False),
    Chain((MACVLAN,), "0.4.0", "tc", nat=False),
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_a_chain_leaves_nothing_on_the_host(chain: Chain, tmp_path: Path) -> None:
    """With ipMasq: a plugin finds what to unmasquerade by the addresses on the interface, which are back by then.

    The DEL of the plugins before it comes without a result. What they leave on the host themselves was there before.
    """
    conf = {"type": "podwire-cni", "stateDir": str(tmp_path / "state"), "wiring": chain.wiring}
    with trial_of(Subject(PLUGIN, conf, chain.before), chain.version) as trial:
        trial.host.ip("link add uplink type veth peer name switch")
        for link in ("uplink", "switch"):
            trial.host.ip(f"link set {link} up")
        before_pod, before_host = dump(trial.pod), _host_after_a_pod(trial)
        previous = trial.prepare()
        complete(trial.pod, "eth0")
        wired_before = dump(trial.pod)
        answer = trial.call("ADD", trial.conf(previous))
        assert answer.ok, answer
        trial.results.append(answer.document())
        assert ("10.1.90." in trial.host.run("nft", "list", "ruleset").out) == chain.nat
        if chain.version >= "0.4.0":
            checked = trial.call("CHECK", trial.conf(trial.results[-1]))
            assert checked.ok, checked
        assert trial.delete().ok
        assert lasting_difference(wired_before, trial.pod) == ""
        trial.prepare("DEL")
        assert "10.1.90" not in trial.host.run("nft", "list", "ruleset").out
        assert lasting_difference(before_host, trial.host) == ""
        assert difference(before_pod, dump(trial.pod)) == ""
        assert not any((tmp_path / "state/wirings").iterdir())


def _host_after_a_pod(trial: Trial) -> Dump:
    """Return what the host is after the other plugins have come and gone: a bridge and empty chains may stay."""
    trial.prepare()
    trial.prepare("DEL")
    trial.host.settle()
    return dump(trial.host)
