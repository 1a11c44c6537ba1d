"""What the tests use: real namespaces, pods, CNI plugins, raw dumps and frames.

None of them uses podwire itself, but for `tests.support.podwire`.
"""

from __future__ import annotations

from tests.support.namespaces import MakeNamespace, Namespace
from tests.support.running import CommandFailed, Outcome, eventually, run

__all__ = ["CommandFailed", "MakeNamespace", "Namespace", "Outcome", "eventually", "run"]
