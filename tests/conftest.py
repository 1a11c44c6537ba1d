"""Fixtures for all tests. What needs namespaces gets them only in the sandbox (`tests/sandbox.py`, `./dev test`)."""

from __future__ import annotations

import gc
import itertools
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import sandbox

pytest.register_assert_rewrite("tests.support")

from tests.support import MakeNamespace, Namespace  # noqa: E402 -- their assertions are to say what differs
from tests.support.cli import Cli  # noqa: E402
from tests.support.pods import Pod, plain  # noqa: E402
from tests.support.preloaded import Preloaded  # noqa: E402
from tests.support.running import OUTSIDE  # noqa: E402
from tests.support.seed import MARK, Seed, rng  # noqa: E402, F401 -- rng is a fixture

NIGHTLY, LONG = "nightly", "long"
PURE = Path(__file__).parent / "planner"

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--nightly`."""
    parser.addoption("--nightly", action="store_true", help="run what takes too long for every change, and only that")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the night, or with `--nightly` everything else."""
    by_night = config.getoption("nightly")
    others = [item for item in items if (item.get_closest_marker(NIGHTLY) is None) == by_night]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if (item.get_closest_marker(NIGHTLY) is not None) == by_night]
    _spread_long_ones(items)


def pytest_collection_finish() -> None:
    """Spare Python the search for garbage among thousands of tests, which stay to the end."""
    gc.collect()
    gc.freeze()


def _spread_long_ones(items: list[pytest.Item]) -> None:
    """Have tests of a minute and more begin at once, each in another process: pytest-xdist cuts the list into parts."""
    long_ones = [item for item in items if item.get_closest_marker(LONG)]
    others = [item for item in items if item not in set(long_ones)]
    for number, item in reversed(list(enumerate(long_ones))):
        others.insert(number * len(others) // len(long_ones), item)
    items[:] = others


def pytest_configure(config: pytest.Config) -> None:
    """Have the seed of the run said, and signals heed that whoever started the tests, as nohup does, had ignored.

    Programs that tests start inherit that, and then can't be told to stop.
    """
    for number, heeded in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, heeded)
    config.addinivalue_line("markers", f"{NIGHTLY}: takes minutes, and only runs with --nightly")
    config.addinivalue_line("markers", f"{LONG}: takes a minute or more, and so is among the first")
    config.addinivalue_line("markers", f"{MARK}: draws from the seed of the run; the fixture rng says so too")
    config.pluginmanager.register(Seed())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse every test that could touch the machine, before it does anything: those of the pure planner can't."""
    if PURE not in item.path.parents and not sandbox.inside():
        pytest.fail(OUTSIDE, pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Start each worker in a sandbox of its own: none meets another's namespaces, processes or state."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, sandbox.__file__, sys.executable])


@pytest.fixture
def netns() -> Iterator[MakeNamespace]:
    """Make namespaces with `netns()` or `netns("pod")`; however the test ends, they go."""
    with ExitStack() as stack:

        def make(hint: str = "ns") -> Namespace:
            namespace = Namespace.create(f"{hint}{next(_numbers)}")
            stack.callback(namespace.delete)
            return namespace

        yield make


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Name a state directory that doesn't exist yet."""
    return tmp_path / "state"


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Have podwire loaded, ready to be forked."""
    with Preloaded.start(tmp_path_factory.mktemp("preloaded")) as process:
        yield process


@pytest.fixture
def cli(tmp_path: Path, preloaded: Preloaded) -> Cli:
    """Make the command ready, with a folder of its own and nothing in its state directory."""
    return Cli(tmp_path, preloaded)


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Make a pod with one interface, 10.1.90.5/24 on eth0, default route via 10.1.90.1."""
    return plain(netns("host"), netns("pod"))
