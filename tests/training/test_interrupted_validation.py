"""A signal in the midst of a validation: what it was about to change is whole again."""

import os
import signal

import pytest
import torch
from torch import Tensor

from enhance.models.build import build_model
from enhance.norm.recalibrate import batch_norms
from enhance.run.interrupt import Interrupted, stop_on_signal
from enhance.settings.schema import ModelSettings, NormSettings, Settings
from enhance.training.validation import validate
from tests.evaluation.conftest import Pairs


class Signalling(Pairs):
    """Whose third image comes with a signal."""

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().whole(index)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("part", ["training", "validation"])
def test_the_model_keeps_its_statistics(part: str) -> None:
    names, sizes = list("abcd"), [(20, 24)] * 4
    sets = {"training": Pairs(names, sizes), "validation": Pairs(names, sizes)} | {part: Signalling(names, sizes)}
    model = build_model(ModelSettings(width=8, depth=1), NormSettings("bn")).eval()
    with stop_on_signal() as stopped, pytest.raises(Interrupted):
        validate(Settings(), model, sets["training"], sets["validation"], torch.device("cpu"), stopped)
    assert stopped
    assert all(layer.running_mean is not None for layer in batch_norms(model).values())
    assert len(batch_norms(model)) == 6
