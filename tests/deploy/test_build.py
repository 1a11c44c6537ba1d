"""What ./dev build makes: run by real Pythons and shells, unpacked by the real dpkg-deb."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve

from executor.version import __version__
from tests.cni.helpers_cni import attached
from tests.support.agent import agent_running
from tests.support.package import Package
from tests.support.pods import Pod

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program with just this environment."""
    given = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | (env or {})
    return subprocess.run([*map(str, argv)], env=given, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build everything once, with a umask that would keep others out."""
    folder = tmp_path_factory.mktemp("dist")
    mask = os.umask(0o077)
    try:
        built = run(sys.executable, ROOT / "deploy/build.py", folder)
    finally:
        os.umask(mask)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_three_are_built(dist: Path) -> None:
    """And nothing else is left there."""
    assert {path.name for path in dist.iterdir()} == {
        "podwire",
        f"podwire-{__version__}-py3-none-any.whl",
        f"podwire_{__version__}_all.deb",
    }


def test_the_single_file_runs_by_itself(dist: Path, tmp_path: Path) -> None:
    """Copied elsewhere, without this checkout's packages, and everybody may run it."""
    alone = Path(shutil.copy2(dist / "podwire", tmp_path / "podwire"))
    assert stat.S_IMODE(alone.stat().st_mode) == 0o755
    assert run("/usr/bin/env", "python3", "-I", alone, "--version").stdout == f"podwire {__version__}\n"
    plan = run(
        alone,
        "plan",
        "--result",
        ROOT / "examples/pod/result.json",
        "--netns",
        "pod1",
        "--facts",
        ROOT / "examples/pod/facts.json",
        "--format",
        "html",
    )
    assert (plan.returncode, plan.stderr) == (0, "")
    assert plan.stdout.startswith("<!DOCTYPE html>")
    assert "ip link set dev eth0 master br0" in plan.stdout


@pytest.mark.parametrize(("name", "env"), [("podwire-cni", {}), ("podwire", {"CNI_IFNAME": "eth0"})])
def test_the_single_file_is_the_plugin_too(dist: Path, tmp_path: Path, name: str, env: dict[str, str]) -> None:
    """By its name, or since a runtime calls it; wiring by tc is found in it as well."""
    alone = Path(shutil.copy2(dist / "podwire", tmp_path / name))
    answer = json.loads(run(alone, env={"CNI_COMMAND": "VERSION"} | env).stdout)
    assert "1.0.0" in answer["supportedVersions"]
    facts = (
        "--result",
        ROOT / "examples/pod/result.json",
        "--netns",
        "pod1",
        "--facts",
        ROOT / "examples/pod/facts.json",
    )
    plan = run(sys.executable, "-I", shutil.copy2(alone, tmp_path / "other"), "plan", *facts, "--wiring", "tc")
    assert (plan.returncode, "tc wiring" in plan.stdout) == (0, True), plan.stderr


def build_module() -> ModuleType:
    """Return deploy/build.py, which is a script."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "deploy/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_parts_of_the_single_file_are_those_of_the_lock_file(dist: Path) -> None:
    """Byte by byte, each with its licence."""
    build = build_module()
    parts = build.verified(build.LOCK.read_text(), build.PARTS)
    assert sorted(part.name.partition("-")[0] for part in parts) == ["attrs", "jinja2", "markupsafe", "sh"]
    with zipfile.ZipFile(dist / "podwire") as single:
        for part in parts:
            with zipfile.ZipFile(part) as wheel:
                names = [name for name in wheel.namelist() if not name.endswith((".so", "/"))]
                assert any("licenses/" in name or "LICENSE" in name for name in names)
                assert [single.read(name) for name in names] == [wheel.read(name) for name in names]


@pytest.mark.parametrize("how", ["changed", "missing", "another version"])
def test_a_part_that_is_not_the_one_that_is_locked_is_refused(tmp_path: Path, how: str) -> None:
    """Whoever gave it that name."""
    build = build_module()
    parts = Path(shutil.copytree(build.PARTS, tmp_path / "parts"))
    lock = build.LOCK.read_text()
    (wheel,) = parts.glob("sh-*.whl")
    if how == "changed":
        wheel.write_bytes(wheel.read_bytes() + b"\n")
    elif how == "missing":
        wheel.unlink()
    else:
        lock = re.sub(r"^sh==(.*\n)(    --hash=.*\n)+", r"sh==\1    --hash=sha256:00\n", lock, flags=re.MULTILINE)
    with pytest.raises(SystemExit, match=r"^build: no wheel in .* is sh==.* by its hash"):
        build.verified(lock, parts)


def test_everything_that_is_installed_is_locked() -> None:
    """By version and hash, for what podwire says that it needs; ./dev takes nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, wanted in {"podwire": [], **extras}.items():
        lock = (ROOT / f"requirements/{name}.txt").read_text()
        entries = [entry for entry in re.split(r"^(?=\w)", lock, flags=re.MULTILINE) if "==" in entry]
        assert all("--hash=sha256:" in entry for entry in entries)
        locked = {re.split("[= ]", entry)[0] for entry in entries}
        assert {re.split("[<>=~]", word)[0] for word in (*project["dependencies"], *wanted)} <= locked
        assert "://" not in lock
    dev = (ROOT / "dev").read_text()
    assert all(
        "locked" in line or "--no-index" in line
        for line in dev.splitlines()
        if re.search(r"\bpip (install|download)", line)
    )


def test_it_holds_nothing_that_ties_it_to_one_python(dist: Path) -> None:
    """No machine code, no bytecode without its module, no script of another package."""
    with zipfile.ZipFile(dist / "podwire") as single:
        names = set(single.namelist())
    assert "planner/templates/link.j2" in names
    assert not [name for name in names if name.endswith(".so") or name.startswith("bin/")]
    modules = {name for name in names if name.endswith(".py")}
    assert {f"{name}c" for name in modules} == {name for name in names if name.endswith(".pyc")}


# What a module is loaded from, and which templates had to be compiled; the last statement is that of another Python.
LOADED_FROM = """\
import sys
sys.path.insert(0, sys.argv[1])
{other}
import jinja2
compiled = []
compile = jinja2.Environment.compile
jinja2.Environment.compile = lambda self, *words, **options: compiled.append(words) or compile(self, *words, **options)
from executor.templates import compile_all
import executor.templates
compile_all()
print(executor.templates.__file__.removeprefix(sys.argv[1]), len(compiled))
"""
OTHER = """\
import importlib._bootstrap_external as loading
loading.MAGIC_NUMBER = b"0000"
sys.implementation.cache_tag = "another-399"
"""


def test_the_single_file_is_compiled_for_the_python_that_built_it(dist: Path) -> None:
    """Modules and templates. Another Python, which this one says that it is, compiles them itself."""
    templates = [*ROOT.glob("templates/**/*.j2"), *ROOT.glob("planner/formats/pages/*.html")]
    expected_of_another = f"/executor/templates.py {len(templates)}\n"
    for other, expected in (("", "/executor/templates.pyc 0\n"), (OTHER, expected_of_another)):
        told = run(sys.executable, "-I", "-c", LOADED_FROM.format(other=other), dist / "podwire")
        assert (told.stdout, told.stderr) == (expected, "")


OLDER = "import runpy, sys; sys.version_info = (3, 10, 13); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


@pytest.mark.parametrize(("name", "env"), [("podwire", {}), ("podwire-cni", {"CNI_COMMAND": "ADD"})])
def test_an_older_python_says_what_is_missing(dist: Path, tmp_path: Path, name: str, env: dict[str, str]) -> None:
    """In one sentence; a runtime gets an error as the CNI specification has it.

    Debian 12 has no older Python: this one says that it is one. That an older one can read the file is the next test.
    """
    file = shutil.copy2(dist / "podwire", tmp_path / name)
    answer = run(sys.executable, "-I", "-c", OLDER, file, env=env)
    text = answer.stdout + answer.stderr
    assert answer.returncode == 1
    assert "Python 3.11 or later, and this is 3.10" in text
    assert "Traceback" not in text
    assert text.startswith('{"cniVersion"' if env else "podwire: ")


def test_an_older_python_can_read_what_it_runs_first() -> None:
    """Its grammar is that of Python 3.6."""
    ast.parse((ROOT / "deploy/single_file.py").read_text(), feature_version=(3, 6))


def test_the_debian_package_holds_what_a_host_needs(dist: Path, tmp_path: Path) -> None:
    """The command, the plugin's name, man page, completions and units, all owned by root and readable by all."""
    package = dist / f"podwire_{__version__}_all.deb"
    listing = run("dpkg-deb", "--contents", package).stdout.splitlines()
    assert all(line.split()[1] == "root/root" for line in listing)
    assert all(line[7:8] in "rx" for line in listing)
    unpacked = Package.unpack(package, tmp_path)
    assert run(unpacked.podwire, "--version").stdout == f"podwire {__version__}\n"
    answer = run(unpacked.plugin, env={"CNI_COMMAND": "VERSION"})
    assert "1.0.0" in json.loads(answer.stdout)["supportedVersions"]
    for path in (
        "usr/share/man/man8/podwire.8.gz",
        "usr/share/bash-completion/completions/podwire",
        "usr/lib/systemd/system/podwire-gc.timer",
        "usr/share/doc/podwire/copyright",
    ):
        assert (tmp_path / path).stat().st_size, path


def test_what_the_debian_package_holds_is_all_that_it_needs(dist: Path, tmp_path: Path, pod: Pod) -> None:
    """It wires a pod and rolls that back, without any package of this Python, nor site; nothing compiled stays."""
    package = Package.unpack(dist / f"podwire_{__version__}_all.deb", tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(pod.result))
    where = ("--state-dir", tmp_path / "state")
    name = pod.inside.path.name
    for words in (
        ("apply", "--result", tmp_path / "result.json", "--netns", name, "--serve-dhcp", "--yes", *where),
        ("dhcp", name, "--daemon", *where),
        ("check", name, *where),
        ("teardown", name, "--yes", *where),
    ):
        done = run(package.podwire, *words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert [*package.modules.rglob("__pycache__")] != []
    assert run("sh", tmp_path / "DEBIAN/prerm", "remove").returncode == 0
    assert [*package.modules.rglob("__pycache__")] == []


@pytest.mark.parametrize("by", ["itself", "the agent"])
def test_the_plugin_of_the_debian_package_wires_a_pod(dist: Path, tmp_path: Path, by: str) -> None:
    """By itself, and by the agent of the same package; nothing is left of it."""
    package = Package.unpack(dist / f"podwire_{__version__}_all.deb", tmp_path)
    with ExitStack() as stack:
        agent = stack.enter_context(agent_running(command=[package.podwire])) if by == "the agent" else None
        pod = stack.enter_context(attached(tmp_path / "state", env=agent.env if agent else {}))
        trial = evolve(pod.trial, subject=evolve(pod.trial.subject, plugin=package.plugin))
        answer = trial.call("ADD", pod.conf())
        assert "tap0" in {interface["name"] for interface in answer.document()["interfaces"]}
        assert trial.call("CHECK", trial.conf(answer.document())).ok
        assert trial.delete().ok
        assert pod.left() == ""
        served = re.findall(r"'([A-Z]+) .*': status 0, ", agent.log()) if agent else ["ADD", "CHECK", "DEL"]
        assert served == ["ADD", "CHECK", "DEL"]


def test_the_debian_package_compiles_its_modules_when_it_is_installed(dist: Path, tmp_path: Path) -> None:
    """As it was told to by Debian's own program, of which Python's own must be able to load the result."""
    package = Package.unpack(dist / f"podwire_{__version__}_all.deb", tmp_path)
    script = (tmp_path / "DEBIAN/postinst").read_text()
    line = next(line.strip() for line in script.splitlines() if "py3compile" in line)
    assert line == f"py3compile -p podwire {package.modules}"
    if shutil.which("py3compile") is None:
        pytest.skip("py3compile is missing (python3-minimal)")
    done = run("py3compile", package.modules)
    assert (done.returncode, done.stderr) == (0, "")
    compiled = {path.name.partition(".")[0] for path in package.modules.rglob("__pycache__/*.pyc")}
    assert {path.stem for path in package.modules.rglob("*.py")} == compiled


def test_the_units_that_its_scripts_name_are_in_it(dist: Path, tmp_path: Path) -> None:
    """And what systemd runs of it ends with it."""
    Package.unpack(dist / f"podwire_{__version__}_all.deb", tmp_path)
    units = {path.name for path in (tmp_path / "usr/lib/systemd/system").iterdir()}

    def named(script: str) -> set[str]:
        return set(re.findall(r"podwire-[a-z]+\.\w+", (tmp_path / "DEBIAN" / script).read_text()))

    assert named("postinst") == {"podwire-agent.service"}
    assert named("prerm") == units - {"podwire-gc.service"}  # which its timer starts


def test_the_debian_package_names_what_provides_the_programs(dist: Path) -> None:
    """Each program that podwire says is missing on a host comes with a package that this one depends on."""
    depends = run("dpkg-deb", "--field", dist / f"podwire_{__version__}_all.deb", "Depends").stdout
    assert {"iproute2", "iptables", "procps", "util-linux"} <= {word.strip() for word in depends.split(",")}


def test_the_wheel_holds_the_templates(dist: Path) -> None:
    """Inside the planner, where they are looked for first."""
    names = run(sys.executable, "-m", "zipfile", "-l", next(dist.glob("*.whl"))).stdout
    assert "planner/templates/link.j2" in names
    assert "planner/formats/pages/plan.html" in names


def test_the_wheel_holds_what_a_library_user_imports(dist: Path) -> None:
    """With what tells a type checker that it is typed (PEP 561)."""
    names = run(sys.executable, "-m", "zipfile", "-l", next(dist.glob("*.whl"))).stdout
    assert {"podwire/__init__.py", "podwire/py.typed"} <= set(names.split())


def test_the_wheel_holds_man_page_and_completions(dist: Path) -> None:
    """If pip puts them, man and the shells find them."""
    names = run(sys.executable, "-m", "zipfile", "-l", next(dist.glob("*.whl"))).stdout
    folder = f"podwire-{__version__}.data/data/share"
    for name in (
        "man/man8/podwire.8",
        "bash-completion/completions/podwire",
        "zsh/site-functions/_podwire",
        "fish/vendor_completions.d/podwire.fish",
    ):
        assert f"{folder}/{name}" in names


def test_a_wheel_is_installed_and_removed_whole(dist: Path, tmp_path: Path) -> None:
    """By pip, into an environment of its own: command, library, man page; nothing stays of it."""
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", "--system-site-packages", venv).returncode == 0
    pip = (venv / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    installed = run(*pip, "install", "--no-deps", "--no-index", next(dist.glob("*.whl")))
    assert installed.returncode == 0, installed.stderr
    assert run(venv / "bin/podwire", "--version").stdout == f"podwire {__version__}\n"
    assert (venv / "share/man/man8/podwire.8").exists()
    assert "complete -F" in run(venv / "bin/podwire", "completion", "bash").stdout
    found = run(venv / "bin/python", "-I", "-c", "import podwire; print(podwire.__file__)").stdout
    assert found.startswith(str(venv))
    assert run(*pip, "uninstall", "--yes", "podwire").returncode == 0
    left = [path for path in venv.rglob("*podwire*") if "__pycache__" not in path.parts]
    assert left == []
