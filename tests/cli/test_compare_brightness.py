"""`scripts/compare_brightness.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from enhance.data.loader import open_training
from enhance.evaluation.evaluate import mean_score, score
from enhance.run import checkpoint
from tests.cli.conftest import Ended

SCRIPT = "scripts/compare_brightness.py"


def test_scores_with_the_error_of_brightness_and_without(
    run_script: Callable[..., Ended], make_run: Callable[..., Path]
) -> None:
    file = make_run() / "checkpoints" / "best.pt"
    ended = run_script(SCRIPT, file.parents[1], "--device", "cpu")
    assert ended.code == 0, ended.err
    _, row, constant = ended.out.splitlines()
    psnr, of_constant, gt_mean, error, error_constant, explained = map(float, row.split()[:6])
    kept = checkpoint.load(file)
    training, validation = open_training(kept.settings.data)
    cpu = torch.device("cpu")
    wanted = mean_score(score(checkpoint.load_model(kept, file, cpu), validation, cpu))
    assert psnr == pytest.approx(wanted["psnr"], abs=0.006)
    assert gt_mean == pytest.approx(wanted["psnr_gt_mean"], abs=0.006)
    assert psnr < of_constant < gt_mean  # an untrained model leaves the images dark
    assert explained == pytest.approx(1 - (error / error_constant) ** 2, rel=0.02)
    greys = [training.whole(index)[1].mean().item() for index in range(len(training))]
    assert min(greys) < float(constant.rsplit(maxsplit=1)[1]) < max(greys)


def test_without_the_training_images_it_is_told(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], pairs_root: Path
) -> None:
    run = make_run()
    pairs_root.rename(pairs_root.with_name("gone"))
    ended = run_script(SCRIPT, run, "--device", "cpu")
    assert ended.code == 2
    assert str(pairs_root) in ended.err
