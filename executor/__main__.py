"""``python -m executor``: the same as ``podwire``."""

from __future__ import annotations

import sys

from executor.cli import main

sys.exit(main())
