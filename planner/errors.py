"""What the planner raises: one base class, and one subclass for each thing that a caller does differently."""

from __future__ import annotations


class PodwireError(Exception):
    """Base of everything that podwire raises on purpose; its text is one sentence for a person."""


class PlannerError(PodwireError):
    """Base of everything that the planner raises on purpose."""


class InvalidInput(PlannerError):
    """A document (CNI result, facts, plan, option) is not what it claims to be.

    The message starts with the path of the offending element: ``result.ips[1].address: '…' is not an address``.
    """


class Refused(PlannerError):
    """The input is understood, but podwire does not do that, or not in this namespace; the message says why."""


class StalePlan(Refused):
    """The namespace is no longer what the plan was made from; the message names the resource that differs."""


class RenderError(PlannerError):
    """A template and the value given to it do not fit: a bug in podwire or an edited template, never bad input."""
