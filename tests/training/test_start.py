"""Before the first step: what does not go together is told, and what the run is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from enhance import ranks
from enhance.cost.memory import plan_memory
from enhance.errors import DataError, SettingsError
from enhance.models.build import build_model
from enhance.settings.schema import DataSettings, ModelSettings, NormSettings, Settings
from enhance.training.learner import Learner
from enhance.training.start import check_batch, check_images, summary
from tests.evaluation.conftest import Pairs
from tests.norm.ranks import on_two_ranks

CPU = torch.device("cpu")


def settings_of(batch_size: int = 2, crop: int = 16, **options: Any) -> Settings:
    data, model = DataSettings(name="pairs", crop=crop), ModelSettings(width=8, depth=1, exposure=False)
    return Settings(data=data, model=model, batch_size=batch_size, **options)


def small_pairs() -> Pairs:
    return Pairs(["a", "b", "c"], [(24, 40), (33, 17), (20, 20)])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (settings_of(batch_size=3, crop=17), None),
        (
            settings_of(batch_size=4),
            "batch_size=4 is larger than the training set of 3 images (data=pairs): lower batch_size or add images",
        ),
        (
            settings_of(crop=20),
            "data.crop=20 is larger than 1 of 3 training images: b 17x33; lower data.crop or remove them",
        ),
        (
            settings_of(crop=21),
            "data.crop=21 is larger than 2 of 3 training images: b 17x33, c 20x20; lower data.crop or remove them",
        ),
    ],
)
def test_the_images_suffice_for_batches_and_crops(settings: Settings, told: str | None) -> None:
    if told is None:
        check_batch(settings, small_pairs())
        return
    with pytest.raises(DataError) as refused:
        check_batch(settings, small_pairs())
    assert str(refused.value) == told


IMAGES = {"training": ["a", "b"], "validation": ["c"], "sizes": [(24, 40), (33, 17)]}


@pytest.mark.parametrize("before", [IMAGES, {key: IMAGES[key] for key in ("training", "validation")}])
def test_a_run_goes_on_with_its_images(before: dict[str, Any]) -> None:
    """An older checkpoint keeps no sizes."""
    check_images(Path("runs/run"), before, IMAGES)


@pytest.mark.parametrize(
    ("change", "have"),
    [
        ({"training": ["a"], "sizes": [(24, 40)]}, "1 for training and 1"),
        ({"training": ["b", "a"]}, "2 for training and 1"),  # the order makes the batches
        ({"validation": ["c", "d"]}, "2 for training and 2"),
        ({"sizes": [(24, 40), (17, 33)]}, "2 for training and 1"),
    ],
)
def test_a_run_does_not_go_on_with_other_images(change: dict[str, Any], have: str) -> None:
    with pytest.raises(DataError) as refused:
        check_images(Path("run"), IMAGES, IMAGES | change)
    assert str(refused.value) == (
        "resume=run: the images are not those of the run, by name and size: it had 2 for training and 1 for "
        f"validation, here are {have}; bring them back, give data.root=, or start a new run"
    )


def test_what_the_run_is() -> None:
    settings = settings_of(norm=NormSettings("gn", num_groups=4), accumulate=3)
    learner = Learner(settings, CPU, torch.bfloat16, steps=50)
    learner.step = 7
    train, validation = small_pairs(), Pairs(["v.png"], [(16, 16)])
    train.skipped = ["x.png: not an image"]
    values, lines = summary(learner, None, train, validation)
    assert json.loads(json.dumps(values)) == values
    parameters = sum(each.numel() for each in build_model(settings.model, settings.norm).parameters())
    wanted = {
        "resumed_at_step": 7,
        "precision": "bfloat16",
        "parameters": parameters,
        "training_images": 3,
        "validation_images": ["v.png"],
        "left_out_images": ["x.png: not an image"],
        "seed": settings.seed,
        "device": "cpu",
    }
    assert {key: values[key] for key in wanted} == wanted
    gflops = values["gflops_256x256"]
    assert lines == [
        f"unet_tiny, norm=gn: {parameters / 1e6:.2f} M parameters, {gflops:.2f} GFLOPs at 256x256; bfloat16 on cpu",
        "data=pairs: 3 training and 1 validation images; 50 steps of 6 crops of 16 px",
        "1 image is left out: x.png: not an image",
    ]


def test_the_plan_and_warnings_are_told() -> None:
    settings = settings_of(batch_size=1, norm=NormSettings("bn"))
    plan = plan_memory(settings, CPU, torch.float32)
    learner = Learner(settings, CPU, torch.float32, steps=50)
    settings.compile = True  # said, and not done
    _, lines = summary(learner, plan, small_pairs(), small_pairs())
    assert lines[2:4] == [plan.line(), "compile=true: the first step takes a minute or so"]
    assert [line.startswith("warning: norm=bn at batch_size=1 ") for line in lines[4:]] == [True]


def told_on_a_rank(_: int) -> dict[str, Any]:
    settings = settings_of(batch_size=2, norm=NormSettings("bn"))
    check_batch(settings, small_pairs())
    _, lines = summary(Learner(settings, CPU, torch.float32, steps=50), None, small_pairs(), small_pairs())
    try:
        check_batch(settings_of(batch_size=3), small_pairs())
    except SettingsError as error:
        return {"ranks": ranks.world_size(), "lines": lines, "refused": str(error)}
    return {}


def test_what_ranks_share_is_told(tmp_path: Path) -> None:
    for told in on_two_ranks(told_on_a_rank, tmp_path):
        assert told["ranks"] == 2
        assert told["refused"] == "batch_size=3 is shared out by 2 processes: choose a multiple of it"
        assert told["lines"][1].endswith("50 steps of 2 crops of 16 px")
        assert told["lines"][2] == "2 processes, 1 crops of each batch for each"
        assert told["lines"][3].startswith("warning: norm=bn takes its statistics of the 1 crops of each process")
