"""``podwire agent``: a process that stays, with all that ``podwire-cni`` would load first, and answers for it.

executor.agent.shim      what ``podwire-cni`` runs: it asks the agent, or does the work itself
executor.agent.protocol  what the two say to each other
executor.agent.server    the agent: it accepts, forks a child a request, and stops those that nobody waits for
executor.agent.request   one request, in such a child: it does what ``podwire-cni`` does, and nothing else
executor.agent.listen    the socket: made here, or handed over by systemd
executor.agent.warm      what is loaded before the first request

The agent keeps nothing between two requests, so it can be killed and replaced at any time.
"""
