"""Programs of classic BPF, by which a tc filter decides on a frame (tc-bpf(8), <linux/filter.h>).

They see what u32 does not: what comes after options of an IPv4 header and after extension headers of IPv6.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.text.frozen import frozen
from planner.text.values import Token

# What a program of a filter with "direct-action" returns (<linux/pkt_cls.h>): to the link's own stack; away with it;
# the next filter decides. A load from beyond the end of a frame returns 0, so such a frame goes to the stack.
TO_STACK, DROP, GO_ON = 0, 2, 0xFFFF_FFFF

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HALF_AT_X, _LOAD_BYTE_AT_X = 0x48, 0x50
_X_IS, _X_IS_IPV4_HEADER, _X_IS_A = 0x01, 0xB1, 0x07
_STORE, _LOAD_STORED = 0x02, 0x60
_ADD, _SHIFT_LEFT, _ADD_X = 0x04, 0x64, 0x0C
_IF_EQUAL, _IF_ANY, _ALWAYS, _RETURN = 0x15, 0x45, 0x05, 0x06
_VLAN_TAG = 0xFFFF_F000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT


class Bytecode(Token):
    """A program as tc takes it: its length, then code, jumps and value of each instruction.

    The numbers of an instruction are joined by a plus instead of a blank, which tc reads as the sign of the next one:
    so the program is one word of a batch.
    """

    __slots__ = ()
    pattern = r"[0-9]{1,4}(?:,[0-9]{1,5}\+[0-9]{1,3}\+[0-9]{1,3}\+[0-9]{1,10}){1,256}"
    what = "a program of classic BPF"

    @classmethod
    def of(cls, instructions: Iterable[tuple[int, int, int, int]]) -> Bytecode:
        """Return the program of instructions: code, jump if true, jump if false, value. Raises ValueError."""
        lines = ["+".join(map(str, instruction)) for instruction in instructions]
        return cls(",".join([str(len(lines)), *lines]))

    @property
    def length(self) -> int:
        """Return the number of instructions."""
        return self.count(",")


@frozen
class Instruction:
    """One instruction. Jumps go to labels, or to the next instruction."""

    code: int
    value: int = 0
    if_true: str | None = None
    if_false: str | None = None


# An instruction, or the label of the next one.
Line = Instruction | str


def word(at: int) -> Instruction:
    """Load four octets of the frame; the Ethernet header is at 0."""
    return Instruction(_LOAD_WORD, at)


def half(at: int, *, beyond_x: bool = False) -> Instruction:
    """Load two octets of the frame, counted from its start or from the offset that is kept."""
    return Instruction(_LOAD_HALF_AT_X if beyond_x else _LOAD_HALF, at)


def byte(at: int, *, beyond_x: bool = False) -> Instruction:
    """Load one octet of the frame, counted from its start or from the offset that is kept."""
    return Instruction(_LOAD_BYTE_AT_X if beyond_x else _LOAD_BYTE, at)


def vlan_tag() -> Instruction:
    """Load whether the frame had a VLAN's tag, which the kernel has taken off."""
    return Instruction(_LOAD_WORD, _VLAN_TAG)


def keep_offset(at: int) -> Instruction:
    """Keep an offset."""
    return Instruction(_X_IS, at)


def keep_length_of_ipv4_header(at: int) -> Instruction:
    """Keep the length of the IPv4 header that begins at an offset."""
    return Instruction(_X_IS_IPV4_HEADER, at)


def if_equal(value: int, then: str | None, otherwise: str | None = None) -> Instruction:
    """Go to a label if what was loaded is a value, else to another one."""
    return Instruction(_IF_EQUAL, value, then, otherwise)


def if_any(mask: int, then: str | None, otherwise: str | None = None) -> Instruction:
    """Go to a label if what was loaded has any bit of a mask, else to another one."""
    return Instruction(_IF_ANY, mask, then, otherwise)


def go(label: str) -> Instruction:
    """Go to a label."""
    return Instruction(_ALWAYS, 0, label)


def result(verdict: int) -> Instruction:
    """End with a verdict."""
    return Instruction(_RETURN, verdict)


def skip_extension_header() -> tuple[Instruction, ...]:
    """Load what is next to the extension header of IPv6 at the kept offset, and keep where that is (RFC 8200, 4)."""
    unit = 3  # its length is in units of 8 octets, less the first
    return (
        byte(0, beyond_x=True),
        Instruction(_STORE),
        byte(1, beyond_x=True),
        Instruction(_ADD, 1),
        Instruction(_SHIFT_LEFT, unit),
        Instruction(_ADD_X),
        Instruction(_X_IS_A),
        Instruction(_LOAD_STORED),
    )


def assemble(lines: Iterable[Line]) -> Bytecode:
    """Return the program, its labels as distances. All of them are ahead: classic BPF has no loops."""
    at: dict[str, int] = {}
    instructions: list[Instruction] = []
    for line in lines:
        if isinstance(line, str):
            at[line] = len(instructions)
        else:
            instructions.append(line)

    def distance(label: str | None, number: int) -> int:
        return 0 if label is None else at[label] - number - 1

    def numbers(number: int, one: Instruction) -> tuple[int, int, int, int]:
        if one.code == _ALWAYS:
            return one.code, 0, 0, distance(one.if_true, number)
        return one.code, distance(one.if_true, number), distance(one.if_false, number), one.value

    return Bytecode.of(numbers(number, one) for number, one in enumerate(instructions))
