"""What real programs answered, from the files in `answers/` (made by `answers/make.sh`)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from attrs import evolve

from planner.facts.model import NamespaceFacts
from planner.facts.parse import ProbeOutput, read_probes

FOLDER = Path(__file__).parent / "answers"


@cache
def answers(name: str) -> ProbeOutput:
    """Return the answers in `NAME.txt`: a section for each question."""
    sections = dict(
        re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", (FOLDER / f"{name}.txt").read_text(), re.MULTILINE | re.DOTALL)
    )
    sysctls = dict(line.split(":") for line in sections["sysctls"].split())
    return ProbeOutput(
        links=sections["links"],
        addresses=sections["addresses"],
        routes4=sections["routes4"],
        routes6=sections["routes6"],
        neighbours=sections["neighbours"],
        proxies=sections["proxies"],
        route_text=sections["route_text"],
        ebtables_save=sections["ebtables_save"],
        nft_chains=sections["nft_chains"],
        ebtables_problem=None,
        sysctls=sysctls,
        observed_at=1_700_000_000.0,
    )


def facts_of(name: str, **other: Any) -> NamespaceFacts:
    """Return the facts in `NAME.txt`, some of the answers replaced by ``other``."""
    return read_probes(evolve(answers(name), **other))
