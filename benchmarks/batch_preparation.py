"""Time to prepare a training batch, beside the training step that waits for it; on the demo photographs.

Every line is measured in turn, round after round, in one process; the median counts.
"""

import argparse
from collections.abc import Callable

import torch
from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip, RandomRotation90

from enhance.cost.measure import median_milliseconds
from enhance.data.batches import training_batches
from enhance.data.cache import OpenedImage
from enhance.data.demo import training_photographs
from enhance.data.pairs import CameraPairs, PairSource, RealPairs
from enhance.models.build import build_model
from enhance.settings.schema import CameraSettings, ModelSettings, NormSettings

STEP = "training step, unet_small, bn, float32"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    photographs = training_photographs()
    names = list(photographs)
    images = [OpenedImage(name, pixels.shape[:2], pixels) for name, pixels in photographs.items()]

    def batches(source: PairSource) -> Callable[[], object]:
        stream = training_batches(source, arguments.crop, arguments.batch_size, 0, arguments.rounds + 1, 0, workers=0)
        return lambda: next(stream)

    flips = AugmentationSequential(
        RandomHorizontalFlip(), RandomRotation90(times=(0, 3), p=1.0), data_keys=["input", "input"]
    )
    batch = torch.rand(arguments.batch_size, 3, arguments.crop, arguments.crop)
    settings = ModelSettings(name="unet_small", width=32, exposure=False, brightened=False)
    model = build_model(settings, NormSettings()).to(memory_format=torch.channels_last)

    def step() -> None:
        (model(batch.contiguous(memory_format=torch.channels_last)) - batch).abs().mean().backward()

    tasks = {
        "batch of real pairs: crop, flip, turn": batches(RealPairs(names, images, images)),
        "batch through the camera: the same, and darken": batches(CameraPairs(names, images, CameraSettings())),
        "flip and turn alone, kornia on the float batch": lambda: flips(batch, batch),
        STEP: step,
    }
    times = median_milliseconds(tasks, arguments.rounds, warm_up=1)
    for name, milliseconds in times.items():
        print(f"{name:48s} {milliseconds:8.2f} ms   {milliseconds / times[STEP]:7.2%} of the step")


if __name__ == "__main__":
    main()
