"""Joules of the benchmark set, modelled and simulated."""
