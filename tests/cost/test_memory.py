"""The plan of a training step's memory: it is what a real step allocates, and what it advises fits."""

import pytest
import torch

from enhance.cost.memory import MemoryPlan, check_memory, largest_batch, largest_crop, less_memory, plan_memory, savings
from enhance.device import DTYPES
from enhance.errors import UserError
from enhance.settings import command
from enhance.settings.schema import Settings
from enhance.training.bare_steps import measured_peak

CPU = torch.device("cpu")
SMALL = ("device=cpu", "validation.recalibrate_images=2", "batch_size=2", "data.crop=64")


def settings_of(*words: str) -> Settings:
    given = {word.partition("=")[0] for word in words}
    return command.compose([*(word for word in SMALL if word.partition("=")[0] not in given), *words])


def plan_of(*words: str) -> MemoryPlan:
    settings = settings_of("precision=fp32", *words)
    return plan_memory(settings, CPU, torch.float32)


@pytest.mark.parametrize(
    "words",
    [
        ("norm=bn",),
        ("norm=bn", "precision=bf16"),
        ("norm=bn_act", "data.crop=101", "batch_size=3"),
        ("norm=bn_act", "model.activation=elu"),
        ("norm=gn", "data.crop=77", "batch_size=1"),
        ("norm=in", "precision=bf16", "data.crop=90"),
        ("norm=none", "batch_size=5"),
        ("norm=frn",),
        ("norm=brn", "checkpoint_activations=true"),
        ("norm=bn", "model.exposure=true", "precision=bf16", "checkpoint_activations=true"),
        ("norm=bn", "model=unet_small", "data.crop=96"),
        ("norm=hin", "model=unet_small", "precision=bf16", "model.exposure=true", "model.brightened=true"),
        ("norm=none", "model=unet", "batch_size=1", "data.crop=16"),  # most of it weights and gradients
        ("norm=bn", "accumulate=3"),
        ("norm=bn", "channels_last=false"),
        ("norm=none", "channels_last=false", "precision=bf16", "data.crop=101"),
    ],
    ids=" ".join,
)
def test_a_real_step_allocates_what_was_planned(words: tuple[str, ...]) -> None:
    settings = settings_of(*(("precision=fp32",) if "precision=bf16" not in words else ()), *words)
    plan = plan_memory(settings, CPU, DTYPES[settings.precision])
    assert plan.peak == pytest.approx(measured_peak(plan), rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_real_step_on_cuda_allocates_what_was_planned_but_for_the_workspace(precision: str) -> None:
    settings = settings_of("device=cuda", f"precision={precision}", "model=unet_small", "batch_size=4", "data.crop=256")
    plan = plan_memory(settings, torch.device("cuda"), DTYPES[precision])
    assert 0.9 * plan.tensors < measured_peak(plan) < 1.1 * plan.peak


def test_the_largest_batch_and_crop_fit_and_the_next_do_not() -> None:
    plan, budget = plan_of("model.depth=1", "batch_size=3", "data.crop=72"), 100 * 2**20
    batch, crop = largest_batch(plan, budget), largest_crop(plan, budget)
    assert batch > 0
    assert crop > 0
    for key, fits, next_one in (("batch_size", batch, batch + 1), ("data.crop", crop, crop + 16)):
        rest = "data.crop=72" if key == "batch_size" else "batch_size=3"
        assert plan_of("model.depth=1", rest, f"{key}={fits}").peak <= budget
        assert plan_of("model.depth=1", rest, f"{key}={next_one}").peak > budget


def test_where_nothing_fits_the_largest_is_none() -> None:
    plan = plan_of("norm=bn")
    assert largest_batch(plan, plan.state) == largest_crop(plan, plan.state) == 0


def test_savings_save() -> None:
    plan = plan_of("norm=bn", "batch_size=4", "data.crop=128", "model=unet_small")
    shares = {words: other.peak / plan.peak for words, other in savings(plan).items()}
    assert shares["norm=bn_act"] < 0.9
    assert shares["precision=bf16"] < 0.9
    assert shares["checkpoint_activations=true"] < 0.75
    assert shares["batch_size=2 accumulate=2"] < 0.75


def test_a_step_that_does_not_fit_is_refused_with_settings_that_do() -> None:
    settings = settings_of("norm=bn", "precision=fp32", "batch_size=4", "model.depth=1")
    plan = plan_memory(settings, CPU, torch.float32)
    assert check_memory(settings, CPU, torch.float32, free=plan.tensors) == plan
    with pytest.raises(UserError, match=r"batch_size=4 and data.crop=64 holds \d+ MiB .* \d+ MiB are free") as refused:
        check_memory(settings, CPU, torch.float32, free=plan.tensors - 1)
    for cure in ("batch_size=3", "data.crop=48", "norm=bn_act", "checkpoint_activations=true", "precision=bf16"):
        assert cure in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_out_of_memory_the_cure_is_less_than_what_failed() -> None:
    plan = plan_of("norm=bn", "batch_size=4", "model.depth=1")
    cure = less_memory(plan)
    assert "it fits with batch_size=3, or data.crop=48" in cure
    assert "batch_size=4," not in cure


def test_other_channels_take_other_memory() -> None:
    batches = [plan_of(f"model.channels={count}").parts["batch"] for count in (1, 3, 4)]
    assert [each / batches[0] for each in batches] == [1, 3, 4]


def test_planning_draws_no_random_numbers() -> None:
    settings = settings_of("norm=bn")
    torch.manual_seed(0)
    plan_memory(settings, CPU, torch.float32)
    after = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), after)
