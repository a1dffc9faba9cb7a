"""Tests of pacs_twisted.pdu."""
