"""The loss is the weighted sum of its parts, each what it says."""

import pytest
import torch
from skimage.metrics import structural_similarity

from enhance.settings import ObjectiveSettings
from enhance.training.objective import Objective


def test_parts_and_weights() -> None:
    output, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    loss, parts = Objective(ObjectiveSettings(l1=0.7, ssim=0.3))(output, target)
    assert parts["l1"] == pytest.approx((output - target).abs().mean().item())
    # skimage crops the border of half a window by itself when it averages
    similarity = [
        structural_similarity(
            a.numpy(), b.numpy(), channel_axis=0, gaussian_weights=True, use_sample_covariance=False, data_range=1.0
        )
        for a, b in zip(output, target, strict=True)
    ]
    assert parts["ssim"].item() == pytest.approx(1 - sum(similarity) / 2, abs=1e-4)
    assert loss.item() == pytest.approx(0.7 * parts["l1"].item() + 0.3 * parts["ssim"].item(), rel=1e-6)


def test_part_of_weight_0_is_not_computed() -> None:
    output, target = torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(1, 3, 8, 8)  # smaller than SSIM's window
    loss, parts = Objective(ObjectiveSettings(l1=1.0, ssim=0.0))(output, target)
    loss.backward()
    assert list(parts) == ["l1"]
    assert output.grad is not None


def test_gradient_does_not_vanish_outside_the_range() -> None:
    output = torch.full((1, 3, 16, 16), 1.5, requires_grad=True)
    Objective(ObjectiveSettings(ssim=0.0))(output, torch.rand(1, 3, 16, 16))[0].backward()
    assert output.grad is not None
    assert (output.grad > 0).all()
