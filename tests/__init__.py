"""Tests of pacs_twisted, run by trial; they mirror the tree of the package."""
