"""The Triton kernels without a graphics card: what they compute, and that they build for the cards of today."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton", reason="torch brings it on Linux alone")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from enhance.norm import kernels, layer_kernels  # noqa: E402

pytestmark = pytest.mark.cpu

KERNELS = [
    kernels.moments,
    kernels.statistics,
    kernels.output,
    kernels.gradient_sums,
    kernels.coefficients,
    kernels.gradient,
    layer_kernels.layer_output,
    layer_kernels.layer_gradient,
]
OF_THE_IMAGE = ("x", "y", "saved", "grad_y", "grad_x")
FLOATS = ("eps", "slope", "count", "momentum")
SETTINGS = {
    "BLOCK_C": 32,
    "BLOCK_L": 64,
    "BLOCK_P": 64,
    "AFFINE": 3,
    "TRACK": True,
    "AVERAGE": True,
    "ACTIVATION": "elu",
}


@pytest.mark.slow
def test_by_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).with_name("interpreted.py"))]
    ended = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-5000:]


@pytest.mark.parametrize(("capability", "dtype"), [(75, "fp16"), (86, "bf16"), (89, "fp32"), (90, "bf16")])
def test_they_build_for(capability: int, dtype: str) -> None:
    """Turing, Ampere, Ada and Hopper; ptxas comes with Triton."""
    for number, kernel in enumerate(KERNELS):
        options = SETTINGS | {"GROUPED": number % 2 == 0, "INVERT": number % 2 == 1}
        if number % 2 == capability % 2:  # Triton makes constants of arguments that are 1
            options |= dict.fromkeys(("images", "group", "parts_an_image", "segments", "parts", "stride_c"), 1)
        constants = {name: value for name, value in options.items() if name in kernel.arg_names}
        types = {name: "constexpr" if name in constants else type_of(name, dtype) for name in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=types, constexprs=constants)
        assert triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


def type_of(name: str, dtype: str) -> str:
    if name in OF_THE_IMAGE:
        return f"*{dtype}"
    if name in FLOATS:
        return "fp32"
    if name in ("tracked", "slots"):
        return {"tracked": "*i64", "slots": "*i32"}[name]
    vectors = ("partial", "statistics", "coefficients", "weight", "bias", "grad_weight", "grad_bias", "kept")
    return "*fp32" if name in vectors or name.startswith("running_") or name.endswith("_of") else "i32"
