"""What a run leaves behind, and how it goes on.

`record` is the one place that writes a run folder: numbers, checkpoints (`checkpoint`), where it comes from
(`provenance`). `resume` finds what to go on from, `interrupt` turns signals into a stop after the step, `results` is a
sweep's table. Nothing here knows the training loop.
"""
