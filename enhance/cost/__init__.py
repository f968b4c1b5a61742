"""What a run will cost: memory of a training step before it is taken, time, and the limit of a machine."""
