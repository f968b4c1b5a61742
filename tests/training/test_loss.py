"""The loss is the weighted sum of its parts, each what it says; under torch.compile it is the same."""

from pathlib import Path

import pytest
import torch
import torchvision
from kornia.losses import ssim_loss
from skimage.metrics import structural_similarity
from torchvision.models import VGG16_Weights
from torchvision.transforms.functional import normalize

from enhance.errors import SettingsError
from enhance.models.build import build_model
from enhance.settings.schema import ModelSettings, NormSettings, ObjectiveSettings
from enhance.training.loss import Objective, compiled, training_loss

CPU = torch.device("cpu")


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
    ours, _ = Objective(ObjectiveSettings(**(NONE | {"ssim": 1.0})))(output, target)
    torch.testing.assert_close(ours, similarity, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, output, upstream)[0] for loss in (ours, similarity)), rtol=1e-4, atol=1e-8
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


@pytest.mark.parametrize("part", ["l1", "ssim"])
def test_each_part_is_0_for_equal_images_and_falls_by_descent(part: str) -> None:
    torch.manual_seed(0)
    objective = Objective(ObjectiveSettings(**(NONE | {part: 1.0})))
    target = torch.rand(2, 3, 48, 48) * 0.8 + 0.1
    assert objective(target, target)[0].item() == pytest.approx(0, abs=1e-5)
    output = (target * 0.7).requires_grad_()
    first, parts = objective(output, target)
    assert list(parts) == [part]
    first.backward()
    with torch.no_grad():
        second = objective(output - 1e-3 * output.grad / output.grad.abs().max(), target)[0]
    assert second < first


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


@pytest.mark.slow
def test_compiled_in_bfloat16_it_is_the_same() -> None:
    """Of two networks side by side: one of them once read memory before it was written."""
    torch.manual_seed(0)
    model = build_model(ModelSettings(), NormSettings("bn"))
    model = model.to(memory_format=torch.channels_last)
    normal = torch.rand(8, 3, 64, 64).to(memory_format=torch.channels_last)
    eager = training_loss(model, Objective(ObjectiveSettings()), CPU, torch.bfloat16)
    results = {}
    for name, loss in (("eager", eager), ("compiled", compiled(eager, CPU))):
        model.zero_grad()
        value, _ = loss(normal**2 / 5, normal)
        value.backward()
        results[name] = [value.detach(), *(each.grad for each in model.parameters() if each.grad is not None)]
    assert len(results["eager"]) == len(results["compiled"])
    torch.testing.assert_close(results["compiled"][0], results["eager"][0], rtol=1e-3, atol=0)
    for one, other in zip(results["compiled"], results["eager"], strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() <= 0.1 * other.norm() + 1e-3
