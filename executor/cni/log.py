"""What podwire-cni says on standard error, which runtimes copy to their own log."""

from __future__ import annotations

from executor.cli.output import say
from executor.cni.call import Call
from executor.cni.conf import LOG_LEVELS
from executor.state.next_steps import with_state_dir


def log(call: Call, level: str, sentence: str) -> None:
    """Say something, if the configuration wants to hear of it."""
    if LOG_LEVELS.index(level) <= LOG_LEVELS.index(call.conf.log_level):
        say(f"podwire-cni: {level}: {call.verb} {call.pod}: {with_state_dir(sentence, call.conf.state_dir)}")
