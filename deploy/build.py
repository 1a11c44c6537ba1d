"""Build what is installed elsewhere: one file that holds podwire and all that it imports, a wheel, a Debian package.

    ./dev build [FOLDER]        dist/podwire, dist/podwire-VERSION-py3-none-any.whl, dist/podwire_VERSION_all.deb

The single file is a zip archive that Python runs (zipapp). It answers as ``podwire``, and as ``podwire-cni`` if it is
called by that name or by a container runtime. It needs Python 3.11 or later and no package. The Debian package holds
the same as files, which Python loads faster. What podwire imports is taken from the wheels that
requirements/podwire.txt names by their hashes; ./dev has fetched them, so nothing is fetched here.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipapp
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parent.parent
MAIN = Path(__file__).with_name("single_file.py")
# What podwire imports, and what that imports: ``name==version`` and the hashes of all its files (./dev lock).
LOCK = ROOT / "requirements/podwire.txt"
PARTS = Path(sys.prefix) / "parts"
# What is compiled to machine code would tie the file to one processor; each package does without it.
COMPILED = (".so", ".pyd", ".pyc")
DEBIAN = Path(__file__).with_name("debian")
COMPLETIONS = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from executor.cli import main; sys.exit(main())"
# Has the templates of a tree compiled, and what comes of it kept beside them.
TEMPLATES = "import sys; sys.path[:0] = [sys.argv[1]]; from executor.templates import compile_all; compile_all()"
CONTROL = """\
Package: podwire
Version: {version}
Section: net
Priority: optional
Architecture: all
Depends: python3 (>= 3.11), iproute2, iptables, procps, util-linux
Recommends: nftables
Suggests: dnsmasq-base, containernetworking-plugins
Maintainer: The podwire authors <podwire@example.invalid>
Description: connect a virtual machine to the network of the pod it runs in
 podwire plans the change of a pod's network namespace as a list of ip, bridge,
 tc and ebtables commands, shows it, applies it, and rolls it back exactly.
 It comes with a chained CNI plugin, podwire-cni.
"""


def main(arguments: list[str]) -> int:
    """Build everything into the folder that is named, or into dist/."""
    folder = Path(arguments[0] if arguments else ROOT / "dist").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        wheel = build_wheel(work / "wheel")
        version = wheel.name.split("-")[1]
        tree = work / "tree"
        for one in (wheel, *verified(LOCK.read_text(encoding="utf-8"), PARTS)):
            unpack(one, tree)
        package = build_debian_package(tree, version, work)
        single = build_single_file(tree, work)
        for built in (wheel, single, package):
            target = folder / built.name
            shutil.copy2(built, target.with_name(f".{target.name}.new"))
            target.with_name(f".{target.name}.new").replace(target)
            print(target)
    return 0


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout in ``folder`` and return its path."""
    words = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words)
    return next(folder.glob("*.whl"))


def verified(lock: str, folder: Path) -> list[Path]:
    """Return the wheel in ``folder`` for each package of a lock file, by its hash. Raises SystemExit without one."""
    hashes = {hashlib.sha256(wheel.read_bytes()).hexdigest(): wheel for wheel in sorted(folder.glob("*.whl"))}
    found = []
    for entry in re.split(r"^(?=\w)", lock, flags=re.MULTILINE):
        if package := re.match(r"\S+==\S+", entry):
            wheel = next((hashes[one] for one in re.findall(r"--hash=sha256:(\w+)", entry) if one in hashes), None)
            if wheel is None:
                sys.exit(
                    f"build: no wheel in {folder} is {package[0]} by its hash in {LOCK.name}: remove .venv, try again"
                )
            found.append(wheel)
    return found


def build_single_file(tree: Path, work: Path) -> Path:
    """Build the single file, executable by everybody, of the modules in ``tree``.

    Bytecode of this Python lies beside them; another one looks at its number, and compiles the modules themselves.
    """
    target = work / "podwire"
    shutil.copy(MAIN, tree / "__main__.py")
    run(sys.executable, "-I", "-c", TEMPLATES, str(tree))
    for kept in [*tree.rglob("__pycache__")]:
        for found in kept.glob("*.pyc"):
            found.unlink()  # a zip file has it beside its module
        if not any(kept.iterdir()):
            kept.rmdir()
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(tree, quiet=1, legacy=True, stripdir=str(tree), invalidation_mode=unchecked):
        sys.exit("build: a module cannot be compiled")
    zipapp.create_archive(tree, target, interpreter="/usr/bin/env python3", compressed=True)
    target.chmod(0o755)
    return target


def unpack(wheel: Path, tree: Path) -> None:
    """Unpack a wheel with its licence; scripts, other data and compiled parts stay behind."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith(COMPILED) and ".data/" not in name:
                archive.extract(name, tree)


def build_debian_package(modules: Path, version: str, work: Path) -> Path:
    """Build the Debian package: the modules, the command, the plugin, man page, completions and systemd units."""
    tree = work / "deb"
    for module in modules.rglob("*"):
        if module.is_file():
            put(tree / "usr/lib/podwire" / module.relative_to(modules), module.read_bytes())
    put(tree / "usr/bin/podwire", (DEBIAN / "podwire").read_bytes(), 0o755)
    put(tree / "usr/lib/cni/podwire-cni", (DEBIAN / "podwire-cni").read_bytes(), 0o755)
    put(tree / "usr/share/man/man8/podwire.8.gz", gzip.compress((ROOT / "docs/podwire.8").read_bytes(), mtime=0))
    for shell, path in (
        ("bash", "usr/share/bash-completion/completions/podwire"),
        ("zsh", "usr/share/zsh/vendor-completions/_podwire"),
        ("fish", "usr/share/fish/vendor_completions.d/podwire.fish"),
    ):
        put(tree / path, run(sys.executable, "-I", "-c", COMPLETIONS, str(modules), "completion", shell))
    for unit in sorted((ROOT / "deploy/systemd").iterdir()):
        put(tree / "usr/lib/systemd/system" / unit.name, unit.read_bytes())
    put(tree / "usr/share/doc/podwire/copyright", (ROOT / "LICENSE").read_bytes())
    put(tree / "usr/share/doc/podwire/changelog.gz", gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    put(tree / "DEBIAN/control", CONTROL.format(version=version).encode())
    for script in ("postinst", "prerm"):
        put(tree / "DEBIAN" / script, (DEBIAN / script).read_bytes(), 0o755)
    package = work / f"podwire_{version}_all.deb"
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(package))
    return package


def put(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file with this mode, whatever the umask; its folders can be entered by everybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def run(*argv: str) -> bytes:
    """Run a program and return its output; its errors are shown, and end this."""
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
