"""The first weights of a U-Net."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from enhance.models.blocks import Context
from enhance.models.unet import UNet

INITS: dict[str, Callable[..., Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, a=0.2, nonlinearity="leaky_relu"),  # He et al. 2015
    "xavier": nn.init.xavier_normal_,  # Glorot and Bengio 2010
    "torch": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),  # what torch.nn.Conv2d draws by itself
}


def initialize(unet: UNet, seed: int, init: str = "kaiming", scale: float = 1.0) -> UNet:
    """Draw the weights, in place. The output convolution starts at zero, and so does what contexts add.

    Biases draw nothing: the same seed gives the same convolutions under every norm. The weights are drawn on the CPU,
    before the model moves, so that every device starts alike.

    Args:
        init: a name of `INITS`.
        scale: a factor on the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            INITS[init](module.weight, generator=generator)
            with torch.no_grad():
                module.weight.mul_(scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.zeros_(unet.output.weight)
    for module in unet.modules():
        if isinstance(module, Context):
            nn.init.zeros_(module.expand.weight)
    return unet
