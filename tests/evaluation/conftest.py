"""Small pairs in memory and a small U-Net that does something."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.settings.schema import ModelSettings, NormSettings


class Pairs:
    """A `PairSource` of random pictures of different sizes."""

    def __init__(self, names: list[str], sizes: list[tuple[int, int]]) -> None:
        self.names, self.sizes = names, sizes
        self.skipped: list[str] = []
        self.pairs: list[tuple[Tensor, Tensor]] = []
        for seed, size in enumerate(sizes):
            generator = torch.Generator().manual_seed(seed)
            normal = torch.rand(3, *size, generator=generator)
            self.pairs.append((normal * (0.1 + 0.1 * seed), normal))

    def __len__(self) -> int:
        return len(self.names)

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        return self.pairs[index]


@pytest.fixture
def pairs() -> Pairs:
    return Pairs(["a.png", "b.png", "c.png"], [(24, 40), (33, 17), (20, 20)])


@pytest.fixture
def small_unet() -> Callable[[str], EnhancementModel]:
    """A U-Net in evaluation mode; its output convolution is random, for it starts at zero and would hide the rest."""

    def build(norm: str) -> EnhancementModel:
        torch.manual_seed(0)
        model = build_model(ModelSettings(width=8, depth=1, exposure=False), NormSettings(name=norm)).eval()
        torch.nn.init.normal_(model.network.unet.output.weight, std=0.1)
        return model

    return build
