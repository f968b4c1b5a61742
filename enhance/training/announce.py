"""What a run says of itself at its start, on the screen and in provenance.json."""

from typing import TYPE_CHECKING

from enhance import ranks
from enhance.data.pairs import left_out_told
from enhance.models.unet import count_gflops, count_parameters
from enhance.run.tracking import provenance
from enhance.training.checks import batch_warnings

if TYPE_CHECKING:
    from enhance.training.trainer import Trainer


def announce(trainer: "Trainer") -> None:
    """Tell where the run is, and how large model, data and precision are; and warn of what a user may not expect."""
    settings, learner = trainer.settings, trainer.learner
    model = learner.model
    parameters, gflops = count_parameters(model), count_gflops(model)
    values = provenance(settings, trainer.device) | {
        "resumed_at_step": learner.step,
        "precision": str(learner.dtype).removeprefix("torch."),
        "parameters": parameters,
        "gflops_256x256": round(gflops, 3),
        "training_images": len(trainer.train),
        "validation_images": trainer.validation.names,
        "left_out_images": trainer.train.left_out,
    }
    trainer.record.provenance(values)
    print(f"run folder {trainer.record.folder}")
    print(
        f"{settings.model.name}, norm={settings.norm.name}: {parameters / 1e6:.2f} M parameters, "
        f"{gflops:.2f} GFLOPs at 256x256; {values['precision']} on {trainer.device}"
    )
    print(
        f"data={settings.data.name}: {len(trainer.train)} training and {len(trainer.validation)} validation images; "
        f"{learner.steps} steps of {settings.images_per_step} crops of {settings.data.crop} px"
    )
    print(trainer.plan.line())
    if ranks.count() > 1:
        print(f"{ranks.count()} processes, {settings.batch_size // ranks.count()} crops of each batch for each")
    if settings.compile:
        print("compile=true: the first step takes a minute or so")
    for warning in [*left_out_told(trainer.train), *batch_warnings(settings, model)]:
        print(warning)
