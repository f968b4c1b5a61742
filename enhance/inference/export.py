"""A trained model as an ONNX file, which runs without this project, and a model card beside it."""

import copy
import hashlib
import importlib.util
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from enhance.cost.measure import median_milliseconds
from enhance.data.images import shortened
from enhance.errors import ExportError, SettingsError, extra
from enhance.files import replacing, writing
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import Enhancer
from enhance.models.build import count_parameters
from enhance.models.exposure import MOST_STOPS, expose
from enhance.models.residual import SMALLEST_SIDE
from enhance.run import checkpoint

if TYPE_CHECKING:
    import onnx

TOLERANCE, TOLERANCE_HALF = 1e-4, 2e-3  # of an image in [0, 1]; 8 bits have steps of 4e-3
COMPARED = ((1, SMALLEST_SIDE, SMALLEST_SIDE), (1, 17, 31), (2, 64, 48), (1, 101, 67), (1, 400, 600))
_CONTENTS = {1: "grey photograph", 3: "sRGB photograph in the order red, green, blue"}
_CONTENTS[4] = f"{_CONTENTS[3]}, and the fourth channel of its training's files"
OLDEST_OPSET = 18  # that torch writes


@dataclass(frozen=True)
class Form:
    """Of the file, for runtimes that do not take what torch prefers."""

    size: tuple[int, int] | None = None  # height and width, of one image at a time; None: any
    opset: int | None = None  # None: torch's choice
    half: bool = False  # the U-Nets in float16; what comes in and goes out is float32

    def compared(self) -> tuple[tuple[int, int, int], ...]:
        """Number, height and width of images to compare the file on; the last is timed."""
        return COMPARED if self.size is None else ((1, *self.size),) * 2


@dataclass(frozen=True)
class Comparison:
    """An exported model in onnxruntime beside the enhancer that it comes from, on the CPU."""

    difference: float  # largest, of all values of the images of `Form.compared`, and of one stop more
    torch_milliseconds: float  # median, of one image of the last of them
    onnxruntime_milliseconds: float


class OnnxEnhancer:
    """An exported model in onnxruntime, on the CPU, with as many threads as torch takes."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns of inputs with a default
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def enhance(self, images: Tensor, stops: float | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, in [0, 1], so much brighter; H, W >= 16."""
        given = {"image": images.numpy()}
        if stops is not None:
            given["brightness"] = np.array([stops], np.float32)
        return torch.from_numpy(self.session.run(["enhanced"], given)[0])


def export_onnx(source: Path, out: Path, overwrite: bool = False, form: Form = Form()) -> Comparison:
    """Write the model of the checkpoint file `source` to `out`, an `.onnx` file in a folder that is there, and a model
    card to the same name with `.json`; nothing where the file gives other images than the enhancer.

    Raises:
        CheckpointError: as `checkpoint.load` and `load_model`.
        ExportError: packages are missing, or the images differ by more than `TOLERANCE`, `TOLERANCE_HALF` in float16.
        SettingsError: `out` is no place for the files, or they are there already, without `overwrite`; `form` is none
            that can be had.
    """
    packages = ("onnx", "onnxscript", "onnxruntime")
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ExportError(f"an ONNX file needs {', '.join(missing)}: {extra('onnx')}")
    import onnxruntime

    card_file = _card_file(out, overwrite)
    _check_form(form)
    loaded = checkpoint.load(source)
    enhancer = Enhancer(checkpoint.load_model(loaded, source, torch.device("cpu")), torch.device("cpu"))
    model = to_onnx(enhancer, form)
    content = model.SerializeToString()
    comparison = compare(enhancer, OnnxEnhancer(content), form)
    allowed = TOLERANCE_HALF if form.half else TOLERANCE
    if not comparison.difference <= allowed:  # NaN is not
        differs = f"in onnxruntime its images differ from PyTorch's by up to {comparison.difference:.1e}"
        cure = "leave out --fp16" if form.half else "try other versions of torch and onnxruntime"
        raise ExportError(f"{out}: not written: {differs} (allowed: {allowed}); {cure}")
    _, height, width = form.compared()[-1]
    at_least = f"; height and width are at least {SMALLEST_SIDE}" if form.size is None else ""
    card = {
        "file": out.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "opset": model.opset_import[0].version,
        "checkpoint": str(source),
        "step": loaded.step,
        "seed": loaded.settings.seed,
        "git": _git_state(source, loaded.step),
        "model": loaded.settings.model.name,
        "norm": loaded.settings.norm.name,
        "data": loaded.settings.data.name,
        # The PSNR of identical images is infinite, for which JSON has no number.
        "validation": {name: value if math.isfinite(value) else None for name, value in loaded.validation.items()},
        **({"weights": "float16"} if form.half else {}),
        "parameters": count_parameters(enhancer.model),  # of the file: batch norms are folded
        "input": _described(
            model.graph.input[0],
            f"{_CONTENTS[enhancer.model.channels]}{at_least}",
        ),
        **({"brightness": _brightness_described(model.graph.input[1])} if form.size is None else {}),
        "output": _described(model.graph.output[0], "the same photograph, enhanced"),
        "largest_difference_to_torch": comparison.difference,
        "time": {
            "width": width,
            "height": height,
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "torch_milliseconds": comparison.torch_milliseconds,
            "onnxruntime_milliseconds": comparison.onnxruntime_milliseconds,
        },
        "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
    }
    # Both are written before the first takes its place.
    with writing(out, "give another OUT"), replacing(card_file) as new_card, replacing(out) as new_file:
        new_file.write_bytes(content)
        new_card.write_bytes((json.dumps(card, indent=2, allow_nan=False) + "\n").encode())
    return comparison


class _Exposed(nn.Module):
    """A model, its clamp, and brightness that is set afterwards, as `Enhancer.enhance` does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, brightness: Tensor) -> Tensor:
        def exposed(enhanced: Tensor, stops: Tensor) -> Tensor:
            return expose(enhanced, stops.view(1, 1, 1, 1))

        # The curve may take as long as the network: only where it is wanted.
        enhanced = self.model(image).clamp(0, 1)
        return torch.cond((brightness != 0).any(), exposed, lambda same, _: same.clone(), (enhanced, brightness))


class _Half(nn.Module):
    """A network in float16 that takes and gives float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.half()).float()


def to_onnx(enhancer: Enhancer, form: Form = Form()) -> "onnx.ModelProto":
    """The enhancer's model and its clamp: `image` (batch, C, height, width) -> `enhanced`, of the same shape.

    Batch, height and width are free; a side shorter than 16 px is not extended. `brightness` (1,), in stops, is an
    input that may be left out: ONNX takes an initializer of an input's name for its default. Of a size of `form` there
    is one image and no such input, for OpenCV 4 reads no conditions.
    """
    import onnx

    enhancing = copy.deepcopy(enhancer.model) if form.half else enhancer.model
    if form.half:  # the arithmetic of brightness, which divides by means, stays in float32
        for network in enhancing.networks():
            network.unet = _Half(network.unet)  # type: ignore[assignment]
    # Of sizes that are free, 1 and sides that need no padding would be taken for constants.
    count, *sides = (2, 45, 51) if form.size is None else (1, *form.size)
    clamped = nn.Sequential(OrderedDict(model=enhancing, clamp=nn.Hardtanh(0, 1)))
    images = torch.rand(count, enhancing.channels, *sides)
    free = form.size is None
    with torch.no_grad():
        program = torch.onnx.export(
            (_Exposed(enhancing) if free else clamped).eval(),
            (images, torch.zeros(1)) if free else (images,),
            input_names=["image", "brightness"] if free else ["image"],
            output_names=["enhanced"],
            dynamo=True,
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"}, None) if free else None,
            opset_version=form.opset,
            verbose=False,
        )
    assert program is not None
    exported = program.model.graph
    exported.outputs[0].shape = exported.inputs[0].shape  # instead of a long expression of padding and cropping
    model = program.model_proto
    if form.opset not in (None, written := model.opset_import[0].version):  # a conversion that fails is not raised
        raise ExportError(f"--opset {form.opset}: torch can write this model with {written} alone; leave it out")
    if free:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "brightness"))
    model.ClearField("metadata_props")
    _clear_traces(model.graph)
    return model


def _clear_traces(graph: "onnx.GraphProto") -> None:
    """Stack traces, with this machine's paths."""
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
    for branch in (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")):
        _clear_traces(branch)


def compare(enhancer: Enhancer, exported: OnnxEnhancer, form: Form = Form()) -> Comparison:
    """Run both on noise that grows from black at the left to full range at the right. The curve of brightness is
    compared by itself: of float16 it would show the same differences again, larger."""
    generator = torch.Generator().manual_seed(0)
    differences = []
    for count, height, width in form.compared():
        images = torch.rand(count, enhancer.model.channels, height, width, generator=generator)
        images *= torch.linspace(0, 1, width)
        wanted = torch.stack([enhancer.enhance(image) for image in images])
        differences.append(((enhanced := exported.enhance(images)) - wanted).abs().max())
        if form.size is None:
            curve = torch.stack([Brightness(stops=1.0).set(image) for image in enhanced])
            differences.append((exported.enhance(images, stops=1.0) - curve).abs().max())
    tasks = {"torch": lambda: enhancer.enhance(images[0]), "onnxruntime": lambda: exported.enhance(images)}
    times = median_milliseconds(tasks, rounds=7)
    return Comparison(float(torch.stack(differences).max()), times["torch"], times["onnxruntime"])


def _check_form(form: Form) -> None:
    import onnx

    if form.size is not None and min(form.size) < SMALLEST_SIDE:
        height, width = form.size
        raise SettingsError(f"--size {width}x{height} is too small: both sides are at least {SMALLEST_SIDE}")
    newest = onnx.defs.onnx_opset_version()
    if form.opset is not None and not OLDEST_OPSET <= form.opset <= newest:
        raise SettingsError(f"--opset {form.opset}: torch and onnx write {OLDEST_OPSET} to {newest}")


def _card_file(out: Path, overwrite: bool) -> Path:
    if out.suffix != ".onnx":
        example = out / "model.onnx" if out.is_dir() else out.with_suffix(".onnx")  # `.` and `/` have no name to change
        raise SettingsError(f"{out}: not the name of an ONNX file; give for example {example}")
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"{out}: its folder is not there; make it, or give another OUT")
    card_file = out.with_suffix(".json")
    for file in (out, card_file):
        if file.is_dir():
            raise SettingsError(f"{file}: is a folder; give another OUT")
    if not overwrite and (existing := [str(file) for file in (out, card_file) if file.exists()]):
        raise SettingsError(f"{shortened(existing)}: already there; give another OUT, or --overwrite")
    return card_file


def _git_state(source: Path, step: int) -> dict[str, Any] | None:
    """Commit of the code that trained the checkpoint, from its run folder; None where nothing there names it."""
    folder = source.absolute().parent
    if folder.name != "checkpoints":
        return None
    try:
        starts = json.loads((folder.parent / "provenance.json").read_text(encoding="utf-8"))
        return [start["git"] for start in starts if start["resumed_at_step"] < step][-1]
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _brightness_described(value: "onnx.ValueInfoProto") -> dict[str, Any]:
    described = _described(value, "stops more or less than the model sets; may be left out")
    return {**described, "range": [-MOST_STOPS, MOST_STOPS], "default": 0}


def _described(value: "onnx.ValueInfoProto", meaning: str) -> dict[str, Any]:
    sides = [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
    return {"name": value.name, "type": "float32", "shape": sides, "range": [0, 1], "meaning": meaning}
