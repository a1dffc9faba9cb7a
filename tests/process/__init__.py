"""Tests with real processes and real ports on the loopback interface."""
