"""What is timed: see README.md. Each script runs as `python -m benchmarks.NAME --help`."""
