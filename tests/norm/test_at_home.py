"""Our layers where torch's own are expected: what asks for a batch norm, traces, transforms, averages, converts."""

import copy
import functools
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval
from torch.optim.swa_utils import update_bn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import FrozenBatchNorm2d

from enhance.norm.base import ChannelNorm
from enhance.norm.batch import BatchNorm
from enhance.norm.functional import PLAIN, forced
from enhance.norm.image import GroupNorm
from enhance.norm.recalibrate import recalibrate
from enhance.norm.registry import NORMS, build_norm

TorchBatchNorm = nn.modules.batchnorm._BatchNorm
NAMES = [name for name in NORMS if name != "none"]


def small_net(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), build_norm(name, 8), nn.Conv2d(8, 2, 3))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_norm_of_torchs_is_what_may_be_converted(name: str) -> None:
    """Converted, the others would lose their activation, their virtual batches, their correction or their freezing."""
    assert isinstance(build_norm(name, 8), TorchBatchNorm) == (name in ("bn", "sync_bn"))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(small_net(name))[1]
    assert isinstance(converted, nn.SyncBatchNorm if name in ("bn", "sync_bn") else ChannelNorm)


def test_conversion_keeps_what_was_learned() -> None:
    model = small_net("bn")
    for tensor in (*model[1].parameters(), model[1].running_mean):
        nn.init.normal_(tensor)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(converted.eval()(image), model.eval()(image))


def test_update_bn_takes_the_statistics_again() -> None:
    ours, theirs = small_net("bn"), small_net("bn")
    theirs[1] = nn.BatchNorm2d(8)
    batches = [torch.rand(4, 3, 9, 9) for _ in range(3)]
    for model in (ours, theirs):
        model[0].load_state_dict(ours[0].state_dict())
        update_bn(batches, model)
    torch.testing.assert_close(dict(ours[1].named_buffers()), dict(theirs[1].named_buffers()))
    assert ours[1].momentum == 0.1


def test_a_convolution_takes_it_in() -> None:
    model = small_net("bn").eval()
    nn.init.uniform_(model[1].running_var, 0.5, 2)
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(fuse_conv_bn_eval(model[0], model[1])(image), model[:2](image), rtol=1e-4, atol=1e-5)


def test_reset() -> None:
    layer, fresh = BatchNorm(6), BatchNorm(6)
    layer(torch.rand(4, 6, 5, 5) + 3)
    nn.init.normal_(layer.weight)
    layer.reset_running_stats()
    torch.testing.assert_close(dict(layer.named_buffers()), dict(fresh.named_buffers()))
    layer.reset_parameters()
    torch.testing.assert_close(layer.state_dict(), fresh.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_device_dtype_and_skip_init(name: str) -> None:
    layer = build_norm(name, 8, device="meta", dtype=torch.float64)
    assert {each.device.type for each in layer.parameters()} == {"meta"}
    assert {each.dtype for each in layer.parameters()} == {torch.float64}
    skipped = nn.utils.skip_init(NORMS[name], 8)
    assert skipped.state_dict().keys() == build_norm(name, 8).state_dict().keys()


def test_older_checkpoints_load() -> None:
    """Of torch before 0.4.1, and of torchvision's frozen batch norm, neither of which counts batches."""
    frozen = FrozenBatchNorm2d(6)
    nn.init.uniform_(frozen.running_var, 1, 2)
    for state in (frozen.state_dict(), dict(frozen.state_dict())):
        layer = BatchNorm(6)
        layer.load_state_dict(state)
        assert torch.equal(layer.running_var, frozen.running_var)
        assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_without_a_bias_and_a_bias_without_a_weight(name: str) -> None:
    if name == "frn":
        pytest.skip("its threshold needs both")
    x, grad = torch.randn(4, 8, 5, 6), torch.randn(4, 8, 5, 6)
    for gone in ("weight", "bias"):
        layer = build_norm(name, 8)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, 0.5, 2)
        setattr(layer, gone, None)
        results = []
        for way in ("fast", PLAIN):
            with forced(way):
                leaf, twin = x.clone().requires_grad_(), copy.deepcopy(layer)
                y = twin(leaf)
                y.backward(grad)
                results.append([y.detach(), leaf.grad, *(each.grad for each in twin.parameters())])
        assert len(results[0]) == (2 + len(list(layer.parameters())))
        torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [27189746.0, -3e7, 1e-20, 0.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_constant_channel_is_finite_and_has_no_negative_variance(name: str, value: float) -> None:
    """The variance of this one once came out below zero, and its square root as NaN."""
    layer, x = build_norm(name, 8), torch.full((7, 8, 16, 32), value, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    model = nn.Sequential(layer)
    if getattr(layer, "running_var", None) is not None and not layer.frozen:
        assert (layer.running_var >= 0).all()
        recalibrate(model, [x.detach()])
        assert (layer.running_var >= 0).all()
        assert layer.eval()(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_only_floating_point_is_taken(name: str, training: bool, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"floating-point input \(N, 8, ...\) expected, got .* of torch"):
        build_norm(name, 8).train(training)(torch.ones(2, 8, 4, 4).to(dtype))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_functorch_takes_gradients(name: str, training: bool) -> None:
    layer = build_norm(name, 8).train(training)
    x = torch.randn(4, 8, 5, 6)

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        buffers = {key: buffer.clone() for key, buffer in layer.named_buffers()}
        return torch.func.functional_call(layer, parameters | buffers, (x,)).tanh().sum()

    parameters = dict(layer.named_parameters())
    actual = torch.func.grad(loss, argnums=(0, 1))(parameters, x)
    leaf = x.clone().requires_grad_()
    loss(parameters, leaf).backward()
    torch.testing.assert_close(actual[1], leaf.grad, rtol=1e-3, atol=1e-5)
    for key, parameter in parameters.items():
        torch.testing.assert_close(actual[0][key], parameter.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["bn", "bn_act", "bn_ghost", "brn", "sync_bn"])
def test_forward_mode_is_reverse_mode_where_running_statistics_move(name: str) -> None:
    """As of a functional call, for torch.func moves no buffer in place. Through brn's correction no tangent passes."""
    layer = build_norm(name, 8)
    if name == "brn":
        layer.progress.fill_(1.0)
        layer.running_var.fill_(2.0)
    x, tangent, upstream = torch.randn(3, 4, 8, 5, 6).unbind()

    def output(x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {key: value.clone() for key, value in layer.named_buffers()}, (x,))

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(output(leaf), leaf, upstream)
    _, moved = torch.func.jvp(output, (x,), (tangent,))
    torch.testing.assert_close((moved * upstream).sum(), (gradient * tangent).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bn", "in", "gn", "ln", "hin", "frn"])
def test_forward_mode_and_vmap(name: str) -> None:
    layer = build_norm(name, 8, **({"track_running_stats": False} if name == "bn" else {}))
    x, tangent = torch.randn(4, 8, 5, 6), torch.randn(4, 8, 5, 6)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        moved = torch.autograd.forward_ad.unpack_dual(layer(dual)).tangent
    step = 1e-3
    difference = (layer.double()(x.double() + step * tangent) - layer(x.double() - step * tangent)) / (2 * step)
    torch.testing.assert_close(moved.double(), difference, rtol=1e-3, atol=1e-3)
    layer = layer.float()
    several = torch.randn(3, 4, 8, 5, 6)
    one_by_one = torch.stack([layer(each) for each in several])
    torch.testing.assert_close(torch.func.vmap(layer)(several), one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_fx_sees_one_node(name: str) -> None:
    model = small_net(name)
    traced = torch.fx.symbolic_trace(model)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["0", "1", "2"]
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(traced.eval()(image), model.eval()(image))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace`", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", NAMES)
def test_jit_trace_in_evaluation(name: str) -> None:
    model = small_net(name).eval()
    traced = torch.jit.trace(model, torch.rand(2, 3, 8, 8))
    image = torch.rand(3, 3, 11, 9)
    torch.testing.assert_close(traced(image), model(image), rtol=1e-4, atol=1e-5)


@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore")  # of exporters that are deprecated
@pytest.mark.parametrize("name", NAMES)
def test_the_older_onnx_exporter_takes_any_size(name: str) -> None:
    """It traces, and once took frn's in-place work for something else, without a word."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = small_net(name)[:2].eval()
    for tensor in (*model[1].parameters(), *(b for key, b in model[1].named_buffers() if key.startswith("running"))):
        nn.init.uniform_(tensor, 0.5, 2)
    file, free = io.BytesIO(), {0: "images", 2: "height", 3: "width"}
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": free}}
    torch.onnx.export(model, (torch.rand(2, 3, 9, 9),), file, dynamo=False, **names)
    x = torch.rand(3, 3, 12, 15)
    (y,) = onnxruntime.InferenceSession(file.getvalue()).run(["y"], {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), model(x), rtol=1e-4, atol=1e-5)


def test_ghost_is_compiled_once_for_all_batches_that_it_divides() -> None:
    torch.compiler.reset()
    layer = build_norm("bn_ghost", 8, virtual_batch=2)
    twin = copy.deepcopy(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for images in (4, 8, 6):
            x = torch.randn(images, 8, 5, 6)
            torch.testing.assert_close(compiled(x), twin(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", [BatchNorm, functools.partial(GroupNorm, num_groups=4)])
def test_resnet18_trains_extracts_and_loads(norm: functools.partial | type) -> None:
    torch.manual_seed(0)
    model = resnet18(norm_layer=norm, num_classes=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images, labels = torch.rand(8, 3, 32, 32), torch.arange(8) % 4
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    features = create_feature_extractor(model.eval(), ["layer1.0.bn1", "avgpool"])(images)
    assert features["layer1.0.bn1"].shape == (8, 64, 8, 8)
    if norm is BatchNorm:
        torchs = resnet18(num_classes=4).eval()
        torchs.load_state_dict(model.state_dict())
        torch.testing.assert_close(torchs(images), model(images), rtol=1e-4, atol=1e-4)


def test_resnet18_takes_torchs_weights_updates_converts_and_fuses() -> None:
    torch.manual_seed(0)
    torchs, ours = resnet18(num_classes=4), resnet18(norm_layer=BatchNorm, num_classes=4)
    for module in torchs.modules():
        if isinstance(module, TorchBatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    batches = [torch.rand(8, 3, 32, 32) for _ in range(2)]
    ours.load_state_dict(torchs.state_dict())
    for model in (torchs, ours):
        update_bn(batches, model)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(torchs.named_buffers()), rtol=1e-4, atol=1e-4)
    ours.load_state_dict(torchs.state_dict())
    expected = torchs.eval()(batches[0])
    torch.testing.assert_close(ours.eval()(batches[0]), expected, rtol=1e-4, atol=1e-4)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(ours))
    layers = [module for module in converted.modules() if isinstance(module, TorchBatchNorm)]
    assert {type(layer) for layer in layers} == {nn.SyncBatchNorm}
    torch.testing.assert_close(converted(batches[0]), expected, rtol=1e-4, atol=1e-4)
    for block in (ours, *(each for layer in (ours.layer1, ours.layer2, ours.layer3, ours.layer4) for each in layer)):
        for convolution, norm in (("conv1", "bn1"), ("conv2", "bn2")):
            if hasattr(block, convolution):
                setattr(block, convolution, fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    torch.testing.assert_close(ours(batches[0]), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [BatchNorm, functools.partial(BatchNorm, momentum=0.2), "bn"])
def test_build_norm_takes_a_name_a_class_or_a_partial(kind: object) -> None:
    layer = build_norm(kind, 6, eps=1e-3)
    assert (type(layer), layer.num_features, layer.eps) == (BatchNorm, 6, 1e-3)
    assert layer.momentum == (0.2 if isinstance(kind, functools.partial) else 0.1)


def test_the_package_names_what_others_use() -> None:
    from enhance.norm import BatchNorm as exported
    from enhance.norm import GroupNorm, build_norm, recalibrate

    assert exported is BatchNorm
    assert all((GroupNorm, build_norm, recalibrate))
