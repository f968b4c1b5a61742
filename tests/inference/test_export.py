"""An exported U-Net gives the enhancer's images, at any size, without the batch norms and without this project."""

import copy
import functools
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from enhance.errors import ExportError, SettingsError
from enhance.inference import export
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import Enhancer
from enhance.inference.export import Form, OnnxEnhancer, compare, export_onnx, to_onnx
from enhance.inference.fold import fold_batch_norms
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.norm.batch import BatchNorm
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import Checkpoint, save
from enhance.settings.schema import ModelSettings, NormSettings, Settings

CPU = torch.device("cpu")
SIZES = [(16, 16), (17, 31), (16, 90), (64, 48), (55, 33)]


def trained_unet(norm: str, **options) -> EnhancementModel:
    """A model whose weights and statistics are nowhere at their first values, and whose output leaves [0, 1]; plain,
    but for the options."""
    torch.manual_seed(0)
    plain = {"depth": 1, "exposure": False, "brightened": False}
    model = build_model(ModelSettings(width=8, **(plain | options)), NormSettings(norm))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    for _ in range(3):
        model(torch.rand(4, 3, 48, 48))
    torch.nn.init.normal_(model.network.unet.output.weight, std=0.5)
    return model.eval()


@functools.cache  # an export takes seconds
def export_once(norm: str) -> tuple[Enhancer, onnx.ModelProto]:
    enhancer = Enhancer(trained_unet(norm), CPU)
    return enhancer, to_onnx(enhancer)


def operations(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def assert_equal_images(enhancer: Enhancer, exported: OnnxEnhancer, size: tuple[int, int]) -> Tensor:
    images = torch.rand(2, 3, *size)
    for stops in (1.0, 0.0):
        wanted = torch.stack([enhancer.enhance(image, Brightness(stops=stops)) for image in images])
        for count in (1, 2):
            torch.testing.assert_close(exported.enhance(images[:count], stops), wanted[:count], rtol=0, atol=1e-4)
    torch.testing.assert_close(exported.enhance(images), exported.enhance(images, 0.0), rtol=0, atol=0)  # left out
    return wanted


def test_black_stays_black_in_the_file_too() -> None:
    enhancer = Enhancer(trained_unet("bn", exposure=True, brightened=True), CPU)
    black, stars = torch.zeros(1, 3, 40, 56), torch.zeros(1, 3, 40, 56)
    stars[..., 9::24, 5::31] = 0.1
    exported = OnnxEnhancer(to_onnx(enhancer).SerializeToString())
    assert enhancer.model.exposure(black).clamp(0, 1).mean() > 0.01  # which is no black
    for stops in (None, 1.0, -1.0):
        assert exported.enhance(black, stops).eq(0).all()
    torch.testing.assert_close(exported.enhance(stars)[0], enhancer.enhance(stars[0]), rtol=0, atol=1e-4)
    assert exported.enhance(stars).mean() <= 64.01 * stars.mean()


@pytest.mark.parametrize("norm", ["bn", "bn_act", "gn", "in", "frn", "hin", "ln", "none"])
def test_the_enhancers_images_at_any_size(norm: str) -> None:
    enhancer, model = export_once(norm)
    exported = OnnxEnhancer(model.SerializeToString())
    for size in SIZES:
        wanted = assert_equal_images(enhancer, exported, size)
        assert wanted.min() == 0
        assert wanted.max() == 1
        assert ((wanted > 0) & (wanted < 1)).float().mean() > 0.1  # those that were clamped agree too easily


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 4},
        {"unshuffle": 1},
        {"context": True, "depth": 3},
        {"exposure": True, "brightened": True},
        {"exposed": True, "context": True},
    ],
)
def test_other_u_nets(options: dict) -> None:
    """Above all those that take means of the whole image, which a fixed size would make constants of."""
    enhancer = Enhancer(trained_unet("bn", **options), CPU)
    exported = OnnxEnhancer(to_onnx(enhancer).SerializeToString())
    for size in [*SIZES, (203, 118)]:
        assert_equal_images(enhancer, exported, size)


@pytest.mark.parametrize(
    ("norm", "options", "size"),
    [
        ("bn", {"exposure": True, "brightened": True}, (45, 51)),  # sides that are padded and cropped
        ("gn", {"depth": 2}, (48, 64)),  # groups of several channels
        ("hin", {"context": True}, (45, 64)),
        ("gn", {"exposed": True, "context": True}, (120, 200)),
    ],
)
def test_opencv_reads_a_file_of_one_size(norm: str, options: dict, size: tuple[int, int]) -> None:
    """OpenCV 4 takes no free sizes, no negative padding, and broadcasts less than ONNX does."""
    enhancer = Enhancer(trained_unet(norm, **options), CPU)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(enhancer, Form(size)).SerializeToString(), np.uint8))
    for image in (torch.rand(3, *size), torch.rand(3, *size) / 50, torch.zeros(3, *size)):
        network.setInput(image[None].numpy())
        torch.testing.assert_close(torch.from_numpy(network.forward())[0], enhancer.enhance(image), rtol=0, atol=1e-4)


def test_weights_in_float16() -> None:
    """Of dark images too, whose brightness is a small number. What comes in and goes out is float32."""
    enhancer = Enhancer(trained_unet("bn", exposure=True, brightened=True), CPU)
    half = to_onnx(enhancer, Form(half=True)).SerializeToString()
    assert len(half) < 3 * sum(each.numel() for each in enhancer.model.parameters())  # 4 bytes each in float32
    exported = OnnxEnhancer(half)
    for image in (torch.rand(2, 3, 64, 48), torch.rand(1, 3, 17, 31) / 255, torch.zeros(1, 3, 16, 16)):
        enhanced = exported.enhance(image)
        wanted = torch.stack([enhancer.enhance(each) for each in image])
        torch.testing.assert_close(enhanced, wanted, rtol=0, atol=2e-3)
    assert next(enhancer.model.parameters()).dtype == torch.float32  # left as it was


@pytest.mark.parametrize("half", [False, True])
def test_a_file_in_float16_may_differ_by_more(
    checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    out = checkpoint_file.with_name("a.onnx")
    monkeypatch.setattr(export, "to_onnx", lambda *_: export_once("bn")[1])
    monkeypatch.setattr(export, "compare", lambda *_: export.Comparison(1.9e-3, 1, 1))
    if half:
        export_onnx(checkpoint_file, out, form=Form(half=True))
    else:
        with pytest.raises(ExportError, match=r"allowed: 0\.0001"):
            export_onnx(checkpoint_file, out)
    monkeypatch.setattr(export, "compare", lambda *_: export.Comparison(2.1e-3, 1, 1))
    with pytest.raises(ExportError, match=r"allowed: 0\.002\); leave out --fp16"):
        export_onnx(checkpoint_file, out, overwrite=True, form=Form(half=True))


def test_an_older_set_of_operations() -> None:
    enhancer = Enhancer(trained_unet("gn"), CPU)
    model = to_onnx(enhancer, Form(opset=18))
    assert model.opset_import[0].version == 18 != export_once("gn")[1].opset_import[0].version
    onnx.checker.check_model(model, full_check=True)
    assert_equal_images(enhancer, OnnxEnhancer(model.SerializeToString()), (17, 31))


def test_batch_norms_are_in_the_convolutions() -> None:
    """Nothing is computed but what a U-Net without norms computes, by the values of the folded one."""
    enhancer, model = export_once("bn")
    assert operations(model) == operations(export_once("none")[1])
    values = {tuple(value.dims) for value in model.graph.initializer if len(value.dims) == 4}
    assert values == {tuple(each.shape) for each in enhancer.model.parameters() if each.dim() == 4}
    named = {value.name for value in model.graph.initializer}
    assert {f"model.{name}" for name, _ in enhancer.model.named_parameters()} <= named


def test_the_operations_are_those_of_onnx() -> None:
    """Pooling and interpolation too, which a compiler gets in another form."""
    model = export_once("bn")[1]
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert operations(model)["MaxPool"] == operations(model)["Resize"] == 1
    assert str(Path(export.__file__).parents[1]) not in str(model)


def test_torch_exports_the_folded_unet_for_any_size() -> None:
    model = fold_batch_norms(trained_unet("bn", depth=2))
    assert not any(isinstance(module, BatchNorm) for module in model.modules())
    any_size = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    with torch.no_grad():
        exported = torch.export.export(model, (torch.rand(1, 3, 45, 51),), dynamic_shapes=(any_size,)).module()
        for size in SIZES:
            image = torch.rand(1, 3, *size)
            torch.testing.assert_close(exported(image), model(image), rtol=1e-5, atol=1e-5)


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    model = trained_unet("bn")
    plain = ModelSettings(width=8, depth=1, exposure=False, brightened=False)
    settings = Settings(model=plain, norm=NormSettings("bn"))
    save(Checkpoint(settings, 1, model.state_dict(), running_statistics(model)), tmp_path / "a.pt")
    return tmp_path / "a.pt"


STARTS = [{"resumed_at_step": step, "git": {"commit": f"{step:040d}", "dirty": False}} for step in (0, 5, 7)]


@pytest.mark.parametrize(
    ("place", "content", "wanted"),
    [
        ("checkpoints", json.dumps(STARTS), STARTS[1]["git"]),  # step 7 was trained before the run went on from it
        ("checkpoints", json.dumps(STARTS[2:]), None),
        ("checkpoints", '[{"resumed_at_step": 0, "git": null}]', None),
        ("checkpoints", "[", None),
        ("checkpoints", "[1]", None),
        ("checkpoints", None, None),
        ("kept", json.dumps(STARTS), None),  # of another run, for all one knows
    ],
)
def test_the_commit_is_that_which_trained_the_checkpoint(
    tmp_path: Path, place: str, content: str | None, wanted: dict | None
) -> None:
    if content is not None:
        (tmp_path / "provenance.json").write_text(content)
    assert export._git_state(tmp_path / place / "best.pt", step=7) == wanted


def test_a_model_that_differs_is_not_written(checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = checkpoint_file.with_name("a.onnx")
    monkeypatch.setattr(export, "to_onnx", lambda *_: export_once("bn")[1])
    for difference in ("2.0e-04", "nan"):
        monkeypatch.setattr(export, "compare", lambda *_, value=difference: export.Comparison(float(value), 1, 1))
        with pytest.raises(ExportError, match=rf"a\.onnx: not written.*{difference}"):
            export_onnx(checkpoint_file, out)
    assert list(checkpoint_file.parent.iterdir()) == [checkpoint_file]


def test_a_failure_leaves_what_was_there(checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, card = checkpoint_file.with_name("a.onnx"), checkpoint_file.with_name("a.json")
    out.write_text("mine")
    card.write_text("mine too")

    monkeypatch.setattr(export, "to_onnx", lambda *_: export_once("bn")[1])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SettingsError, match=r"cannot be written \(No space left on device\)"):
        export_onnx(checkpoint_file, out, overwrite=True)
    assert (out.read_text(), card.read_text()) == ("mine", "mine too")
    assert sorted(checkpoint_file.parent.iterdir()) == [card, out, checkpoint_file]


@pytest.mark.parametrize("name", ["a.onnx", "a.json"])
def test_a_folder_in_the_place_of_a_file_is_told_before_the_work(checkpoint_file: Path, name: str) -> None:
    out, card = checkpoint_file.with_name("a.onnx"), checkpoint_file.with_name("a.json")
    folder, other = (out, card) if name == "a.onnx" else (card, out)
    folder.mkdir()
    other.write_text("mine")
    with pytest.raises(SettingsError, match=rf"{name}: is a folder; give another OUT"):
        export_onnx(checkpoint_file, out, overwrite=True)
    assert other.read_text() == "mine"
    assert sorted(checkpoint_file.parent.iterdir()) == [card, out, checkpoint_file]


def test_the_comparison_sees_a_small_difference() -> None:
    enhancer, model = copy.deepcopy(export_once("bn"))
    exported = OnnxEnhancer(model.SerializeToString())
    assert compare(enhancer, exported).difference < 1e-5
    with torch.no_grad():
        enhancer.model.network.unet.output.bias += 1e-3
    found = compare(enhancer, exported)
    assert found.difference == pytest.approx(1e-3, rel=1e-2)
    assert min(found.torch_milliseconds, found.onnxruntime_milliseconds) > 0


def test_the_comparison_sees_a_file_without_brightness() -> None:
    class Deaf(OnnxEnhancer):
        def enhance(self, images: Tensor, stops: float | None = None) -> Tensor:
            return super().enhance(images)

    enhancer, model = export_once("bn")
    assert compare(enhancer, Deaf(model.SerializeToString())).difference > 0.1
