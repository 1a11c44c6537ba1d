"""Debian's plugins under the kit: what they do not keep is noted here, and each rule sees what breaks it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.conformance.__main__ import cases, verdict
from tests.conformance.rules import RULES, Rule, supported_versions
from tests.conformance.trial import Subject
from tests.support.cni import PLUGINS, host_local
from tests.support.running import run

BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": host_local()}
SUBJECTS = {
    "bridge": Subject(PLUGINS / "bridge", BRIDGE),
    "ptp": Subject(PLUGINS / "ptp", {"type": "ptp", "ipam": host_local()}),
    "tuning": Subject(PLUGINS / "tuning", {"type": "tuning", "mac": "02:00:00:00:00:07", "mtu": 1400}, (BRIDGE,)),
}
# What Debian's plugins (1.1.1) say of themselves; that they do is the first test below.
VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
# A plugin without a command says what it is, for people; the others forget the version of the error.
BROKEN = {
    "a_missing_command_is_refused": "a call without a command succeeded",
    "an_error_is_an_object": "the error has no cniVersion",
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_versions_are_those_that_are_tried(name: str) -> None:
    """What speaks a later one is to be tried in it as well."""
    assert supported_versions(SUBJECTS[name]) == VERSIONS


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize(
    ("rule", "version"), [pytest.param(*case, id=f"{case[0].name}-{case[1]}") for case in cases(VERSIONS)]
)
def test_debians_plugins_keep_the_rules(name: str, rule: Rule, version: str) -> None:
    """But for those that are known to be broken."""
    said = verdict(rule, SUBJECTS[name], version)
    if rule.name in BROKEN:
        assert said.startswith(f"broken: {BROKEN[rule.name]}")
    else:
        assert not said.startswith("broken"), said


# --- does each rule see what breaks it? -------------------------------------------------------------------------------

# A plugin in sh that does one thing wrong; {real} is the real one.
WRONG = {
    "del_takes_back": "case $CNI_COMMAND in DEL) ;; *) exec {real};; esac",
    "del_twice_succeeds": '[ $CNI_COMMAND != DEL ] || {{ mkdir "$0.$CNI_CONTAINERID" || exit 1; }}; exec {real}',
    "del_of_an_unknown_container_succeeds": "case $CNI_CONTAINERID in never*) exit 1;; *) exec {real};; esac",
    "del_without_namespace_succeeds": '[ "$CNI_NETNS" ] || exit 1; exec {real}',
    "del_after_the_namespace_succeeds": '[ $CNI_COMMAND != DEL ] || [ -e "$CNI_NETNS" ] || exit 1; exec {real}',
    "del_without_previous_result_succeeds": (
        'in=$(cat); case $CNI_COMMAND$in in DEL*prevResult*) ;; DEL*) exit 1;; esac; echo "$in" | {real}'
    ),
    "the_result_has_the_wanted_version": '{real} | sed s/cniVersion.*,/cniVersion\\":\\"9.9.9\\",/',
    "ips_are_whole": "{real} | sed s,/24,,",
    "check_sees_that_an_interface_is_missing": "[ $CNI_COMMAND = CHECK ] || exec {real}",
    "check_after_add_succeeds": "[ $CNI_COMMAND != CHECK ] || exit 1; exec {real}",
    "an_error_is_an_object": "{real} || exit 0",
    "version_lists_versions": "{real} | sed s/1.0.0//g",
    "add_names_all_missing_variables": "{real} | sed s/CNI_NETNS//",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plugin_that_breaks_a_rule_is_caught(name: str, tmp_path: Path) -> None:
    """It does one thing wrong, and otherwise what `bridge` does."""
    plugin = tmp_path / "bridge"
    plugin.write_text(f"#!/bin/sh\n{WRONG[name].format(real=PLUGINS / 'bridge')}\n")
    plugin.chmod(0o755)
    (rule,) = (rule for rule in RULES if rule.name == name)
    assert verdict(rule, Subject(plugin, BRIDGE), "1.0.0").startswith("broken")


def test_anybody_can_point_it_at_a_plugin(tmp_path: Path) -> None:
    """By a command line: a line a rule, with its section, and the status says whether all are kept."""
    conf = tmp_path / "ptp.json"
    conf.write_text(json.dumps(SUBJECTS["ptp"].conf))
    plugin = shutil.copy2(PLUGINS / "ptp", tmp_path / "ptp")
    answer = run([sys.executable, "-m", "tests.conformance", plugin, conf], check=False, timeout=120)
    assert answer.rc == 1
    assert answer.out.splitlines()[-1] == f"{len(BROKEN)} broken"
    assert "1.0.0  Section 2, DEL: DEL undoes what ADD did, and answers nothing\n       kept" in answer.out
