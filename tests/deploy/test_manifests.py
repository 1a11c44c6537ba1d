"""deploy/: manifests against the schemas of Kubernetes, the chart by the real helm, the units by systemd itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from executor.cni.conf import parse_conf
from executor.cni.errors import CniError
from planner.text.document import Node
from tests.support import eventually

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
VERSIONS = ("1.27", "1.31")
HELM = Path(sys.executable).with_name("helm")


def documents(text: str) -> list[dict[str, Any]]:
    """Return the documents in YAML."""
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(*options: str) -> list[dict[str, Any]]:
    """Return what helm makes of the chart."""
    words = [str(HELM), "template", "podwire", str(DEPLOY / "helm/podwire"), "--namespace", "kube-system", *options]
    return documents(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout)


def daemon_set(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the DaemonSet among documents."""
    return next(document for document in found if document["kind"] == "DaemonSet")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_daemon_set_is_valid(version: str) -> None:
    """The plain one and the chart's, strictly: no key that Kubernetes would pass over."""
    plain = documents((DEPLOY / "kubernetes/daemonset.yaml").read_text())
    for document in (daemon_set(plain), daemon_set(rendered())):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_key_that_kubernetes_does_not_know_is_noticed() -> None:
    """So the check above can fail."""
    document = daemon_set(rendered())
    document["spec"]["template"]["spec"]["hostNetwrok"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


def test_chart_and_manifest_run_the_same() -> None:
    """What differs is labels, and the words that the chart lets one choose."""
    plain = daemon_set(documents((DEPLOY / "kubernetes/daemonset.yaml").read_text()))["spec"]["template"]["spec"]
    chart = daemon_set(rendered())["spec"]["template"]["spec"]
    for spec in (plain, chart):
        for container in (*spec["initContainers"], *spec["containers"]):
            container.pop("resources")
            container.pop("imagePullPolicy", None)
    assert plain == chart


def test_the_installer_has_no_capability_and_no_writable_root() -> None:
    """It copies one file; what looks at the node's namespaces has the three that this takes, and no more."""
    spec = daemon_set(rendered())["spec"]["template"]["spec"]
    (install,), (gc, agent) = spec["initContainers"], spec["containers"]
    for container in (install, gc):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert "privileged" not in container["securityContext"]
    assert "add" not in install["securityContext"]["capabilities"]
    assert gc["securityContext"]["capabilities"]["add"] == ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]
    assert agent["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}


def test_values_reach_the_manifest() -> None:
    """Image, folders and interval."""
    options = ("image.repository=reg/podwire", "image.tag=9", "cniBinDir=/usr/libexec/cni", "gc.interval=60")
    spec = daemon_set(rendered(*(word for option in options for word in ("--set", option))))["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "reg/podwire:9"
    assert spec["containers"][0]["command"] == ["gc-loop.sh", "60"]
    assert {"path": "/usr/libexec/cni", "type": "DirectoryOrCreate"} in [
        volume["hostPath"] for volume in spec["volumes"]
    ]


def test_the_agent_can_be_left_out() -> None:
    """The plugin does the work itself, then."""
    spec = daemon_set(rendered("--set", "agent.enabled=false"))["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["gc"]


def test_helm_finds_nothing_amiss() -> None:
    """Its own lint, strictly."""
    words = [str(HELM), "lint", "--strict", str(DEPLOY / "helm/podwire")]
    lint = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert lint.returncode == 0, lint.stdout


def test_the_network_attachment_holds_a_configuration() -> None:
    """Multus reads it as a string of JSON; the chart's is the plain one's."""
    (plain,) = documents((DEPLOY / "kubernetes/network-attachment-definition.yaml").read_text())
    chart = next(
        document
        for document in rendered("--set", "networkAttachment.create=true")
        if document["kind"] == "NetworkAttachmentDefinition"
    )
    configurations = [json.loads(document["spec"]["config"]) for document in (plain, chart)]
    assert configurations[0] == configurations[1]
    assert configurations[0]["plugins"][-1]["type"] == "podwire-cni"


@pytest.mark.parametrize("path", sorted((DEPLOY / "conflists").iterdir()), ids=lambda path: path.stem)
def test_a_conflist_chains_podwire_last(path: Path) -> None:
    """Behind what makes the interface; runtimes refuse a list without version, name or plugins."""
    found = json.loads(path.read_text())
    assert set(found) == {"cniVersion", "name", "plugins"}
    assert [plugin["type"] for plugin in found["plugins"]].index("podwire-cni") == len(found["plugins"]) - 1 > 0


@pytest.mark.parametrize("path", sorted((DEPLOY / "conflists").iterdir()), ids=lambda path: path.stem)
def test_the_plugin_takes_its_part_of_a_conflist(path: Path) -> None:
    """Read as podwire-cni reads it, which refuses a key that it doesn't know."""
    found = json.loads(path.read_text())
    own = {"cniVersion": found["cniVersion"], "name": found["name"], **found["plugins"][-1]}
    conf = parse_conf(Node(own, "configuration"), "ADD")
    assert conf.options.wiring == own.get("wiring", "bridge")
    with pytest.raises(CniError, match="wirring"):
        parse_conf(Node(own | {"wirring": "tc"}, "configuration"), "ADD")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (package systemd)")
def test_the_units_are_understood(tmp_path: Path) -> None:
    """By systemd itself; the command is put if the Debian package puts it."""
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/usr/bin/podwire", "/bin/true").replace("Documentation=man:podwire(8)\n", "")
        (tmp_path / unit.name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    check = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, timeout=60
    )
    assert (check.returncode, check.stderr) == (0, "")


def test_the_installer_replaces_the_file_whole(tmp_path: Path) -> None:
    """By a rename: whoever runs the old one keeps it, and nothing is left beside."""
    node = tmp_path / "bin"
    node.mkdir()
    (node / "podwire-cni").write_text("old")
    with (node / "podwire-cni").open() as running:
        (tmp_path / "podwire").write_text("new")
        words = [str(DEPLOY / "image/install.sh"), str(tmp_path / "podwire"), str(node)]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
        assert running.read() == "old"
    assert (node / "podwire-cni").read_text() == "new"
    assert [path.name for path in node.iterdir()] == ["podwire-cni"]
    assert os.access(node / "podwire-cni", os.X_OK)


def test_an_installation_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """The image lacks the file: the plugin on the node stays as it was."""
    (tmp_path / "podwire-cni").write_text("old")
    words = [str(DEPLOY / "image/install.sh"), str(tmp_path / "missing"), str(tmp_path)]
    assert subprocess.run(words, check=False, capture_output=True, timeout=60).returncode != 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"podwire-cni": "old"}


def test_the_loop_goes_on_when_gc_fails_and_ends_when_told(tmp_path: Path) -> None:
    """A ``podwire`` that fails stands in for the real one: what is tested is the loop."""
    calls = tmp_path / "calls"
    (tmp_path / "podwire").write_text(f'#!/bin/sh\necho "$*" >>{calls}\nexit 4\n')
    (tmp_path / "podwire").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = [str(DEPLOY / "image/gc-loop.sh"), "0.01"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as loop:
        try:
            eventually(lambda: calls.exists() and calls.read_text().count("gc\n") > 1, "a second run of gc")
            loop.terminate()
            assert loop.wait(timeout=20) == 0
        finally:
            os.killpg(loop.pid, signal.SIGKILL) if loop.poll() is None else None
