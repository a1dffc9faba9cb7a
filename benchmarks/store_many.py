"""Bytes per second that Storage SCPs take on ten associations."""

from __future__ import annotations

from benchmarks.store_race import main

if __name__ == "__main__":
    main("store_many", "Bytes per second that Storage SCPs take on ten associations.", 10)
