"""The three choices of a batch norm's statistics, told apart and labelled."""

from collections.abc import Callable

import pytest
import torch

from enhance.errors import UserError
from enhance.evaluation.report import StatisticsScore
from enhance.evaluation.scores import mean_score, score
from enhance.evaluation.variants import (
    FROZEN,
    OWN,
    RECALIBRATED,
    RUNNING,
    compare_statistics,
    dark_images,
    recalibrate_in_place,
)
from enhance.models.model import EnhancementModel
from enhance.norm.batch import BatchNorm
from enhance.norm.recalibrate import batch_norms, batch_statistics, recalibrate, running_statistics
from enhance.run.checkpoint import Checkpoint
from enhance.settings.schema import Settings
from tests.evaluation.conftest import Pairs

CPU = torch.device("cpu")


def compare(model: EnhancementModel, checkpoint: Checkpoint, pairs, training) -> dict[str, StatisticsScore]:
    scores = score(model, pairs, CPU)
    return {choice.statistics: choice for choice in compare_statistics(model, checkpoint, scores, pairs, training, CPU)}


def psnr(choice: StatisticsScore) -> float:
    assert choice.scores is not None
    return mean_score(choice.scores)["psnr"]


def settings(recalibrated: bool) -> Settings:
    made = Settings()
    made.validation.recalibrate = recalibrated
    return made


def test_recalibrated_checkpoint_is_also_scored_with_raw_and_with_batch_statistics(
    pairs, small_unet: Callable[[str], EnhancementModel]
) -> None:
    model = small_unet("bn")
    raw = running_statistics(model)
    raw_psnr = mean_score(score(model, pairs, CPU))["psnr"]
    recalibrate(model, [pairs.whole(index)[0][None] for index in range(len(pairs))])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recalibrated_psnr = mean_score(score(model, pairs, CPU))["psnr"]
    with batch_statistics(model):
        own_psnr = mean_score(score(model, pairs, CPU))["psnr"]

    checkpoint = Checkpoint(settings(recalibrated=True), 1, model.state_dict(), raw)
    choices = compare(model, checkpoint, pairs, None)

    assert psnr(choices[RUNNING]) == raw_psnr
    assert psnr(choices[RECALIBRATED]) == recalibrated_psnr
    assert psnr(choices[OWN]) == own_psnr
    assert len({raw_psnr, recalibrated_psnr, own_psnr}) == 3
    assert [name for name, choice in choices.items() if choice.in_checkpoint] == [RECALIBRATED]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_raw_checkpoint_is_recalibrated_now_on_training_images(
    pairs, small_unet: Callable[[str], EnhancementModel]
) -> None:
    model = small_unet("bn")
    wanted = small_unet("bn")
    # 24x40 and 33x17 go as one batch, the middle of both that both have
    batch = [pairs.whole(0)[0][:, :, 11:28], pairs.whole(1)[0][:, 4:28]]
    recalibrate(wanted, [torch.stack(batch)])
    checkpoint = Checkpoint(settings(recalibrated=False), 1, model.state_dict(), running_statistics(model))
    checkpoint.settings.validation.recalibrate_images = 2

    choices = compare(model, checkpoint, pairs, pairs)

    assert psnr(choices[RECALIBRATED]) == mean_score(score(wanted, pairs, CPU))["psnr"]
    assert psnr(choices[RECALIBRATED]) != psnr(choices[RUNNING])
    assert [name for name, choice in choices.items() if choice.in_checkpoint] == [RUNNING]


def test_raw_checkpoint_without_its_training_images_says_so(
    pairs, small_unet: Callable[[str], EnhancementModel]
) -> None:
    model = small_unet("bn")
    checkpoint = Checkpoint(settings(recalibrated=False), 1, model.state_dict(), running_statistics(model))
    choice = compare(model, checkpoint, pairs, None)[RECALIBRATED]
    assert choice.scores is None
    assert "training images are not here" in choice.note


def test_too_little_memory_for_each_images_own_leaves_the_others(
    pairs, small_unet: Callable[[str], EnhancementModel]
) -> None:
    model = small_unet("bn")

    def run_out(norm: BatchNorm, _: object) -> None:
        if norm.running_mean is None:
            raise torch.OutOfMemoryError("no CUDA device is here that could")

    for norm in batch_norms(model).values():
        norm.register_forward_pre_hook(run_out)
    checkpoint = Checkpoint(settings(recalibrated=True), 1, model.state_dict(), running_statistics(model))
    choices = compare(model, checkpoint, pairs, None)
    assert choices[OWN].scores is None
    assert "a.png is too large" in choices[OWN].note
    assert psnr(choices[RECALIBRATED]) == psnr(choices[RUNNING])


def test_frozen_statistics_are_told_from_others(pairs, small_unet: Callable[[str], EnhancementModel]) -> None:
    model = small_unet("bn")
    choices = compare(
        model, Checkpoint(settings(recalibrated=True), 1, model.state_dict(), {}, frozen=True), pairs, None
    )
    assert list(choices) == [FROZEN, OWN]
    assert choices[FROZEN].in_checkpoint
    assert psnr(choices[FROZEN]) == mean_score(score(model, pairs, CPU))["psnr"]


def test_other_norms_have_no_such_choice(pairs, small_unet: Callable[[str], EnhancementModel]) -> None:
    model = small_unet("gn")
    assert compare(model, Checkpoint(Settings(), 1, model.state_dict(), {}), pairs, pairs) == {}


def test_images_of_one_size_go_in_batches_and_none_is_left_out() -> None:
    """Recalibration sees whole images, eight at a time; those of rare sizes are trimmed together at the end."""
    sizes = [(24, 40), (40, 24)] * 9 + [(30, 30)]
    several = Pairs([str(number) for number in range(len(sizes))], sizes)
    seen: list[torch.Size] = []
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    model[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    assert recalibrate_in_place(model, dark_images(several, 100), CPU) == 19
    assert seen == [(8, 3, 24, 40), (8, 3, 40, 24), (3, 3, 24, 24)]
    assert recalibrate_in_place(model, dark_images(several, 2), CPU) == 2


def test_a_single_position_is_refused_with_the_cure() -> None:
    with pytest.raises(UserError, match=r"recalibration: a single position has no variance; give more images, or lar"):
        recalibrate_in_place(BatchNorm(3), dark_images(Pairs(["0"], [(1, 1)]), 1), CPU)


def test_big_photographs_are_trimmed(pairs) -> None:
    pairs.pairs[0] = (torch.rand(3, 512, 2048), torch.rand(3, 512, 2048))
    sizes: list[torch.Size] = []
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    model[0].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape))
    recalibrate_in_place(model, dark_images(pairs, 1), CPU)
    assert sizes == [(1, 3, 256, 1024)]
