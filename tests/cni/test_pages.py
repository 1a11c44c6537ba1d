"""docs/kubernetes.md says what the plugin knows: every key of its configuration, every code of its own."""

from __future__ import annotations

import re
from pathlib import Path

from executor.cni import conf, errors

PAGE = Path(__file__).resolve().parents[2] / "docs/kubernetes.md"


def first_cells() -> set[str]:
    """Return what is in the first column of the page's tables, without backquotes."""
    rows = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    return {word.strip("`") for row in rows for word in row.split(", ")}


def test_every_key_is_explained() -> None:
    """And none that is not one."""
    keys = set(conf.OWN_KEYS)
    assert keys <= first_cells()
    explained = {cell for cell in first_cells() if re.fullmatch(r"[a-z]+[A-Z][A-Za-z]+|wiring|queues|dhcp|sriov", cell)}
    assert explained == keys


def test_every_code_of_its_own_is_explained() -> None:
    """Those of the specification are explained there."""
    own = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int) and value >= 100}
    assert {str(code) for code in own} == {cell for cell in first_cells() if re.fullmatch(r"[0-9]{3}", cell)}
