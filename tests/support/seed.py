"""The seed of a run: new each time, printed, and given again by PODWIRE_SEED. Fixed tables of cases stay beside it.

    def test_one(rng: random.Random) -> None: …         # drawn from the seed and the test's own name
    hypothesis.seed(number("namespaces"))(check)()      # for what wants a number

The header of a run says the seed, and so does each failure of a test that draws from it:

    PODWIRE_SEED=5f2c81d0 ./dev test 'tests/property/test_fuzz.py::test_…[plans]'
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Generator
from typing import Any

import pytest

VARIABLE = "PODWIRE_SEED"
# What else decides on what is drawn: CI draws more (.ci/run).
HOW_MUCH = ("PODWIRE_EXAMPLES", "PODWIRE_FUZZ", "PODWIRE_KILLS")
# In the environment, so that the workers of a run, which are processes of their own, have the same.
SEED = os.environ.setdefault(VARIABLE, secrets.token_hex(4))
# Whatever draws from the seed says so by one of these.
_FIXTURE, MARK = "rng", "seeded"


def generator(*names: object, seed: str = SEED) -> random.Random:
    """Return the random numbers of what `names` name in this run; the same names and seed give the same."""
    return random.Random("/".join(map(str, (seed, *names))))  # noqa: S311 -- the same again is what is wanted


def number(*names: object, seed: str = SEED) -> int:
    """Return one number of 32 bits, for a library that draws by itself."""
    return generator(*names, seed=seed).getrandbits(32)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Draw from the seed of the run; no other test's draws change it."""
    return generator(request.node.nodeid)


class Seed:
    """Says the seed: in the header of a run, and with each failure of a test that draws from it."""

    def pytest_report_header(self) -> str:
        """Say it once."""
        return f"seed: {VARIABLE}={SEED}"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say how to have a failure again."""
        report = yield
        names: Any = getattr(item, "fixturenames", ())
        if report.failed and (_FIXTURE in names or item.get_closest_marker(MARK)):
            given = (f"{name}={os.environ[name]}" for name in (VARIABLE, *HOW_MUCH) if name in os.environ)
            again = f"{' '.join(given)} ./dev test '{item.nodeid}'"
            report.sections.append(("Again with the same random numbers", again))
        return report
