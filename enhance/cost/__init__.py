"""What code and runs cost. It measures and plans; it knows no training loop.

`measure`: time of tasks in turn, peak memory, what is saved for backward. `memory`: the plan of a training step's
memory, without running it, whether that fits into a device, and which settings would.
"""
