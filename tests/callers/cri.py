"""What a kubelet says to a container runtime: calls of the CRI (runtime/v1, api.proto), by their field numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from attrs import frozen

_SERVICE = "/runtime.v1.RuntimeService/"

# A message by field number: text, a number, a message, or a list of them for a map or a repeated field.
Message = dict[int, Any]


@frozen
class Cri:
    """A runtime's service, at its socket."""

    socket: Path

    def run_pod_sandbox(self, name: str, logs: Path) -> str:
        """RunPodSandbox; return the id of the sandbox."""
        metadata = {1: name, 2: f"uid-{name}", 3: "default"}
        config = {1: metadata, 2: name, 3: str(logs), 6: [{1: "io.kubernetes.pod.name", 2: name}], 8: {}}
        return _field(self._call("RunPodSandbox", {1: config}), 1).decode()

    def stop_pod_sandbox(self, sandbox: str) -> None:
        """StopPodSandbox, which a kubelet repeats until it succeeds."""
        self._call("StopPodSandbox", {1: sandbox})

    def remove_pod_sandbox(self, sandbox: str) -> None:
        """RemovePodSandbox."""
        self._call("RemovePodSandbox", {1: sandbox})

    def info(self, sandbox: str) -> dict[str, Any]:
        """PodSandboxStatus, verbose: what the runtime knows, with the result of its CNI plugins."""
        answer = self._call("PodSandboxStatus", {1: sandbox, 2: 1})
        entries = [dict(_fields(entry)) for number, entry in _fields(answer) if number == 2]
        (text,) = (entry[2] for entry in entries if entry[1] == b"info")
        found: dict[str, Any] = json.loads(text)
        return found

    def _call(self, method: str, message: Message) -> bytes:
        with grpc.insecure_channel(f"unix://{self.socket}") as channel:
            answer: bytes = channel.unary_unary(_SERVICE + method)(_encoded(message), timeout=60)
            return answer


def _encoded(message: Message) -> bytes:
    """Return a message in the wire format of Protocol Buffers."""
    packed = b""
    for number, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                packed += _varint(number << 3) + _varint(one)
            else:
                data = one.encode() if isinstance(one, str) else _encoded(one)
                packed += _varint(number << 3 | 2) + _varint(len(data)) + data
    return packed


def _varint(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*packed, value))


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that hold bytes, with their numbers."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        size, at = _number(data, at)
        if key & 7 == 2:
            yield key >> 3, data[at : at + size]
            at += size


def _field(data: bytes, number: int) -> bytes:
    return next(value for found, value in _fields(data) if found == number)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
