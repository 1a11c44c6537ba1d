"""Whatever is handed in as a CNI result, facts, a plan or an answer of `ip`: a plan or one named error comes out.

Each input comes from a generator of its own, so that a failure can be had again by its number, and the seed of the run
for those that are others each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest

from executor.process.ip_batch import batch_line
from executor.templates import load_templates
from planner.cni.result import VERSIONS, parse_result
from planner.errors import InvalidInput, PlannerError, RenderError
from planner.facts.model import NamespaceFacts
from planner.facts.parse import ProbeOutput, read_probes
from planner.formats.commands import render_commands
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_to_json
from planner.planning import make_plan
from planner.text.codec import from_json, to_json
from planner.text.document import load_json
from planner.text.values import NetnsPath, PlanId
from tests.planner.answers_files import answers
from tests.property.mutations import as_text, noise, spoil, spoil_bytes
from tests.support.seed import SEED, generator

# How many times the inputs of a run in CI: PODWIRE_FUZZ=100 ./dev test tests/property/test_fuzz.py
TIMES = int(os.environ.get("PODWIRE_FUZZ", "1"))
# How many of the inputs, and from which seed: always the same ones, and others in each run.
SEEDS = {"fixed": (0.75, "0"), "seed of the run": (0.25, SEED)}
ROOT = Path(__file__).parents[2]
ANSWERS = ("links-and-addresses", "routes", "neighbours", "foreign-rules")
QUESTIONS = ("links", "addresses", "routes4", "routes6", "neighbours", "proxies", "nft_chains")


def plan_of(result: bytes | str, facts: NamespaceFacts) -> Plan:
    """Plan as the command does, from the text of a result."""
    return make_plan(
        parse_result(result),
        facts,
        plan_id=PlanId("pod1"),
        netns=NetnsPath("/run/netns/pod1"),
        options=PlanOptions(),
        random=random.Random(7),  # noqa: S311  nobody is to guess anything
        templates=load_templates(),
    )


def read_facts(text: bytes | str) -> NamespaceFacts:
    """Read facts as `podwire plan --facts` does."""
    return from_json(NamespaceFacts, load_json(text, "facts"))


@cache
def _example(name: str) -> Any:
    return json.loads((ROOT / "examples" / "pod" / f"{name}.json").read_text())


@cache
def _example_facts() -> NamespaceFacts:
    return read_facts(json.dumps(_example("facts")))


@cache
def _results() -> list[Any]:
    """Return the example's result in every version, and one of each that has something of everything."""
    parsed = parse_result(json.dumps(_example("result")))
    return [parsed.to_json(version) for version in VERSIONS]


@cache
def _facts() -> list[Any]:
    captured = [to_json(read_probes(answers(name))) for name in ANSWERS]
    return [_example("facts"), _example("facts"), *captured]


@cache
def _plan() -> Any:
    return plan_to_json(plan_of(json.dumps(_example("result")), _example_facts()))


def _spoilt_text(rng: random.Random, documents: list[Any]) -> tuple[bytes, list[str]]:
    """Return one of the documents, spoilt as a tree or as bytes, and what was done to it."""
    document = rng.choice(documents)
    how = rng.randrange(20)
    if how == 0:
        return noise(rng), ["noise"]
    if how < 4:
        return spoil_bytes(rng, json.dumps(document).encode()), ["bytes"]
    spoilt, done = spoil(rng, document)
    return as_text(rng, spoilt), done


def _result(rng: random.Random) -> tuple[bytes, list[str]]:
    return _spoilt_text(rng, _results())


def _check_result(text: bytes) -> str:
    return _check_plan(plan_of(text, _example_facts()))


def _check_facts(text: bytes) -> str:
    facts = read_facts(text)
    assert read_facts(json.dumps(to_json(facts))) == facts
    return _check_plan(plan_of(json.dumps(_example("result")), facts))


def _check_plan(plan: Plan) -> str:
    """Look at a plan from spoilt input: it can be shown and stored, and `ip` would take its words for what they are."""
    render_commands(plan)
    for command in (*plan.commands, *plan.reverse_commands):
        if command.argv[0] == "ip":
            batch_line(command.argv)
    stored = json.dumps(plan_to_json(plan))
    assert parse_plan(stored, load_templates()) == plan
    return "planned"


def _spoilt_plan(rng: random.Random) -> tuple[bytes, list[str]]:
    """Return a spoilt plan, mostly with a checksum that is right for it."""
    if rng.random() < 0.1:
        return _spoilt_text(rng, [_plan()])
    spoilt, done = spoil(rng, _plan())
    if isinstance(spoilt, dict) and "checksum" in spoilt:
        rest = {key: value for key, value in spoilt.items() if key != "checksum"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        spoilt["checksum"] = f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return as_text(rng, spoilt), done


def _check_stored(text: bytes) -> str:
    plan = parse_plan(text, load_templates())
    render_commands(plan.reverse())
    return "read"


def _answer(rng: random.Random) -> tuple[ProbeOutput, list[str]]:
    """Return real answers, one or two of which are spoilt."""
    found, done = answers(rng.choice(ANSWERS)), []
    for question in rng.sample(QUESTIONS, rng.choice((1, 1, 2))):
        text: str = getattr(found, question) or "[]"
        if rng.random() < 0.15:
            spoilt, what = spoil_bytes(rng, text.encode()).decode("utf-8", "replace"), ["bytes"]
        else:
            document, what = spoil(rng, json.loads(text))
            spoilt = as_text(rng, document).decode("utf-8", "replace")
        found = _with(found, question, spoilt)
        done += [f"{question}: {each}" for each in what]
    if rng.random() < 0.2:
        for field in ("route_text", "ebtables_save"):
            spoilt = spoil_bytes(rng, (getattr(found, field) or "").encode()).decode("utf-8", "replace")
            found = _with(found, field, spoilt)
            done.append(f"{field}: bytes")
    if rng.random() < 0.2:
        key, value = (
            rng.choice(("net/ipv6/conf/eth0/accept_dad", "net/x", "")),
            rng.choice(("1", "x", "", "9" * 20)),
        )
        found = attrs.evolve(found, sysctls={**found.sysctls, key: value})
        done.append(f"sysctl {key}={value}")
    return found, done


def _with(found: ProbeOutput, field: str, text: str) -> ProbeOutput:
    changed: dict[str, Any] = {field: text}
    return attrs.evolve(found, **changed)


def _check_answer(found: ProbeOutput) -> str:
    facts = read_probes(found)
    facts.digest()
    assert read_facts(json.dumps(to_json(facts))) == facts
    return "read"


CASES: dict[
    str, tuple[int, Callable[[random.Random], tuple[Any, list[str]]], Callable[[Any], str], type[Exception]]
] = {
    "results": (10_000, _result, _check_result, PlannerError),
    "facts": (5_000, lambda rng: _spoilt_text(rng, _facts()), _check_facts, PlannerError),
    "plans": (3_000, _spoilt_plan, _check_stored, PlannerError),
    "answers of ip": (2_500, _answer, _check_answer, InvalidInput),
}


@pytest.mark.seeded
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", CASES)
def test_nothing_but_a_named_error_comes_of_spoilt(what: str, seed: str) -> None:
    """A traceback, of whatever exception, would be a bug; so would an error of a template."""
    everything, make, check, named = CASES[what]
    share, of = SEEDS[seed]
    count = int(everything * share) * TIMES
    tally: Counter[str] = Counter()
    for number in range(count):
        rng = generator(what, number, seed=of)
        spoilt, done = make(rng)
        try:
            tally[check(spoilt)] += 1
        except RenderError as error:
            pytest.fail(f"{what} {number} ({'; '.join(done)}): {error}\n{str(spoilt)[:3000]}")
        except named as error:
            tally[type(error).__name__] += 1
            _check_message(str(error))
        except Exception as error:  # noqa: BLE001  any other is what is looked for
            pytest.fail(f"{what} {number} ({'; '.join(done)}): {error!r}\n{str(spoilt)[:3000]}")
    sys.stdout.write(f"{what}, {seed}: {dict(tally)}\n")
    assert tally["InvalidInput"] > count / 4
    assert tally["planned"] + tally["read"] > count / 1000  # few plans are still whole: some 1 in 80


def _check_message(message: str) -> None:
    """Look whether a message is one that can be shown: one line, and not endless."""
    assert message.isprintable(), ascii(message)
    assert 0 < len(message) < 2000, message
