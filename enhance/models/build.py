"""From settings to a model, and the size of a model."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from enhance.models.blocks import Context
from enhance.models.exposed import ExposedModel, ExposedUNet
from enhance.models.model import EnhancementModel, ExposureModel
from enhance.models.norm_factory import norm_factory
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.settings.schema import Activation, Init, ModelSettings, NormSettings

# The exposure network. Every checkpoint with one has this one.
_EXPOSURE = ModelSettings(
    width=16,
    depth=3,
    unshuffle=2,
    activation=Activation.leaky_relu,
    init=Init.kaiming,
    init_scale=1.0,
    context=False,
    brightened=False,
)
_INITS: dict[str, Callable[..., Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, a=0.2, nonlinearity="leaky_relu"),  # He et al. 2015
    "xavier": nn.init.xavier_normal_,  # Glorot and Bengio 2010
    "torch": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),  # what torch.nn.Conv2d draws by itself
}


def build_model(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool = False) -> EnhancementModel:
    """The model that the settings describe, in training mode, on the CPU. Raises as `norm_factory`."""
    if model.exposed:
        unet = _unet(model, norm, checkpoint_activations)
        return ExposedModel(ExposedUNet(unet, model.unshuffle, model.channels))
    network = _network(model, norm, checkpoint_activations)
    if not model.exposure:
        return EnhancementModel(network)
    # Built last, so that the other weights are the same with it and without.
    exposure = replace(_EXPOSURE, channels=model.channels)
    return ExposureModel(network, _network(exposure, NormSettings("none"), checkpoint_activations))


def _network(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool) -> ResidualUNet:
    unet = _unet(model, norm, checkpoint_activations)
    return ResidualUNet(unet, model.unshuffle, model.brightened, model.channels)


def _unet(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool) -> Callable[[int, int], UNet]:
    """Channels in and out -> a U-Net with its first weights."""
    build_norm = norm_factory(model, norm)

    def unet(c_in: int, c_out: int) -> UNet:
        # Drawn before any layer: a layer draws first weights of its own, and how many depends on the norm.
        seed = int(torch.randint(2**31, (), device="cpu"))
        sizes = c_in, c_out, model.width, model.depth
        drawn = UNet(build_norm, *sizes, model.activation, model.context, checkpoint_activations)
        _initialize(drawn, seed, model.init, model.init_scale)
        return drawn

    return unet


def _initialize(unet: UNet, seed: int, init: str, scale: float) -> None:
    """Draw the weights. The output convolution starts at zero, and so does what contexts add.

    Biases draw nothing: the same seed gives the same convolutions under every norm. The weights are drawn on the CPU,
    before the model moves, so that every device starts alike.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            _INITS[init](module.weight, generator=generator)
            with torch.no_grad():
                module.weight.mul_(scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.zeros_(unet.output.weight)
    for module in unet.modules():
        if isinstance(module, Context):
            nn.init.zeros_(module.expand.weight)


def count_parameters(model: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflops(model: nn.Module, height: int = 256, width: int = 256, channels: int = 3) -> float:
    """10^9 floating-point operations (a multiply-add is two) of one image of that size, by torch's own counter."""
    parameter = next(model.parameters())
    image = torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(image)
    model.train(was_training)
    return counter.get_total_flops() / 1e9


_OLD_NAME = re.compile(r"^(exposure\.)?(?=(entry|first|downs|ups|output|contexts)\.)")


def upgrade_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a model with the names that its parameters and buffers have now; current names stay.

    At first one class was all of it: the U-Net's layers stood at the top, and its exposure network among them.

    >>> list(upgrade_state({"first.0.1.bias": 1, "exposure.output.bias": 2, "network.unet.output.bias": 3}))
    ['network.unet.first.0.1.bias', 'exposure.unet.output.bias', 'network.unet.output.bias']
    """
    return {_OLD_NAME.sub(lambda old: f"{old[1] or 'network.'}unet.", name): value for name, value in state.items()}
