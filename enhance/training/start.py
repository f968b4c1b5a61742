"""Before the first step: what can be wrong with settings and data together, and what the run is, for the screen and for
provenance.json."""

from pathlib import Path
from typing import Any

from enhance import ranks
from enhance.cost.memory import MemoryPlan
from enhance.data.images import shortened
from enhance.data.pairs import PairSource, skipped_message
from enhance.errors import DataError, SettingsError
from enhance.models.build import count_gflops, count_parameters
from enhance.run.provenance import provenance
from enhance.settings.schema import Settings
from enhance.training.batch_norms import batch_warnings
from enhance.training.learner import Learner


def check_batch(settings: Settings, train: PairSource) -> None:
    """Raise a `UserError` unless the training images suffice for a batch, each of them for a crop, and the ranks can
    share a batch out evenly."""
    size, crop, number = settings.batch_size, settings.data.crop, ranks.world_size()
    if size % number:
        raise SettingsError(f"batch_size={size} is shared out by {number} processes: choose a multiple of it")
    if size > len(train):
        few = f"the training set of {len(train)} images (data={settings.data.name})"
        raise DataError(f"batch_size={size} is larger than {few}: lower batch_size or add images")
    sizes = zip(train.names, train.sizes, strict=True)
    if small := [f"{name} {width}x{height}" for name, (height, width) in sizes if min(height, width) < crop]:
        which = f"{len(small)} of {len(train)} training images: {shortened(small)}"
        raise DataError(f"data.crop={crop} is larger than {which}; lower data.crop or remove them")


def check_images(folder: Path, before: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise a `DataError` unless a run goes on with the images that it had, by their names, and where its checkpoint
    keeps them by the sizes of those to train on."""
    if before != {key: here[key] for key in before}:
        had, have = (f"{len(each['training'])} for training and {len(each['validation'])}" for each in (before, here))
        others = f"the images are not those of the run, by name and size: it had {had} for validation, here are {have}"
        raise DataError(f"resume={folder}: {others}; bring them back, give data.root=, or start a new run")


def summary(
    learner: Learner, plan: MemoryPlan | None, train: PairSource, validation: PairSource
) -> tuple[dict[str, Any], list[str]]:
    """The values for provenance.json, and lines that tell how large all is and warn of what a user may not expect."""
    settings, model, processes = learner.settings, learner.model, ranks.world_size()
    parameters, gflops = count_parameters(model), count_gflops(model, channels=model.channels)
    values = provenance(settings, learner.device) | {
        "resumed_at_step": learner.step,
        "precision": str(learner.dtype).removeprefix("torch."),
        "parameters": parameters,
        "gflops_256x256": round(gflops, 3),
        "training_images": len(train),
        "validation_images": validation.names,
        "left_out_images": train.skipped,
    }
    lines = [
        f"{settings.model.name}, norm={settings.norm.name}: {parameters / 1e6:.2f} M parameters, "
        f"{gflops:.2f} GFLOPs at 256x256; {values['precision']} on {learner.device}",
        f"data={settings.data.name}: {len(train)} training and {len(validation)} validation images; "
        f"{learner.steps} steps of {settings.images_per_step} crops of {settings.data.crop} px",
    ]
    if plan is not None:
        lines.append(plan.line())
    if processes > 1:
        lines.append(f"{processes} processes, {settings.batch_size // processes} crops of each batch for each")
    if settings.compile:
        lines.append("compile=true: the first step takes a minute or so")
    return values, [*lines, *skipped_message(train), *batch_warnings(settings, model)]
