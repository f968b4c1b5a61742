"""The loss is the weighted sum of its parts, each what it says."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from kornia.filters import spatial_gradient
from kornia.losses import ssim_loss
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity
from torchvision.models import VGG16_Weights
from torchvision.transforms.functional import normalize

from enhance.errors import SettingsError
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


def test_ssim_and_gradients_are_those_of_kornia() -> None:
    output, target = torch.rand(2, 3, 40, 32, requires_grad=True), torch.rand(2, 3, 40, 32)
    upstream = torch.randn(())
    similarity = 2 * ssim_loss(output, target, window_size=11, padding="valid")
    edges = (spatial_gradient(output) - spatial_gradient(target)).abs().mean()
    for part, theirs in (("ssim", similarity), ("edge", edges)):
        ours, _ = Objective(ObjectiveSettings(**(NONE | {part: 1.0})))(output, target)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
        torch.testing.assert_close(
            *(torch.autograd.grad(loss, output, upstream)[0] for loss in (ours, theirs)), rtol=1e-4, atol=1e-8
        )


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


NONE = {"l1": 0.0, "ssim": 0.0}
PARTS = ("l1", "charbonnier", "ssim", "ms_ssim", "edge", "colour")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gt_mean", [False, True])
def test_each_part_is_0_for_equal_images_and_falls_by_descent(part: str, gt_mean: bool) -> None:
    torch.manual_seed(0)
    objective = Objective(ObjectiveSettings(**(NONE | {part: 1.0}), gt_mean=gt_mean))
    target = torch.rand(2, 3, 48, 48) * 0.8 + 0.1
    assert objective(target, target)[0].item() == pytest.approx(1e-3 if part == "charbonnier" else 0, abs=1e-5)
    output = (target * 0.7).requires_grad_()
    first, parts = objective(output, target)
    assert list(parts) == [part]
    first.backward()
    with torch.no_grad():
        second = objective(output - 1e-3 * output.grad / output.grad.abs().max(), target)[0]
    assert second < first


def test_charbonnier_edge_and_colour_are_what_they_say() -> None:
    output, target = torch.rand(2, 3, 20, 24), torch.rand(2, 3, 20, 24)
    _, parts = Objective(ObjectiveSettings(**(NONE | {"charbonnier": 1.0, "edge": 1.0, "colour": 1.0})))(output, target)
    error = (output - target).double()
    assert parts["charbonnier"].item() == pytest.approx((error**2 + 1e-6).sqrt().mean().item(), rel=1e-5)
    assert parts["colour"].item() == pytest.approx(error.mean((2, 3)).abs().mean().item(), rel=1e-5)
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64) / 8
    whole = torch.nn.functional.pad(error, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    wanted = [torch.nn.functional.conv2d(whole, kernel[None, None]).abs().mean() for kernel in (sobel, sobel.mT)]
    assert parts["edge"].item() == pytest.approx(torch.stack(wanted).mean().item(), rel=1e-4)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """By the Gaussian of 33 taps, with zeros around the image (H, W)."""
    taps = np.exp(-(np.arange(-16, 17) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        image = correlate1d(image, taps / taps.sum(), axis, mode="constant")
    return image


def ms_ssim(output: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Zhao et al. 2017 (arXiv 1511.08861) at each position of a channel (H, W): l of the widest Gaussian, cs of all."""
    alike = np.ones_like(output)
    for sigma in (0.5, 1, 2, 4, 8):
        mean, wanted = blurred(output, sigma), blurred(target, sigma)
        covariance = blurred(output * target, sigma) - mean * wanted
        variances = blurred(output**2, sigma) - mean**2 + blurred(target**2, sigma) - wanted**2
        alike *= (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return alike * (2 * mean * wanted + 0.01**2) / (mean**2 + wanted**2 + 0.01**2)


def test_ms_ssim_is_that_of_its_paper() -> None:
    random = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 40, 52, generator=random)
    target[:, 1] *= 0.3  # channels that differ, for none may take another's window
    output = target * 0.8 + 0.05 * torch.randn(target.shape, generator=random)
    _, parts = Objective(ObjectiveSettings(**(NONE | {"ms_ssim": 1.0})))(output, target)
    pairs = zip(output.double().flatten(0, 1).numpy(), target.double().flatten(0, 1).numpy(), strict=True)
    wanted = 1 - np.mean([ms_ssim(*pair) for pair in pairs])
    assert 0.1 < wanted < 0.9
    assert parts["ms_ssim"].item() == pytest.approx(wanted, rel=1e-4)


def test_gt_mean_forgives_brightness_alone_and_the_less_the_more_it_is_off() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 3, 32, 32) * 0.4
    plain, with_gt_mean = (Objective(ObjectiveSettings(ssim=0.0, gt_mean=form)) for form in (False, True))
    found = []
    for factor in (0.98, 0.9, 0.5, 0.1):
        output = target * factor
        found.append((with_gt_mean(output, target)[0] / plain(output, target)[0]).item())
    assert found[0] < 0.02  # of 2 % too dark almost nothing is left: W is close to 0
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1, abs=1e-6)  # W is 1: the plain distance


def test_gt_mean_weighs_by_the_bhattacharyya_distance() -> None:
    output, target = torch.full((1, 3, 8, 8), 0.4), torch.full((1, 3, 8, 8), 0.5)
    output[..., :4] += 0.1
    objective = Objective(ObjectiveSettings(ssim=0.0, gt_mean=True))
    one, other = 0.45, 0.5
    variance = ((0.1 * one) ** 2 + (0.1 * other) ** 2) / 2
    distance = (one - other) ** 2 / (8 * variance) + 0.5 * math.log(variance / (0.1 * one * 0.1 * other))
    matched = (output * other / one - target).abs().mean().item()
    wanted = distance * (output - target).abs().mean().item() + (1 - distance) * matched
    assert objective(output, target)[0].item() == pytest.approx(wanted, rel=1e-4)


def test_perceptual_needs_weights_and_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SettingsError, match=r"checkpoints/vgg16.*is missing"):
        Objective(ObjectiveSettings(perceptual=0.1))
    (tmp_path / "no.pth").write_bytes(b"nothing")
    with pytest.raises(SettingsError, match=r"no\.pth: holds no weights"):
        Objective(ObjectiveSettings(perceptual=0.1, vgg=str(tmp_path / "no.pth")))


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, str]:
    """Untrained, and the file of its weights."""
    file = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torchvision.models.vgg16().eval()
    torch.save(model.state_dict(), file)
    return model, str(file)


def test_perceptual_with_weights(vgg: tuple[torch.nn.Module, str]) -> None:
    """That the file is read, that gradients flow to the output, and that nothing else learns."""
    objective = Objective(ObjectiveSettings(**(NONE | {"perceptual": 1.0}), vgg=vgg[1]))
    target = torch.rand(1, 3, 32, 32)
    assert objective(target, target)[0].item() == 0
    output = torch.rand(1, 3, 32, 32, requires_grad=True)
    objective(output, target)[0].backward()
    assert output.grad is not None
    assert output.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in objective.parameters())


def test_perceptual_is_the_distance_at_relu3_3_of_torchvisions_network(vgg: tuple[torch.nn.Module, str]) -> None:
    model, file = vgg
    third_block = [index for index, layer in enumerate(model.features) if isinstance(layer, torch.nn.MaxPool2d)][2]
    seen = []
    model.features[third_block - 1].register_forward_hook(lambda *found: seen.append(found[-1].clone()))
    images = torch.rand(2, 3, 40, 32), torch.rand(2, 3, 40, 32)
    standard = VGG16_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        for image in images:
            model(normalize(image, standard.mean, standard.std))
    assert seen[0].shape == (2, 256, 10, 8)
    _, parts = Objective(ObjectiveSettings(**(NONE | {"perceptual": 1.0}), vgg=file))(*images)
    assert parts["perceptual"].item() == pytest.approx((seen[0] - seen[1]).abs().mean().item(), rel=1e-5)
