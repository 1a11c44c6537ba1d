"""What ``check`` found, for Prometheus: the text format that node_exporter's textfile collector reads."""

from __future__ import annotations

from collections.abc import Mapping

from executor.operations.repair import Drift
from planner.text.values import PlanId

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics(found: Mapping[PlanId, Drift | None]) -> str:
    """Return the metrics of wirings; None is one that could not be checked (half done, gone, damaged)."""
    checked = {_labels(plan_id): int(drift is not None) for plan_id, drift in found.items()}
    drifted = {_labels(plan_id): len(drift.plan.changes) + len(drift.gone) for plan_id, drift in found.items() if drift}
    return "".join(
        [
            _metric("podwire_wirings", "Wirings that are recorded.", {"": len(found)}),
            _metric("podwire_wiring_checked", "1 if the wiring could be checked, else 0.", checked),
            _metric("podwire_drifted_resources", "Resources that are no longer as they were applied.", drifted),
        ]
    )


def _labels(plan_id: PlanId) -> str:
    return f'{{id="{plan_id.translate(_ESCAPED)}"}}'


def _metric(name: str, text: str, values: Mapping[str, int]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    return "".join(f"{line}\n" for line in (*lines, *(f"{name}{labels} {value}" for labels, value in values.items())))
