"""From settings to a model, and the size of a model."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from enhance.models.exposure import ExposureModel
from enhance.models.initialize import initialize
from enhance.models.model import EnhancementModel
from enhance.models.norm_factory import norm_factory
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.settings import ModelSettings, NormSettings
from enhance.settings.schema import Activation, Init

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


def build_model(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool = False) -> EnhancementModel:
    """The model that the settings describe, in training mode, on the CPU.

    Raises:
        SettingsError: as `norm_factory`.
    """
    network = _network(model, norm, checkpoint_activations)
    if not model.exposure:
        return EnhancementModel(network)
    # Built last, so that the other weights are the same with it and without.
    return ExposureModel(network, _network(_EXPOSURE, NormSettings("none"), checkpoint_activations))


def _network(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool) -> ResidualUNet:
    build_norm = norm_factory(model, norm)

    def unet(c_in: int, c_out: int) -> UNet:
        # Drawn before any layer: a layer draws first weights of its own, and how many depends on the norm.
        seed = int(torch.randint(2**31, (), device="cpu"))
        drawn = UNet(
            build_norm,
            c_in,
            c_out,
            width=model.width,
            depth=model.depth,
            activation=model.activation,
            context=model.context,
            checkpoint_activations=checkpoint_activations,
        )
        return initialize(drawn, seed, model.init, model.init_scale)

    return ResidualUNet(unet, model.unshuffle, model.brightened)


def count_parameters(model: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflops(model: nn.Module, height: int = 256, width: int = 256) -> float:
    """10^9 floating-point operations (a multiply-add is two) of one image of that size, by torch's own counter."""
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, height, width, device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(image)
    model.train(was_training)
    return counter.get_total_flops() / 1e9


_OLD_NAMES = ("entry", "first", "downs", "ups", "output", "contexts")


def upgrade_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a model with the names that its parameters and buffers have now; current names stay.

    At first one class was all of it: the U-Net's layers stood at the top, and its exposure network among them.

    >>> list(upgrade_state({"first.0.1.bias": 1, "exposure.output.bias": 2, "network.unet.output.bias": 3}))
    ['network.unet.first.0.1.bias', 'exposure.unet.output.bias', 'network.unet.output.bias']
    """
    return {_new_name(name): value for name, value in state.items()}


def _new_name(name: str) -> str:
    top, _, rest = name.partition(".")
    if top in _OLD_NAMES:
        return f"network.unet.{name}"
    if top == "exposure" and rest.partition(".")[0] in _OLD_NAMES:
        return f"exposure.unet.{rest}"
    return name
