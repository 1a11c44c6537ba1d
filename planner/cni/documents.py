"""Documents that are found where people look for a CNI result, told apart: each is called what it is."""

from __future__ import annotations

from planner.text.document import Node
from planner.text.values import shown

# The keys of a result, of which it has at least one: before spec 0.3.0, and since.
FAMILY_KEYS = ("ip4", "ip6")
LIST_KEYS = ("ips", "interfaces")
_MESSAGE = 300
_PLAN = "this is a podwire plan; pass it to podwire apply or podwire show"
_OTHER_DOCUMENTS = {
    "links": "this is the output of podwire facts; pass it with --facts",
    "result": "the result is in its 'result'; pass that",
    "plugins": "this is a list of network configurations, not a plugin's answer to ADD",
    "type": "this is a network configuration, not a plugin's answer to ADD",
    "supportedVersions": "this is a plugin's answer to VERSION, not to ADD",
}


def refuse_other_documents(node: Node) -> None:
    """Say what ``node`` is if it is something else that is found where people look for a result."""
    if not isinstance(node.value, dict):
        raise node.error(f"a CNI result is a JSON object, this is {shown(node.value)}")
    keys = {key for key, _ in node.members()}
    if node.has("code") and node.has("msg"):
        raise node.error(_plugin_error(node))
    if "prevResult" in keys:
        raise node.error("this is a network configuration; pass the value of its 'prevResult'")
    if "facts_digest" in keys:  # it has interfaces too
        raise node.error(_PLAN)
    if keys & {*FAMILY_KEYS, *LIST_KEYS}:
        return
    for key, what in _OTHER_DOCUMENTS.items():
        if key in keys:
            raise node.error(what)
    # A Go plugin prints an empty result as its version and "dns": {}.
    if not {"cniVersion", "dns"} <= keys:
        raise node.error("this is not a CNI result: it has none of ips, ip4, ip6 and interfaces")


def other_than_a_plan(value: object) -> str:
    """Return what a document is that was given as a plan and is none, and what takes it."""
    keys = value.keys() if isinstance(value, dict) else ()
    if "facts_digest" not in keys and {"cniVersion", *FAMILY_KEYS, *LIST_KEYS} & {*keys}:
        return "this is a CNI result, not a plan; pass it to podwire plan or apply with --result"
    if "links" in keys:
        return "this is the output of podwire facts, not a plan; pass it to podwire plan with --facts"
    return "this is not a plan that podwire wrote"


def _plugin_error(node: Node) -> str:
    """Return the sentence for an error object (CNI specification, Error), quoting what the plugin said."""
    code = shown(node.field("code").value).strip("'\"")
    said = [_quoted(node.field(key).value) for key in ("msg", "details") if node.has(key)]
    return f"this is a plugin's error, not a result: code {code}, {', '.join(said)}"


def _quoted(text: object) -> str:
    """Return ``text`` as ``shown`` does, but with room for what a plugin has to say."""
    if not isinstance(text, str):
        return shown(text)
    return ascii(text[:_MESSAGE]) + ("…" if len(text) > _MESSAGE else "")
