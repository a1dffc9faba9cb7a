"""Tests of the commands for twistd."""
