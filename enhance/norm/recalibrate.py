"""Statistics of batch norms, taken again with frozen weights: precise-BN (Wu and Johnson 2021, "Rethinking 'Batch' in
BatchNorm", arXiv 2105.07576, section 3). Treats this project's batch norms and torch's alike."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as TorchBatchNorm

from enhance.norm.base import TooFewValues
from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import channel_moments
from enhance.norm.statistics import Moments

BATCH = 8  # images; 32 give the same score
LARGEST_AREA = 2**18  # pixels of an image: a batch of them fits a small card; LOL's 600x400 pass whole


def batch_norms(model: nn.Module) -> dict[str, AnyBatchNorm | TorchBatchNorm]:
    """The model's batch norms that track running statistics, by module name; those of frozen ones are constants, which
    the weights were trained with."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, AnyBatchNorm | TorchBatchNorm)
        and module.running_mean is not None
        and not getattr(module, "frozen", False)
    }


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers of the model's batch norms, by the names that its state_dict gives them."""
    return {
        f"{name}.{key}": buffer.detach().clone()
        for name, layer in batch_norms(model).items()
        for key, buffer in layer.named_buffers()
        if key in layer.state_dict()
    }


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Within, batch norms in evaluation mode standardize each batch by its own statistics and remember nothing."""
    layers = list(batch_norms(model).values())
    running = [(layer.running_mean, layer.running_var) for layer in layers]
    try:
        for layer in layers:
            layer.running_mean = layer.running_var = None
        yield
    finally:
        for layer, (mean, variance) in zip(layers, running, strict=True):
            layer.running_mean, layer.running_var = mean, variance


@torch.no_grad()
def recalibrate(model: nn.Module, images: Iterable[Tensor]) -> int:
    """Set the running statistics of every batch norm to population statistics over `images`, weights unchanged;
    returns the number of images.

    Each batch of images passes through the model with its own statistics; what reaches a batch norm is pooled over
    all batches, images and positions (count, mean and M2, in float64), so that images may differ in size and every
    position weighs the same.

    Args:
        model: any mode; left in the mode it was in, modules one by one.
        images: batches (N, 3, H, W) on the model's device.

    Raises:
        ValueError: the model has no batch norm with running statistics, or there are no images.
        TooFewValues: a batch norm sees a single position of them. Either way the statistics stay as they were.
    """
    layers = batch_norms(model)
    if not layers:
        raise ValueError("the model has no batch norm with running statistics")
    pooled: dict[str, Moments] = {}

    def pool(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs[0].numel():
            moments = channel_moments(inputs[0])
            pooled[name] = pooled[name].merge(moments) if name in pooled else moments

    modes = {module: module.training for module in model.modules()}
    hooks = [layer.register_forward_pre_hook(partial(pool, name)) for name, layer in layers.items()]
    seen = 0
    try:
        model.eval()
        with batch_statistics(model):
            for batch in images:
                model(batch)
                seen += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if not seen:
        raise ValueError("no images were given")
    for name, moments in pooled.items():
        if moments.count < 2:
            raise TooFewValues("a single position has no variance", layers[name])
    for name, moments in pooled.items():
        layers[name].get_buffer("running_mean").copy_(moments.mean)
        layers[name].get_buffer("running_var").copy_(moments.unbiased_variance)
    return seen


def recalibrate_on_images(
    model: nn.Module, images: Iterable[Tensor], device: torch.device, largest_area: int = LARGEST_AREA
) -> int:
    """The same on images of any sizes, (3, H, W) each, on any device; of those of more than `largest_area` pixels on
    the middle.

    They go in batches. One at a time, each would be standardized by its own statistics, and the deeper layers would be
    calibrated for inputs that they never get once all images share the pooled statistics.
    """
    return recalibrate(model, (batch.to(device) for batch in _batches(_within(largest_area, images))))


def _within(area: int, images: Iterable[Tensor]) -> Iterator[Tensor]:
    for image in images:
        height, width = image.shape[1:]
        shrink = math.sqrt(area / (height * width))
        # A copy: a view would hold the whole of a large photograph in memory.
        yield image if shrink >= 1 else _trimmed(image, int(height * shrink), int(width * shrink)).clone()


def _trimmed(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of (3, H, W), at most `height` times `width`."""
    top, left = max(0, image.shape[1] - height) // 2, max(0, image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def _batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Batches of images of one size; the rest share batches in which at least a quarter of each one's area is left."""
    waiting: dict[torch.Size, list[Tensor]] = {}
    for image in images:
        same = waiting.setdefault(image.shape, [])
        same.append(image)
        if len(same) == BATCH:
            yield torch.stack(waiting.pop(image.shape))
    batch: list[Tensor] = []
    for image in (image for shape in sorted(waiting) for image in waiting[shape]):
        together = [*batch, image]
        if len(batch) == BATCH or 4 * math.prod(_common_size(together)) < max(each[0].numel() for each in together):
            yield _stacked(batch)
            batch = []
        batch.append(image)
    if batch:
        yield _stacked(batch)


def _common_size(images: list[Tensor]) -> tuple[int, int]:
    return min(image.shape[1] for image in images), min(image.shape[2] for image in images)


def _stacked(images: list[Tensor]) -> Tensor:
    return torch.stack([_trimmed(image, *_common_size(images)) for image in images])
