"""podwire's planner: from a CNI result and facts to an ordered list of changes, and from those to commands. Pure.

planner.facts      read_probes(output)         what ip, ebtables-save and /proc/sys said
planner.cni        parse_result(text)          what the CNI plugin answered
planner.planning   make_plan(result, facts, …) the changes, their commands, and the commands that undo them
planner.plan       plan.reverse()              the same plan in reverse

No function here runs a program, opens a file, reads a clock or is random; whatever it needs is an argument. Those who
use podwire from Python import ``podwire``; code that needs one of the parts imports it from its module.
"""
