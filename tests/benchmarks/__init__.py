"""Tests of what the benchmarks make of what they measure."""
