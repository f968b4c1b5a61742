"""The plan of a training step's memory beside what a real one allocates."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor, nn

from enhance.data.loader import training_batches
from enhance.measure import allocated_peak
from enhance.settings import DataSettings, Settings
from enhance.training.meter import Meter
from enhance.training.trainer import Trainer

_STEPS = 2  # the first one makes the optimizer's state, the second one meets it


def measured_peak(settings: Settings) -> int:
    """Most bytes that the trainer's step allocates, run twice on this machine, on noise, in the settings' own sizes.

    Raises:
        UserError: from the trainer.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = _noise(Path(folder), settings)
        trainer = Trainer(dataclasses.replace(settings, data=data, runs=f"{folder}/runs", resume=None))
        batches = training_batches(
            trainer.train,
            data.crop,
            settings.batch_size,
            first_batch=0,
            last_batch=_STEPS * settings.accumulate,
            seed=0,
            workers=0,
            pin_memory=trainer.device.type == "cuda",
        )
        held = _bytes(trainer.model) + _bytes(trainer.average.model)

        def steps() -> None:
            for _ in range(_STEPS):
                trainer._train_step(batches, Meter(), trainer.eager_loss)

        try:
            return held + allocated_peak(steps, trainer.device)
        finally:
            trainer.tracker.close()
            trainer.lock.release()


def _noise(folder: Path, settings: Settings) -> DataSettings:
    """As many pairs as a batch needs and as are held out, each as large as a crop."""
    rng = np.random.default_rng(0)
    side = settings.data.crop
    for name in range(settings.batch_size + 4):
        for part in ("low", "normal"):
            (folder / part).mkdir(exist_ok=True)
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{name}.png")
    return dataclasses.replace(
        settings.data,
        name="pairs",
        root=str(folder),
        val_root=None,
        low=None,
        normal=None,
        split=None,
        training_images=None,
        validation_share=1 / (settings.batch_size + 4),
    )


def _bytes(model: nn.Module) -> int:
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return sum(tensor.nbytes for tensor in tensors)
