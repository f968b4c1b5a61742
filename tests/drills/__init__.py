"""Faults that a training run must survive, done to it on purpose: `python -m tests.drills`."""
