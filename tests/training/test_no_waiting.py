"""A training step hands a CUDA device its work and waits for nothing: the loss is read every so many steps.

Without a device, torch's fake tensors say where one would be waited for: a number that is read, or a copy to it that is
not told to go on. The gradient's way back does not run on them.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from enhance.models.build import build_model
from enhance.norm.registry import NORMS
from enhance.run.record import Record
from enhance.settings.schema import DataSettings, ModelSettings, NormSettings, ObjectiveSettings, Settings
from enhance.training.average import WeightAverage
from enhance.training.bare_steps import BareSteps
from enhance.training.loss import Objective, training_loss
from enhance.training.schedule import build_optimizer
from enhance.training.trainer import Trainer
from tests.small_data import write_pairs

CUDA = torch.device("cuda")


class Waits(TorchDispatchMode):
    """Notes what makes the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.ops.aten._local_scalar_dense.default and args[0].device.type == "cuda":
            self.found.append("a number read")
        result = function(*args, **kwargs)
        moved = function is torch.ops.aten._to_copy.default and args[0].device.type != result.device.type
        if moved and not kwargs.get("non_blocking"):
            self.found.append(f"a copy of {tuple(result.shape)} to {result.device}")
        return result


@pytest.fixture
def fake() -> Iterator[FakeTensorMode]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no CUDA here
        yield FakeTensorMode(allow_non_fake_inputs=True)


def to_fake_cuda(module: nn.Module) -> None:
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    moved = torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA)
                    tensors[name] = nn.Parameter(moved) if isinstance(tensor, nn.Parameter) else moved  # type: ignore


def test_what_would_wait_is_seen(fake: FakeTensorMode) -> None:
    with fake, Waits() as waits:
        torch.zeros(2, device=CUDA).new_tensor([0.1, 0.2])
        torch.zeros(2).to(CUDA, non_blocking=True)
        torch.zeros(3).to(CUDA)
    assert waits.found == ["a copy of (2,) to cuda:0", "a copy of (3,) to cuda:0"]


# bn_act looks in fp32, alone, for channels that it cannot invert; sync_bn needs processes.
@pytest.mark.parametrize("norm", [name for name in NORMS if name not in ("bn_act", "sync_bn")])
def test_forward_optimizer_and_average(fake: FakeTensorMode, norm: str) -> None:
    options = NormSettings(name=norm, num_groups=8 if norm == "gn" else None)
    model = build_model(ModelSettings(width=8, depth=1, context=True), options)
    objective = Objective(ObjectiveSettings())
    low, normal = torch.zeros(2, 2, 3, 64, 64, dtype=torch.uint8)
    with fake:
        to_fake_cuda(model)
        to_fake_cuda(objective)
        average = WeightAverage(model, 0.9)
        optimizer = build_optimizer(model, Settings().optimizer)
        loss = training_loss(model, objective, CUDA, torch.float32)
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        with Waits() as waits:
            for step in (1, 2):
                batch = [side.to(CUDA, non_blocking=True).float() for side in (low, normal)]
                loss(*batch)
                norm_of_gradient = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.found_inf = norm_of_gradient.isfinite().logical_not().float()  # type: ignore[attr-defined]
                optimizer.step()
                average.update(model, step)
    assert waits.found == []


@pytest.mark.parametrize("deterministic", [True, False])  # the last one's stays, for the whole process
def test_cudnn_tries_algorithms_for_crops_and_not_for_whole_images(deterministic: bool, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs" / "our485", range(8))
    data = DataSettings(name="lol_v1", root=str(tmp_path / "pairs"), crop=32, validation_share=0.25)
    model = ModelSettings(width=8, depth=1)
    settings = Settings(
        data=data, batch_size=2, model=model, device="cpu", deterministic=deterministic, runs=str(tmp_path / "runs")
    )
    settings.schedule.steps = 2
    trainer = Trainer(settings)
    tried: dict[bool, set[bool]] = {True: set(), False: set()}  # by whether the model is in training mode
    for model in (trainer.learner.model, trainer.learner.average.model):
        model.network.unet.entry.register_forward_pre_hook(
            lambda entry, _: tried[entry.training].add(torch.backends.cudnn.benchmark)
        )
    with Record(settings, None, None) as record:
        trainer.fit(record)
    assert tried == {True: {not deterministic}, False: {False}}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_whole_steps_on_a_device(precision: str) -> None:
    steps = BareSteps(Settings(data=DataSettings(crop=64), device="cuda", precision=precision))
    for _ in range(3):
        steps()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            steps.learner.advance(steps.batches, steps.meter, run_hooks=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")
