"""
Tests of pacs_twisted, run by trial; they mirror the tree of the package.

A plain run takes hypothesis' usual number of examples, the same ones every time, so that it
passes or fails for the change at hand and nothing else. PACS_TWISTED_LONG=1 searches further.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

LONG: Final = os.environ.get("PACS_TWISTED_LONG") == "1"
"""Whether tests that search for surprises shall take their time."""

# No deadline: how long an example takes depends on what else the machine does.
settings.register_profile(
    "short",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long",
    deadline=None,
    max_examples=1_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("long" if LONG else "short")
