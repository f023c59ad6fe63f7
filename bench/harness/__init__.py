"""The parts of `bench.py`: traffic, servers, load, the scenarios, and the report."""
