"""Faults made on purpose, and what must be true after each of them: `scripts/faults`."""
