"""podwire with each Python that it is for (`nox -l`): `nox` runs what is pure, `nox -s tests` everything, as root.

A Python that is not on this machine is named as skipped. ./dev is what people use every day; it has one Python.
"""

from __future__ import annotations

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")

nox.options.sessions = ["pure"]
nox.options.error_on_missing_interpreters = False


def install(session: nox.Session) -> None:
    """Install what ./dev installs, by the same hashes, and this checkout."""
    session.install("--require-hashes", "--only-binary", ":all:", "--requirement", "requirements/dev.txt")
    session.install("--no-index", "--no-deps", "--no-build-isolation", "--editable", ".")


@nox.session(python=PYTHONS)
def pure(session: nox.Session) -> None:
    """Run the tests that need neither root nor a namespace."""
    install(session)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/planner"]))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, in the sandbox that ./dev runs them in; ./dev test once before, for the Debian packages."""
    install(session)
    session.run("python", "tests/sandbox.py", "python", "-m", "pytest", "-n", "auto", *session.posargs)
