"""A pod that Debian's bridge plugin has made, ready for podwire-cni."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cni.helpers_cni import Attached, attached


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Attached]:
    """Return a pod behind the bridge plugin."""
    with attached(tmp_path / "state") as found:
        yield found
