"""Measurements. `make bench` runs all of them and prints the tables of docs/performance.md."""
