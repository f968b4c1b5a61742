"""Faults that a training run must survive, done to it on purpose: `scripts/fault_drill.py`."""
