"""Batch norm and activation in one layer: torch's two layers' results from the output alone."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors, storage_bytes
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.norm.batch_act import BatchNormAct
from enhance.norm.recalibrate import batch_norms, recalibrate, running_statistics
from enhance.settings.schema import ModelSettings, NormSettings
from enhance.training.batch_norms import statistics_gap
from tests.norm.test_against_torch import LAYOUTS, distance, randomized, results
from tests.norm.test_compiled import step

ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(0.2), "elu": nn.ELU}


@pytest.fixture(params=ACTIVATIONS)
def activation(request: pytest.FixtureRequest) -> str:
    return request.param


def torch_twin(ours: BatchNormAct, dim: int = 4) -> nn.Sequential:
    norm = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dim]
    layer = norm(ours.num_features, affine=ours.weight is not None).double()
    layer.load_state_dict(ours.state_dict())
    return nn.Sequential(layer, ACTIVATIONS[ours.activation]()).train(ours.training)


def assert_equal_to_torch(ours: BatchNormAct, x: Tensor, grad: Tensor, tolerance: float) -> None:
    """Output, gradients and running statistics, beside torch's in float64."""
    theirs = torch_twin(ours, x.dim())
    expected = results(theirs, x.double().contiguous(), grad.double().contiguous())
    for name, value in results(ours, x, grad).items():
        reference = expected[name if name in expected else f"0.{name}"]
        half = value.dtype in (torch.bfloat16, torch.float16)
        assert distance(value, reference) <= (2 * torch.finfo(value.dtype).eps if half else tolerance), name
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer.double(), theirs[0].get_buffer(name).double(), rtol=1e-5, atol=1e-6)


def large_saved(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """What a training pass saves that is larger than a vector, storages counted once."""
    saved = saved_tensors(lambda: layer(x))
    return list({t.untyped_storage().data_ptr(): t for t in saved if t.numel() > x.shape[1]}.values())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", [(5, 6, 7, 9), (3, 6, 1, 13), (1, 6, 5, 2), (4, 6, 11), (2, 6, 3, 4, 5), (9, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_torchs_two_layers(
    activation: str, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, training: bool
) -> None:
    ours = randomized(BatchNormAct(6, activation).to(dtype))
    ours(torch.randn(shape, dtype=dtype) * 2 + 1)
    x = 3 * torch.randn(shape, dtype=dtype) + 1
    assert_equal_to_torch(ours.train(training), x, torch.randn_like(x), tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", LAYOUTS)
def test_memory_layouts(activation: str, layout: str, grad_layout: str) -> None:
    ours = randomized(BatchNormAct(6, activation))
    with torch.no_grad():
        ours.weight[2] = 0  # one saved channel
    x, grad = LAYOUTS[layout](torch.randn(3, 6, 5, 8)), LAYOUTS[grad_layout](torch.randn(3, 6, 5, 8))
    assert_equal_to_torch(ours, x, grad, 1e-5)
    if layout in ("contiguous", "channels_last"):
        assert ours(x).stride() == x.stride()


def test_expanded_gradient_and_no_affine(activation: str) -> None:
    x = torch.randn(3, 6, 5, 8)
    assert_equal_to_torch(randomized(BatchNormAct(6, activation)), x, torch.randn(1, 6, 1, 8).expand(x.shape), 1e-5)
    assert_equal_to_torch(BatchNormAct(6, activation, affine=False), x, torch.randn(x.shape), 1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_weights_of_every_sign_and_size(activation: str, dtype: torch.dtype, tolerance: float) -> None:
    """Those that divide too much away save their standardized input: 0, and what is small beside the bias."""
    ours = BatchNormAct(8, activation).to(dtype)
    with torch.no_grad():
        ours.weight.copy_(torch.tensor([1, -1, 0, 1e-3, 1e-30, -1e-3, -2, 1e-3]))
        ours.bias.copy_(torch.tensor([0, 0.5, 0.5, 0.01, 0, -0.5, 0.5, 0]))
    x, grad = (torch.randn(4, 8, 9, 7, dtype=dtype) for _ in "xg")
    theirs = torch_twin(ours)
    expected = results(theirs, x.double(), grad.double())
    actual = results(ours, x, grad)
    for channel in range(8):  # each by itself: the gradients of small weights would hide behind those of large ones
        scale = expected["x.grad"][:, channel].abs().max()
        error = (actual["x.grad"][:, channel].double() - expected["x.grad"][:, channel]).abs().max()
        assert error <= tolerance * scale
    assert distance(actual["weight"], expected["0.weight"]) <= tolerance
    saved = sum(tensor.shape[1] for tensor in large_saved(ours, x) if tensor.shape[1] < 8)
    assert saved >= 3 if activation == "elu" else saved == 3


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    weight=st.floats(-3, 3, allow_subnormal=False),  # 5e-324 / sqrt(variance) is 0: then the side of LeakyReLU is lost
    bias=st.floats(-3, 3),
    size=st.integers(2, 300),
    seed=st.integers(0, 2**16),
)
def test_any_weight_and_bias(name: str, weight: float, bias: float, size: int, seed: int) -> None:
    """In float64, where the rounding of torch's own result does not count."""
    torch.manual_seed(seed)
    ours = BatchNormAct(1, name).double()
    nn.init.constant_(ours.weight, weight)
    nn.init.constant_(ours.bias, bias)
    x, grad = (torch.randn(2, 1, size, dtype=torch.float64) for _ in "xg")
    assert_equal_to_torch(ours, x, grad, 1e-10)


def test_saturated_elu_saves_its_channel() -> None:
    ours, x = BatchNormAct(6, "elu"), torch.randn(4, 6, 9, 9)
    nn.init.constant_(ours.weight, 0.1)
    x[:, 3, 0, 0] = -400.0  # one far value: the rest of the channel is standardized to almost nothing
    nn.init.constant_(ours.bias, 0.0)
    with torch.no_grad():
        ours.weight[3] = 3.0
    saved = [tensor for tensor in large_saved(ours, x) if tensor.shape[1] < 6]
    assert [tensor.shape[1] for tensor in saved] == [1]
    assert_equal_to_torch(ours, x, torch.randn(x.shape), 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_half_types_save_the_input(activation: str, dtype: torch.dtype, training: bool) -> None:
    ours = randomized(BatchNormAct(6, activation)).train(training)
    x = (3 * torch.randn(5, 6, 17, 9) + 1).to(dtype)
    assert results(ours, x, torch.randn(x.shape).to(dtype))["x.grad"].dtype == dtype
    # LeakyReLU's side and ELU's slope are read from the rounded output, as torch's in-place activations read them.
    reference = nn.Sequential(nn.BatchNorm2d(6), ACTIVATIONS[activation]()).double().train(training)
    reference[0].load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x).double(), reference(x.double()), rtol=2 * torch.finfo(dtype).eps, atol=1e-3)
    if training:
        leaf = x.clone().requires_grad_()
        storages = {t.untyped_storage().data_ptr() for t in large_saved(ours, leaf)}
        assert leaf.untyped_storage().data_ptr() in storages
        grad = torch.randn(x.shape).to(dtype)
        actual, expected = results(ours, x, grad), results(reference, x.double(), grad.double())
        assert distance(actual["x.grad"], expected["x.grad"]) <= 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(activation: str, training: bool) -> None:
    layer = randomized(BatchNormAct(6, activation).double()).train(training)
    with torch.no_grad():
        layer.weight[1] = 0

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(3, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, layer.weight, layer.bias))


def test_backward_saves_the_output_only(activation: str) -> None:
    layer, x = BatchNormAct(6, activation), torch.rand(4, 6, 32, 32).requires_grad_()
    (saved,) = large_saved(layer, x)
    assert torch.equal(saved, layer(x))


def test_input_and_upstream_gradient_stay_and_backward_repeats(activation: str) -> None:
    x, grad = torch.randn(3, 6, 4, 5, requires_grad=True), torch.randn(3, 6, 4, 5)
    copies = x.detach().clone(), grad.clone()
    y = BatchNormAct(6, activation)(x)
    first, second = (torch.autograd.grad(y, x, grad, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(x.detach(), copies[0])
    assert torch.equal(grad, copies[1])


@pytest.mark.parametrize("std", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("ratio", [0.0, 3.0, 30.0, 300.0])
def test_the_weights_gradient_on_nearly_dead_channels(std: float, ratio: float) -> None:
    """eps makes the standardized values of such a channel far smaller than 1: a rounding of the bias counts more."""
    ours, x, grad = BatchNormAct(2), std * torch.randn(4, 2, 16, 16), torch.randn(4, 2, 16, 16)
    nn.init.constant_(ours.weight, 0.5)
    nn.init.constant_(ours.bias, 0.5 * ratio)
    expected = results(torch_twin(ours), x.double(), grad.double())["0.weight"]
    assert distance(results(ours, x, grad)["weight"], expected) <= 1e-4


def test_changing_the_output_in_place_is_refused() -> None:
    y = BatchNormAct(6)(torch.randn(3, 6, 4, 5, requires_grad=True))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("training", [True, False])
def test_compile_and_export(activation: str, training: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), randomized(BatchNormAct(6, activation))).train(training)
    twin, third = copy.deepcopy(model), copy.deepcopy(model)
    x, grad = torch.randn(4, 3, 7, 10), torch.randn(4, 6, 5, 8)
    torch.compiler.reset()
    expected = step(model, model, x, grad)
    actual = step(twin, torch.compile(twin, fullgraph=True, backend="aot_eager"), x, grad)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    exported = torch.export.export(third, (x,)).module()
    torch.testing.assert_close(exported(x), expected["y"], rtol=1e-5, atol=1e-5)


def test_passes_without_values(activation: str) -> None:
    """As the check before the first step does."""
    with torch.device("meta"):
        assert BatchNormAct(6, activation)(torch.empty(4, 6, 5, 8)).shape == (4, 6, 5, 8)


def unet(norm: str, activation: str = "leaky_relu") -> EnhancementModel:
    torch.manual_seed(0)
    model = build_model(ModelSettings(width=8, depth=2, activation=activation, exposure=False), NormSettings(norm))
    nn.init.normal_(model.network.unet.output.weight, std=0.1)
    return model


@pytest.mark.parametrize(("source", "target"), [("bn", "bn_act"), ("bn_act", "bn")])
def test_checkpoints_interchange_with_batch_norm(activation: str, source: str, target: str) -> None:
    image, first, second = torch.rand(2, 3, 32, 48), unet(source, activation), unet(target, activation)
    for parameter in first.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    first(image)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.eval()(image), first.eval()(image), rtol=1e-5, atol=1e-5)
    grads = []
    for model in (first.train(), second.train()):
        model(image).backward(torch.ones_like(image))
        grads.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[1].items():
        # Ten layers amplify roundings of the first; sums that cancel make the small gradients noisy.
        assert distance(grad, grads[0][name].double()) <= 1e-3, name


def test_recalibration_and_the_gap_see_a_batch_norm() -> None:
    fused, plain = unet("bn_act"), unet("bn")
    images = [torch.rand(2, 3, 32, 32) for _ in range(2)]
    for model in (fused, plain):
        recalibrate(model, images)
    assert len(batch_norms(fused)) == 10
    torch.testing.assert_close(running_statistics(fused), running_statistics(plain), rtol=1e-4, atol=1e-5)
    with statistics_gap(fused, enabled=True) as gaps:
        fused(images[0])
    assert len(gaps) == 20


def saved_bytes(model: nn.Module, image: Tensor) -> int:
    """What a pass saves for backward beside the parameters, which are there anyway."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved = saved_tensors(lambda: model(image))
    sizes = storage_bytes(saved)
    return sum(size for storage, size in sizes.items() if storage not in parameters)


def test_unet_small_saves_two_thirds(activation: str) -> None:
    """Of what it saves on torch's batch norm and an in-place activation: measured 0.65."""
    image = torch.rand(1, 3, 128, 128)
    unet = partial(UNet, nn.BatchNorm2d, width=32, activation=activation)
    torchs = ResidualUNet(unet, unshuffle=2, brightened=False)
    settings = ModelSettings(width=32, activation=activation, exposure=False, brightened=False)
    own = build_model(settings, NormSettings("bn_act"))
    assert saved_bytes(own, image) <= 0.68 * saved_bytes(torchs, image)


def test_other_activations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"activation=gelu has no inverse here: choose leaky_relu or elu"):
        BatchNormAct(6, "gelu")
