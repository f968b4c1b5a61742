"""Models that do something."""

from torch import nn

from enhance.models.model import EnhancementModel
from tests.devices import default_device as default_device


def random_output(model: EnhancementModel) -> EnhancementModel:
    """The output convolution starts at zero, which would hide everything before it."""
    nn.init.normal_(model.network.unet.output.weight, std=0.1)
    return model
