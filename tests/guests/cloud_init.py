"""cloud-init's own renderers: what they make of a network configuration, as addresses, routes and more.

Each renderer writes the files of a network service; they are read here by their own rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, frozen

from tests.guests.fetch import folder
from tests.support import run

_PYTHON = "/usr/bin/python3"  # Debian's, which the packages are for
_NONE = {"0.0.0.0", "::", None, ""}  # noqa: S104 -- no gateway
# What `cloud-init devel net-convert` does, for several lines of arguments; each by a process, since it changes its own
# modules' values.
_CONVERT = """
import json, os, sys
from cloudinit.cmd.devel import net_convert
for words in json.load(sys.stdin):
    if not os.fork():
        net_convert.handle_args("net-convert", net_convert.get_parser().parse_args(words))
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"it failed: {words}")
"""
DISTRIBUTIONS = {
    "netplan": "debian",
    "networkd": "debian",
    "network-manager": "debian",
    "eni": "debian",
    "sysconfig": "rhel",
}


@frozen
class Rendered:
    """What a network service is told of one interface: addresses with their length, destinations and gateways."""

    addresses: set[str]
    routes: set[tuple[str, str | None]]
    mtu: str | None
    nameservers: set[str]
    search: set[str]


def render(texts: Mapping[tuple[str, str], str], work: Path) -> dict[tuple[str, str, str], dict[str, Rendered]]:
    """Return what every renderer makes of network configurations, by pod, form and renderer, and by interface.

    cloud-init is started once for all: most of the time it reads its own modules.
    """
    wanted = {(*key, renderer): work.joinpath(*key, renderer) for key in texts for renderer in DISTRIBUTIONS}
    for key, text in texts.items():
        work.joinpath(*key).mkdir(parents=True)
        work.joinpath(*key, "network-config").write_text(text)
    lines = [
        ["-p", made.parent / "network-config", "-k", "yaml", "-d", made, "-D", DISTRIBUTIONS[renderer], "-O", renderer]
        for (*_, renderer), made in wanted.items()
    ]
    environment = {"PYTHONPATH": str(folder() / "cloud-init"), "PATH": "/usr/bin:/bin"}
    run([_PYTHON, "-c", _CONVERT], env=environment, stdin=json.dumps(lines, default=str))
    return {key: _without_loopback(_READERS[key[2]](made / "etc")) for key, made in wanted.items()}


def _without_loopback(found: dict[str, Rendered]) -> dict[str, Rendered]:
    return {name: _as_wire(rendered) for name, rendered in found.items() if name != "lo"}


def _as_wire(rendered: Rendered) -> Rendered:
    """Return an interface; of one without addresses some renderers leave the name servers out."""
    return rendered if rendered.addresses else evolve(rendered, nameservers=set(), search=set())


def _netplan(etc: Path) -> dict[str, Rendered]:
    document = yaml.safe_load((etc / "netplan/50-cloud-init.yaml").read_text())
    return {name: _netplan_one(found) for name, found in document["network"]["ethernets"].items()}


def _netplan_one(found: dict[str, Any]) -> Rendered:
    routes = {_route(route["to"], route["via"]) for route in found.get("routes", ())}
    routes |= {
        _route(any_, found[key]) for key, any_ in (("gateway4", "0.0.0.0/0"), ("gateway6", "::/0")) if key in found
    }
    resolver = found.get("nameservers", {})
    servers, search = (set(resolver.get(key, ())) for key in ("addresses", "search"))
    return Rendered(set(found.get("addresses", ())), routes, str(found["mtu"]), servers, search)


def _networkd(etc: Path) -> dict[str, Rendered]:
    """Read systemd.network(5): sections may come several times."""
    rendered = {}
    for file in (etc / "systemd/network").glob("*.network"):
        sections: list[tuple[str, dict[str, str]]] = []
        for line in file.read_text().splitlines():
            if line.startswith("["):
                sections.append((line.strip("[]"), {}))
            elif "=" in line:
                key, _, value = line.partition("=")
                sections[-1][1][key] = f"{sections[-1][1][key]} {value}" if key in sections[-1][1] else value
        of = {name: [values for section, values in sections if section == name] for name, _ in sections}
        rendered[of["Match"][0]["Name"]] = Rendered(
            {address["Address"] for address in of.get("Address", ())},
            {_route(route.get("Destination"), route["Gateway"]) for route in of.get("Route", ())},
            of["Link"][0]["MTUBytes"],
            set(of["Network"][0].get("DNS", "").split()),
            set(of["Network"][0].get("Domains", "").split()),
        )
    return rendered


def _network_manager(etc: Path) -> dict[str, Rendered]:
    """Read nm-settings-keyfile(5)."""
    rendered = {}
    for file in (etc / "NetworkManager/system-connections").iterdir():
        text = file.read_text()
        routes = {_route(*found) for found in re.findall(r"^route\d+=([^,\n]+),([^,\n]+)", text, re.MULTILINE)}
        routes |= {_route(None, gateway) for gateway in re.findall(r"^gateway=(.+)$", text, re.MULTILINE)}
        servers, search = (
            {one for line in re.findall(rf"^{key}=(.+)$", text, re.MULTILINE) for one in line.split(";") if one}
            for key in ("dns", "dns-search")
        )
        addresses = set(re.findall(r"^address\d+=(.+)$", text, re.MULTILINE))
        mtu = _only("^mtu=(.+)$", text)
        rendered[_only(r"^id=cloud-init (.+)$", text)] = Rendered(addresses, routes, mtu, servers, search)
    return rendered


def _eni(etc: Path) -> dict[str, Rendered]:
    """Read interfaces(5): a stanza for each address, and commands that add the routes."""
    text = (etc / "network/interfaces.d/50-cloud-init").read_text()
    rendered: dict[str, Rendered] = {}
    for stanza in re.split(r"^(?=iface )", text, flags=re.MULTILINE):
        found = re.match(r"iface (\S+) inet6? (?:static|manual)", stanza)
        if not found:
            continue
        gateways = re.findall(r"^ +gateway (.+)$", stanza, re.MULTILINE)
        routes = {_route(None, gateway) for gateway in gateways}
        routes |= {
            _route(None if dst == "default" else dst, via)
            for dst, via in re.findall(r"post-up route add (?:-net |-host |-A inet6 )?(\S+) gw (\S+)", stanza)
        }
        servers, search = (
            {one for line in re.findall(rf"{key} (.+)$", stanza, re.MULTILINE) for one in line.split()}
            for key in ("dns-nameservers", "dns-search")
        )
        mtu = re.findall(r"^ +mtu (.+)$", stanza, re.MULTILINE)
        before = rendered.get(found[1], Rendered(set(), set(), None, set(), set()))
        rendered[found[1]] = Rendered(
            before.addresses | set(re.findall(r"^ +address (.+)$", stanza, re.MULTILINE)),
            before.routes | routes,
            before.mtu or (mtu[0] if mtu else None),
            before.nameservers | servers,
            before.search | search,
        )
    return rendered


def _sysconfig(etc: Path) -> dict[str, Rendered]:
    """Read ifcfg-, route- and route6- files."""
    scripts = etc / "sysconfig/network-scripts"
    rendered = {}
    for file in scripts.glob("ifcfg-*"):
        name = file.name.removeprefix("ifcfg-")
        values = _assignments(file)
        addresses = {
            f"{values[key]}/{ip_network('0.0.0.0/' + values[key.replace('IPADDR', 'NETMASK')]).prefixlen}"
            for key in values
            if re.fullmatch(r"IPADDR\d*", key)
        }
        addresses |= {one for key in ("IPV6ADDR", "IPV6ADDR_SECONDARIES") for one in values.get(key, "").split()}
        routes = {_route("0.0.0.0/0", values["GATEWAY"])} if "GATEWAY" in values else set()
        routes |= {_route("::/0", values["IPV6_DEFAULTGW"])} if "IPV6_DEFAULTGW" in values else set()
        route = _assignments(scripts / f"route-{name}")
        for key, address in route.items():
            if key.startswith("ADDRESS"):
                number = key.removeprefix("ADDRESS")
                routes.add(_route(f"{address}/{route['NETMASK' + number]}", route["GATEWAY" + number]))
        lines = (scripts / f"route6-{name}").read_text() if (scripts / f"route6-{name}").exists() else ""
        routes |= {_route(*found) for found in re.findall(r"^(\S+) via (\S+)", lines, re.MULTILINE)}
        servers = {value for key, value in values.items() if re.fullmatch(r"DNS\d+", key)}
        search = set(values.get("DOMAIN", "").split())
        rendered[name] = Rendered(addresses, routes, values["MTU"], servers, search)
    return rendered


_READERS = {
    "netplan": _netplan,
    "networkd": _networkd,
    "network-manager": _network_manager,
    "eni": _eni,
    "sysconfig": _sysconfig,
}


def _assignments(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines if "=" in line)}


def _only(pattern: str, text: str) -> str:
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return str(found)


def _route(dst: str | None, via: str | None) -> tuple[str, str | None]:
    """Return a route as a pair; without a destination it is a default one, by 0.0.0.0 or :: it is on the link."""
    if dst is None:
        dst = "::/0" if via and ":" in via else "0.0.0.0/0"
    return str(ip_network(dst)), None if via in _NONE else via
