"""The kinds of wiring, one file each, and the parts they are made of."""

from planner.text.values import Keyword

# How a pod is wired if nobody says it.
DEFAULT_WIRING = Keyword("bridge")
