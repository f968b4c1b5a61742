"""The steps that are measured are those of a run."""

from pathlib import Path

import pytest
import torch

from enhance.errors import DataError
from enhance.training.bare_steps import BareSteps
from enhance.training.trainer import train
from tests.studies.conftest import small_settings


def test_bare_steps_are_the_steps_of_a_run_and_write_nothing(tmp_path: Path) -> None:
    make_settings = small_settings(tmp_path)
    words = ("schedule.steps=3", "accumulate=2")
    run = train(make_settings(*words), tmp_path / "run")
    settings = make_settings(*words)
    steps = BareSteps(settings)
    for _ in range(3):
        steps()
    assert steps.learner.step == 3
    wanted = run.learner.model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in steps.learner.model.state_dict().items())
    assert not Path(settings.runs).exists()


def test_what_is_wrong_is_told_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.crop=41 is larger than 3 of 3 training images"):
        BareSteps(small_settings(tmp_path)("data.crop=41"))
