"""One step of a learner."""

from pathlib import Path

import pytest
import torch

from enhance.cost.profile import bare_steps
from enhance.settings import DataSettings, ModelSettings, Settings


@pytest.mark.parametrize("overflows", [0, 1])
def test_a_step_in_fp16_is_skipped_for_any_of_its_batches(overflows: int, tmp_path: Path) -> None:
    model = ModelSettings(width=8, depth=1)
    settings = Settings(
        data=DataSettings(crop=16), model=model, batch_size=2, accumulate=2, precision="fp16", runs=str(tmp_path)
    )
    with bare_steps(settings) as steps:
        learner, losses, calls = steps.learner, steps.learner.losses, []

        def overflowing(*batch: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            loss, parts = losses(*batch)
            calls.append(loss)
            return loss * torch.inf if len(calls) == overflows + 1 else loss, parts

        learner.losses = overflowing
        steps()
        steps()
        assert learner.skipped.read(learner.step) == [1]
