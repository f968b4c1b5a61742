"""`scripts/plan_memory.py` as a user runs it."""

from collections.abc import Callable

import pytest

from tests.processes import Ended

SMALL = (
    "model.width=8",
    "model.depth=1",
    "model.exposure=false",
    "batch_size=2",
    "data.crop=48",
    "device=cpu",
    "precision=fp32",
)


@pytest.fixture
def plan(run_script: Callable[..., Ended]) -> Callable[..., Ended]:
    return lambda *words: run_script("scripts/plan_memory.py", *SMALL, *words)


def row(out: str, name: str) -> float:
    """The number of the row of that name."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"| {name} |")]
    return float(line.split("|")[2])


def test_the_parts_add_up_and_the_savings_are_told(plan: Callable[..., Ended]) -> None:
    ended = plan("--budget", "64MiB")
    assert ended.code == 0, ended.err
    table = ended.out.split("largest that fits")[0]
    *parts, (last, peak) = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    assert last == "peak of a training step"
    assert float(peak) == pytest.approx(sum(float(taken) for _, taken in parts), abs=0.5)
    assert "largest that fits into 64 MiB: batch_size=" in ended.out
    for words in ("norm=bn_act", "checkpoint_activations=true", "batch_size=1 accumulate=2"):
        assert row(ended.out, words) < float(peak)


def test_it_plans_for_a_cuda_device_that_is_not_here(plan: Callable[..., Ended]) -> None:
    ended = plan("device=cuda", "precision=auto")
    assert ended.code == 0, ended.err
    assert "bfloat16, for cuda" in ended.out


@pytest.mark.parametrize("experiment", ["lol_v1", "lol_v2"])
def test_the_full_recipe_fits_a_card_of_8_gb(run_script: Callable[..., Ended], experiment: str) -> None:
    words = (f"experiment={experiment}", "data.root=DIR", "device=cuda", "precision=fp32")
    ended = run_script("scripts/plan_memory.py", *words)
    assert ended.code == 0, ended.err
    assert 500 < row(ended.out, "peak of a training step") < 0.8 * 8192  # the rest is the driver's and the screen's


@pytest.mark.parametrize("budget", ["0GiB", "0.0M", "-1GiB"])
def test_a_budget_of_nothing_is_refused(plan: Callable[..., Ended], budget: str) -> None:
    ended = plan(f"--budget={budget}")
    assert (ended.code, ended.out) == (2, "")
    assert budget in ended.err.splitlines()[-1]


def test_a_budget_is_told_as_people_write_it(plan: Callable[..., Ended]) -> None:
    said = [plan("--budget", text).out.split("largest that fits into ")[1] for text in ("8GiB", "8GB", "8g", "8192M")]
    assert said == said[:1] * 4


def test_check_measures_a_real_step(plan: Callable[..., Ended]) -> None:
    ended = plan("--check")
    assert ended.code == 0, ended.err
    assert float(ended.out.split("ratio ")[1]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("batchsize=2",), "error: batchsize is no setting"),
        (("+batchsize=2",), "error: batchsize is no setting: did you mean batch_size?"),
        (("norm=xx",), "error: norm=xx is unknown: choose one of"),
        (("batch_size=0",), "error: batch_size=0 is too small"),
        (("batch_size=1", "data.crop=16", "model.depth=4"), "error: batch norm of 128 channels sees 1 value"),
        (("--budget", "8"), "8: write it like 8GiB or 512MiB"),
    ],
)
def test_mistakes_are_told(plan: Callable[..., Ended], words: tuple[str, ...], told: str) -> None:
    ended = plan(*words)
    assert ended.code == 2
    assert told in ended.err
