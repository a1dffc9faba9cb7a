"""Tests of pacs_twisted.storage."""
