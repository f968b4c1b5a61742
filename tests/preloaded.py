"""What the server of `tests.processes` imports, so that no process that it forks does."""

import gc

import torch._dynamo  # noqa: F401

import enhance.studies.sweep  # noqa: F401 -- all of train.py

gc.freeze()  # what is imported is no garbage: no fork looks through it, and all share its memory
