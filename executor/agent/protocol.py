r"""What podwire-cni and the agent say to each other, over a stream socket of the Unix domain (unix(7)).

    agent   podwire-agent PROTOCOL VERSION\n     at once, when a connection was accepted; to root only
    shim    VARIABLES STDIN                      a frame; with it, as SCM_RIGHTS, its network and mount namespace
    agent   STATUS STDOUT STDERR                 a frame; what podwire-cni is to print, and to return

A frame is a line of decimal numbers, which are the lengths in bytes of its parts, and the parts. VARIABLES are those
of the environment that the plugin reads, ``NAME=VALUE`` with a NUL between two, as in /proc/PID/environ.

A shim that shuts its end down, or closes it, asks the agent to stop: what was begun is rolled back. An agent that
closes the connection without an answer has not done the work, or not to its end: the shim does it itself. Each request
holds the lock of its attachment (executor.cni.attachments), so a later call waits for it.

Nothing here imports anything: the shim must start fast.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = "agent.sock"
DEFAULT_RUN_DIR = "/run/podwire"
PROTOCOL = 1
# A network configuration with its previous result is some kilobytes.
MAX_REQUEST = 4 * 1024 * 1024
MAX_ANSWER = 64 * 1024 * 1024
_LONGEST_LINE = 64
_CHUNK = 256 * 1024
# The variables that a request carries: what the specification names, where programs are, and podwire's own.
_PREFIXES = ("CNI_", "PODWIRE_")


class BrokenFrame(Exception):
    """What came is no frame, is too large, or ended in its middle."""


def socket_path(variables: dict[bytes, bytes]) -> bytes:
    """Return where the agent listens, by an environment (os.environb)."""
    return b"%b/%b" % (variables.get(b"PODWIRE_RUN_DIR") or DEFAULT_RUN_DIR.encode(), SOCKET.encode())


def greeting(version: str) -> bytes:
    """Return what an agent of a version says first."""
    return f"podwire-agent {PROTOCOL} {version}\n".encode()


def frame(*parts: bytes) -> bytes:
    """Return parts as a frame."""
    return b"".join((" ".join([str(len(part)) for part in parts]).encode(), b"\n", *parts))


def read_frame(receive: Callable[[int], bytes], count: int, limit: int) -> list[bytes]:
    """Return the ``count`` parts of the frame that ``receive(most)`` reads, of together at most ``limit`` bytes.

    Raises BrokenFrame, and whatever ``receive`` raises.
    """
    data = bytearray()
    while (end := data.find(b"\n")) < 0:
        _receive_more(receive, data)
        if len(data) > _LONGEST_LINE and b"\n" not in data[:_LONGEST_LINE]:
            raise BrokenFrame("it has no line of lengths")
    words = bytes(data[:end]).split(b" ")
    if len(words) != count or not all(word.isdigit() for word in words):
        raise BrokenFrame(f"it does not begin with {count} lengths")
    lengths = [int(word) for word in words]
    if sum(lengths) > limit:
        raise BrokenFrame(f"it is larger than {limit} bytes")
    del data[: end + 1]
    while len(data) < sum(lengths):
        _receive_more(receive, data)
    return _parts(bytes(data), lengths)


def _receive_more(receive: Callable[[int], bytes], data: bytearray) -> None:
    chunk = receive(_CHUNK)
    if not chunk:
        raise BrokenFrame("it ended in the middle")
    data += chunk


def _parts(data: bytes, lengths: list[int]) -> list[bytes]:
    if len(data) != sum(lengths):
        raise BrokenFrame("more came than it says")
    parts, at = [], 0
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    return parts


def variables_to_bytes(variables: dict[bytes, bytes]) -> bytes:
    """Return those variables of an environment that the plugin reads (os.environb)."""
    wanted = tuple(prefix.encode() for prefix in _PREFIXES)
    return b"\0".join(
        [name + b"=" + value for name, value in variables.items() if name == b"PATH" or name.startswith(wanted)]
    )


def variables_from_bytes(data: bytes) -> dict[bytes, bytes]:
    """Return the variables of a request. Raises BrokenFrame if one of them is none that a request may carry."""
    found = {}
    for item in data.split(b"\0") if data else ():
        name, equals, value = item.partition(b"=")
        if not equals or not (name == b"PATH" or name.startswith(tuple(prefix.encode() for prefix in _PREFIXES))):
            raise BrokenFrame("a variable is none that the plugin reads")
        found[name] = value
    return found
