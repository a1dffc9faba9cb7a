"""Tests of the services and of how they are found."""
