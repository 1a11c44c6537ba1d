"""podwire's executor: the only part that touches the host. It observes, runs what was planned, and rolls it back.

executor.observe      observe_netns(path, timeout=30)    what is there, for the planner
executor.operations   plan, apply, teardown, recover, …  what the commands do; they take values and return results
executor.cli          the command line over them         it alone reads arguments and prints

Those who use podwire from Python import ``podwire``; code that needs one of the parts imports it from its module.
"""
