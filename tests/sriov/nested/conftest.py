"""The pods of tests.sriov.inside."""

from __future__ import annotations

from tests.sriov.inside.conftest import functions, vf_pod

__all__ = ["functions", "vf_pod"]
