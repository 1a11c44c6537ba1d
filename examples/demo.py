"""podwire's main job on real input, there and back: `./dev demo`.

A node and a pod, both network namespaces, are joined by Debian's own CNI plugins. podwire plans the pod's wiring for a
virtual machine, shows it, applies it and rolls it back; frames through the tap show that it works, and raw dumps of
the namespace that nothing is left of it. Every line after a `$` is run as it stands there.

With `--vm` a real guest boots behind the tap instead, and its console is shown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import sandbox  # noqa: E402  the path comes first
from tests.support import Namespace, eventually  # noqa: E402
from tests.support.dumps import COMMANDS, Dump, difference, dump  # noqa: E402
from tests.support.frames import Frame, arp_request, dhcp_discover, ping  # noqa: E402
from tests.support.ports import Port  # noqa: E402

NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.90.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "leases",
    },
}
PLUGIN = """\
nsenter --net=/run/netns/node env CNI_COMMAND={verb} CNI_CONTAINERID=pod1 CNI_NETNS=/run/netns/pod1 \\
    CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge <{given} >{answer}"""
GATEWAY = "10.1.90.1"
WITH_VM = "--vm" in sys.argv[1:]
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class DemoFailed(Exception):
    """Something is not as it should be; the text says what."""


class Stopped(BaseException):
    """Somebody asked the demo to stop: Ctrl-C, or a signal."""


class StopRequests:
    """Signals that ask to stop: each raises Stopped, at once or as soon as nothing is `held` any more."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._held = False
        self._came = False

    def watch(self) -> None:
        """Begin to listen."""
        for number in self.NUMBERS:
            signal.signal(number, self._note)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing be interrupted meanwhile."""
        self._held = True
        yield
        self._held = False
        if self._came:
            self._stop()

    def _note(self, _number: int, _frame: object) -> None:
        self._came = True
        if not self._held:
            self._stop()

    def _stop(self) -> None:
        for number in self.NUMBERS:
            signal.signal(number, signal.SIG_IGN)  # once is enough: what cleans up is not to be disturbed
        raise Stopped


stop_requests = StopRequests()


def main() -> int:
    """Run the demo; 0 if all of it went as it should."""
    if not sandbox.inside():
        sys.stderr.write("demo: run it by ./dev demo, which gives it namespaces of its own\n")
        return 1
    stop_requests.watch()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="podwire-demo-") as folder, namespaces("node", "pod1") as (node, pod):
            tell_all(Shell(Path(folder)), node, pod)
    except DemoFailed as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except Stopped:
        sys.stderr.write("demo: interrupted; nothing is left behind\n")
        return 130
    say(f"Done in {time.monotonic() - started:.1f} s. Nothing is left behind.")
    return 0


@contextmanager
def namespaces(*names: str) -> Iterator[list[Namespace]]:
    """Promise that these namespaces, which are made on the way, are gone in the end."""
    found = [Namespace(name) for name in names]
    try:
        yield found
    finally:
        for namespace in found:
            namespace.delete()


# --- the story --------------------------------------------------------------------------------------------------------


def tell_all(shell: Shell, node: Namespace, pod: Namespace) -> None:
    """Tell the story from the pod's beginning to its end."""
    before = make_a_pod(shell, node, pod)
    look_before(shell)
    apply(shell)
    (use_a_guest if WITH_VM else use)(shell, node, pod)
    look_after(shell)
    take_back(shell, pod, before)
    end_the_pod(shell)


def make_a_pod(shell: Shell, node: Namespace, pod: Namespace) -> Dump:
    """Let the CNI plugins do their work; return what is in the pod afterwards."""
    step("A node and a pod, as a container runtime makes them: the CNI plugin 'bridge' connects the two.")
    shell.file("bridge.json", NETWORK)
    shell.type("ip netns add node && ip netns add pod1 && ip -n pod1 link set lo up")
    shell.type(PLUGIN.format(verb="ADD", given="bridge.json", answer="result.json"))
    node.settle()
    pod.settle()
    shell.type(r"tr -d ' \n' <result.json; echo")
    shell.type("ip -n pod1 -brief address")
    shell.type("ip -n pod1 route")
    before = dump(pod)
    say(f"The pod's raw state is saved ({len(before.lines())} lines), to be compared at the end.")
    return before


def look_before(shell: Shell) -> None:
    """Plan, and look at the plan from both sides."""
    step("A VM in the pod needs that network on a tap. podwire plans the change, and changes nothing yet.")
    serving = " --serve-dhcp" if WITH_VM else ""
    shell.type(f"podwire plan --result result.json --netns pod1{serving} -o pod1.plan")
    step("The rollback is in the plan too: the same changes in reverse. Here as shell commands.")
    shell.type("podwire show pod1.plan --reverse --format commands")


def apply(shell: Shell) -> None:
    """Carry it out, and look at the result with other programs."""
    step("Apply it. This is refused if the pod has changed since the plan. (Without --yes podwire asks first.)")
    shell.type("podwire apply pod1.plan --yes")
    shell.type("podwire list")
    shell.type("ip -n pod1 -brief link")
    shell.type("ip -n pod1 -brief address")


def use(shell: Shell, node: Namespace, pod: Namespace) -> None:
    """Be the VM: reach the gateway, and see that a request for a lease stays inside."""
    step("The VM's side of tap0, frame by frame: with the pod's old MAC and address it reaches the gateway.")
    interface = json.loads(shell.file_text("pod1.plan"))["interfaces"][0]
    mac, tap = interface["mac"], interface["name"]
    address = json.loads(shell.file_text("result.json"))["ips"][0]["address"].partition("/")[0]
    host_end = json.loads(shell.file_text("result.json"))["interfaces"][1]["name"]
    with Port.on_tap(pod, tap) as vm, Port.on_link(node, host_end) as wire:
        gateway_mac = exchange(vm, arp_request(mac, address, GATEWAY), f"ARP {GATEWAY} is at").src
        exchange(vm, ping(mac, gateway_mac, address, GATEWAY), "echo reply")
        send(vm, dhcp_discover(mac))
        exchange(vm, ping(mac, gateway_mac, address, GATEWAY, sequence=2), "echo reply")
        seen = [str(frame) for frame in wire.frames()]
    if any(frame.startswith("UDP") for frame in seen):
        raise DemoFailed("the VM's request for a lease has left the pod")
    say("The request for a lease (UDP to port 67) stayed in the pod, where a DHCP server for this VM can answer it.")


def use_a_guest(shell: Shell, node: Namespace, pod: Namespace) -> None:
    """Serve a guest, boot it, and look at its console."""
    from examples.demo_vm import boot_a_guest  # noqa: PLC0415  only then what guests are made of is there

    step("A DHCP server for this VM only; then a real guest boots on tap0 (User Mode Linux).")
    shell.type("podwire dhcp pod1 --daemon")
    try:
        boot_a_guest(shell.file_text("pod1.plan"), node, pod)
    except AssertionError as error:
        raise DemoFailed(str(error)) from None
    say("The guest has the pod's address and reaches its gateway; the node reaches the guest.")


def look_after(shell: Shell) -> None:
    """Read the log."""
    step("What was run, when, with what result and how long it took. (Also as JSON, and as commands.)")
    shell.type("podwire log pod1")


def take_back(shell: Shell, pod: Namespace, before: Dump) -> None:
    """Tear down, and compare."""
    step("The VM has ended; the wiring is rolled back. That comes before the CNI plugin's DEL.")
    shell.type("podwire teardown pod1 --yes")
    left = difference(before, eventually_the_same(pod, before))
    if left:
        raise DemoFailed(f"the pod is not what it was:\n{left}")
    say(f"Raw state compared, before and after: {', '.join(COMMANDS)}.")
    say("No line differs: the pod is as it was.")


def end_the_pod(shell: Shell) -> None:
    """Let the CNI plugins take their own work back."""
    step("The plugin's DEL finds what its ADD made, and removes it.")
    shell.type(PLUGIN.format(verb="DEL", given="bridge.json", answer="/dev/null"))
    shell.type("ip -n pod1 -brief link")


def eventually_the_same(pod: Namespace, before: Dump) -> Dump:
    """Return the dump once it is as before; the kernel may need a moment for an address to be usable again."""
    with suppress(AssertionError):
        eventually(lambda: not difference(before, dump(pod)), "the pod as it was")
    return dump(pod)


# --- frames -----------------------------------------------------------------------------------------------------------


def send(vm: Port, data: bytes) -> None:
    """Put a frame on the tap, as a VM does."""
    print(f"  VM → {Frame(data)}")
    vm.send(data)


def exchange(vm: Port, data: bytes, wanted: str) -> Frame:
    """Send a frame and return the answer to it."""
    send(vm, data)
    try:
        answer = vm.receive(lambda frame: wanted in str(frame))
    except AssertionError as error:
        raise DemoFailed(f"no answer: {error}") from None
    print(f"  VM ← {answer}")
    return answer


# --- the shell, and what is said --------------------------------------------------------------------------------------


class Shell:
    """A folder, and a shell in it that knows `podwire` as it is in this checkout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        podwire = programs / "podwire"
        podwire.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m executor "$@"\n')
        podwire.chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
            "PODWIRE_STATE_DIR": str(folder / "state"),
        }

    def file(self, name: str, content: object) -> None:
        """Write a JSON file."""
        (self._folder / name).write_text(json.dumps(content, indent=1))

    def file_text(self, name: str) -> str:
        """Read a file."""
        return (self._folder / name).read_text()

    def type(self, line: str) -> None:
        """Show a line and run it; its output goes where the demo's does."""
        print(f"\n{paint('1', f'$ {line}')}", flush=True)
        process = None
        try:
            with stop_requests.held():
                process = subprocess.Popen(["sh", "-c", line], cwd=self._folder, env=self._environment)  # noqa: S603, S607
            status = process.wait()
        except Stopped:
            if process is not None:
                process.send_signal(signal.SIGINT)  # podwire rolls back what it has begun
                process.wait()
            raise
        if status != 0:
            raise DemoFailed(f"status {status}: {line}")


def step(sentence: str) -> None:
    """Begin a step: a line that says what comes."""
    print(f"\n{paint('1;36', f'▶ {sentence}')}", flush=True)


def say(sentence: str) -> None:
    """Say what has been seen."""
    print(f"\n{paint('36', f'  {sentence}')}", flush=True)


def paint(code: str, text: str) -> str:
    """Colour a text, on a terminal that wants it."""
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURED else text


if __name__ == "__main__":
    sys.exit(main())
