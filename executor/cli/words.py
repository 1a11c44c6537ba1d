"""Words that people try: options before the command, ``help COMMAND``, and what an unknown word may mean."""

from __future__ import annotations

# Options that may come before the command too, and whether a value follows.
_ANYWHERE = {"--json": False, "--format": True, "--state-dir": True, "--color": True, "--colour": True}
_COMMANDS = {
    "add": "apply",
    "connect": "apply",
    "create": "apply",
    "setup": "apply",
    "up": "apply",
    "wire": "apply",
    "del": "teardown",
    "delete": "teardown",
    "destroy": "teardown",
    "disconnect": "teardown",
    "down": "teardown",
    "remove": "teardown",
    "revert": "teardown",
    "rm": "teardown",
    "rollback": "teardown",
    "undo": "teardown",
    "unwire": "teardown",
    "diff": "check",
    "drift": "check",
    "repair": "check --fix",
    "verify": "check",
    "history": "log",
    "journal": "log",
    "logs": "log",
    "ls": "list",
    "ps": "list",
    "state": "list",
    "status": "list",
    "preview": "plan",
    "dry-run": "plan",
    "observe": "facts",
    "describe": "show",
    "info": "show",
    "inspect": "show",
    "keep": "confirm",
    "prune": "gc",
    "resume": "recover",
    "version": "--version",
}
_OPTIONS = {
    "-V": "--version",
    "--auto-approve": "--yes",
    "--assume-yes": "--yes",
    "--force": "--yes",
    "-f": "--yes",
    "--lines": "--tail",
    "--name": "--id",
    "--namespace": "--netns",
    "--ns": "--netns",
    "--out": "--output",
    "--state": "--state-dir",
}
_ALIKE = 0.75


def in_order(argv: list[str]) -> list[str]:
    """Return the words as the parser wants them: the command first, and ``COMMAND --help`` for ``help COMMAND``."""
    count = leading_options(argv)
    before, words = argv[:count], argv[count:]
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    return [*words[:1], *before, *words[1:]] if words else before


def leading_options(argv: list[str]) -> int:
    """Return how many words stand before the command: one more than there are if a value is missing."""
    count = 0
    while count < len(argv) and (option := argv[count].partition("=")[0]) in _ANYWHERE:
        count += 2 if _ANYWHERE[option] and "=" not in argv[count] else 1
    return count


def word_too_many(words: list[str], takes_value: dict[str, bool]) -> str | None:
    """Return the first word that is neither an option nor the value of one; ``takes_value`` has the options' names."""
    is_value = False
    for word in words:
        if word == "--":
            return None
        if not is_value and (word == "-" or word[:1] != "-"):
            return word
        is_value = not is_value and takes_value.get(word, False)
    return None


def command_meant(word: str, known: tuple[str, ...]) -> str | None:
    """Return the command that somebody may have meant by a word that is none."""
    alike = _alike(word.lower(), (*_COMMANDS, *known))
    return None if alike is None else _COMMANDS.get(alike, alike)


def option_meant(word: str, known: tuple[str, ...]) -> str | None:
    """Return the option that somebody may have meant by a word that is none."""
    name = word.partition("=")[0]
    long = name if name.startswith("--") or len(name) == 2 else f"-{name}"
    other = _OPTIONS.get(long)
    return other if other in known else _alike(long, known)


def _alike(word: str, known: tuple[str, ...]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  only what is wrong needs it

    return next(iter(get_close_matches(word[:40], known, 1, _ALIKE)), None)
