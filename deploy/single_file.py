"""What the single file runs: ``podwire``, or ``podwire-cni`` if it is called by that name or by a container runtime.

An older Python must still be able to read this file, so that it can say what is missing.
"""

import os
import sys
from importlib import import_module

NAME = os.path.basename(sys.argv[0])
IS_PLUGIN = NAME == "podwire-cni" or ("CNI_COMMAND" in os.environ and len(sys.argv) == 1)


def too_old() -> int:
    """Say that this Python is too old: to a runtime as the CNI specification has it, to a person as a sentence."""
    sentence = "podwire needs Python 3.11 or later, and this is %d.%d" % sys.version_info[:2]
    if IS_PLUGIN:
        sys.stdout.write('{"cniVersion": "1.0.0", "code": 100, "msg": "%s"}\n' % sentence)
    else:
        sys.stderr.write("podwire: %s\n" % sentence)
    return 1


def main() -> int:
    """Run the command or the plugin, and return the exit status."""
    if sys.version_info < (3, 11):
        return too_old()
    if IS_PLUGIN:
        import_module("executor.agent.shim").run()  # which does not return
    return int(import_module("executor.cli").main())


sys.exit(main())
