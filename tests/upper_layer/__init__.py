"""Tests of pacs_twisted.upper_layer."""
