"""Normalization layers, and what belongs to them: plain modules that need nothing else of this project but torch.

- `registry`: `build_norm(name, num_channels, **options)`, and `NORMS`, the names.
- `plain`: the formulas in ordinary autograd operations, to read, and for tests to compare with.
- `functional`: the same operation with its own backward pass; `layout`: how it is laid out in memory, and in the CPU's
  cache; `statistics`: mean and variance, exact and mergeable.
- `base`: what all layers share, and `TooFewValues`. All else that a layer refuses is a `ValueError`, whose text has
  options as `option=value`. `batch`, `ghost`, `renorm`, `sync`, `batch_act`: batch norm and its kin, whose options are
  as of `BatchNorm`. `image`: instance, group, half instance and layer norm. `frn`: filter response norm.
- `recalibrate`: running statistics over a population.
"""

from enhance.norm.base import ChannelNorm, TooFewValues
from enhance.norm.batch import BatchNorm, FrozenBatchNorm, freeze
from enhance.norm.batch_act import BatchNormAct
from enhance.norm.frn import FilterResponseNorm
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.image import GroupNorm, HalfInstanceNorm, InstanceNorm, LayerNorm2d
from enhance.norm.recalibrate import recalibrate
from enhance.norm.registry import NORMS, build_norm
from enhance.norm.renorm import BatchRenorm
from enhance.norm.sync import SyncBatchNorm

__all__ = [
    "NORMS",
    "BatchNorm",
    "BatchNormAct",
    "BatchRenorm",
    "ChannelNorm",
    "FilterResponseNorm",
    "FrozenBatchNorm",
    "GhostBatchNorm",
    "GroupNorm",
    "HalfInstanceNorm",
    "InstanceNorm",
    "LayerNorm2d",
    "SyncBatchNorm",
    "TooFewValues",
    "build_norm",
    "freeze",
    "recalibrate",
]
