"""Tests of the Twisted shell, in memory and under a virtual clock."""
