"""`init_from=`: what is taken of the weights, what is told of the rest, and that the run counts by their content."""

import dataclasses
from pathlib import Path

import pytest
import torch

from enhance.errors import CheckpointError, SettingsError
from enhance.models.build import build_model
from enhance.run.checkpoint import BEST, Checkpoint, save
from enhance.run.first_weights import note_contents, take_weights
from enhance.run.resume import find_run
from enhance.settings.identity import identity
from enhance.settings.schema import DataSettings, ModelSettings, NormSettings, ScheduleSettings, Settings

MODEL = ModelSettings(width=8, depth=1, exposure=False)


def trained(folder: Path, seed: int = 0) -> Path:
    """A run of batch norm, no weight or statistic of which is at its first value."""
    torch.manual_seed(seed)
    model = build_model(MODEL, NormSettings("bn"))
    for value in model.state_dict().values():
        value.copy_(torch.rand(value.shape) + 3)
    (folder / BEST).parent.mkdir(parents=True)
    save(Checkpoint(Settings(model=MODEL), 70, model.state_dict(), {}), folder / BEST)
    return folder


def begun(run: Path, norm: str = "bn", model: ModelSettings = MODEL) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The weights that a new run begins with, and what is told of them."""
    settings = Settings(model=model, norm=NormSettings(norm), init_from=str(run))
    torch.manual_seed(1)
    network = build_model(model, settings.norm)
    lines = take_weights(settings, network)
    return network.state_dict(), lines


@pytest.mark.parametrize("norm", ["bn", "bn_act", "sync_bn", "bn_frozen"])
def test_batch_norms_begin_with_each_others_weights_and_statistics(norm: str, tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    weights = torch.load(run / BEST, weights_only=True)["model"]
    taken, lines = begun(run, norm)
    assert taken.keys() == weights.keys()
    assert all(torch.equal(taken[name], value) for name, value in weights.items())
    count = len(weights)
    assert f"averaged weights (average_decay=0.999) of step 70, {count} of {count} tensors" in lines[0]
    assert len(lines) == 1


def test_what_does_not_fit_is_left_out_and_named(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    taken, lines = begun(run, "gn", dataclasses.replace(MODEL, brightened=False, exposure=True))
    assert (taken["network.unet.output.bias"] >= 3).all()
    assert (taken["exposure.unet.output.bias"] == 0).all()
    left_out, anew = lines[1:]
    assert left_out.startswith("do not fit, left out: ")
    assert "network.unet.entry.0.weight, network.unet.first.0.1.running_mean" in left_out
    assert anew.startswith("do not fit, begin anew: ")
    assert "more" in anew  # the exposure network


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights of it .* fit this model; choose the same model="):
        begun(trained(tmp_path / "run"), model=dataclasses.replace(MODEL, width=12))


def test_the_run_counts_by_the_weights_and_not_by_their_place(tmp_path: Path) -> None:
    one, other = trained(tmp_path / "one"), trained(tmp_path / "other", seed=1)
    moved = trained(tmp_path / "moved")

    def of(run: Path | None) -> str:
        settings = Settings(model=MODEL, init_from=run and str(run))
        note_contents(settings)
        return identity(settings)

    assert of(one) == of(moved) == of(one / BEST)
    assert len({of(one), of(other), of(None)}) == 3
    settings = Settings(model=MODEL, init_from=str(one))
    note_contents(settings)
    settings.init_from = str(other)
    with pytest.raises(CheckpointError, match=r"init_from=.*other: its weights are others"):
        note_contents(settings)


def test_what_only_a_run_notes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Give init_from= too"):
        note_contents(Settings(init_content="0123"))
    with pytest.raises(SettingsError, match="leave it out"):
        find_run(Settings(data=DataSettings(), schedule=ScheduleSettings(before="20 steps"), runs=str(tmp_path)))
