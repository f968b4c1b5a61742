"""The devices that tests of the layers and networks run on: the CPU, and a CUDA device where there is one."""

from collections.abc import Iterator

import pytest
import torch

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


@pytest.fixture(autouse=True, params=DEVICES)
def default_device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Tensors and layers are made there; tests that are marked `cpu` are of the CPU alone."""
    if request.param == "cpu":
        yield request.param
        return
    if request.node.get_closest_marker("cpu") is not None:
        pytest.skip("of the CPU alone")
    exact = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(request.param)
    yield request.param
    torch.set_default_device(None)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = exact
