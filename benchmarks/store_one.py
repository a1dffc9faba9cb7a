"""Bytes per second that Storage SCPs take on one association."""

from __future__ import annotations

from benchmarks.store_race import main

if __name__ == "__main__":
    main("store_one", "Bytes per second that Storage SCPs take on one association.", 1)
