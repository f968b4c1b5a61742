"""What a run is: for the screen at its start, and for provenance.json."""

from typing import Any

from enhance import ranks
from enhance.cost.memory import MemoryPlan
from enhance.data.pairs import PairSource, skipped_message
from enhance.models.build import count_gflops, count_parameters
from enhance.run.provenance import provenance
from enhance.training.batch_norms import batch_warnings
from enhance.training.learner import Learner


def summary(
    learner: Learner, plan: MemoryPlan | None, train: PairSource, validation: PairSource
) -> tuple[dict[str, Any], list[str]]:
    """The values for provenance.json, and lines that tell how large all is and warn of what a user may not expect."""
    settings, model, processes = learner.settings, learner.model, ranks.world_size()
    parameters, gflops = count_parameters(model), count_gflops(model)
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
