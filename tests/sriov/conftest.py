"""What is in ``inside`` and ``nested`` only runs in the host that has the card."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("PODWIRE_SRIOV_HOST") else ["inside", "nested"]
