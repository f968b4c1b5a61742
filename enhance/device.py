"""The device that a setting names, its memory, and how torch works on it."""

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from enhance import ranks
from enhance.errors import SettingsError, UserError

NAMES = "auto, cpu, cuda, cuda:N or mps"


def choose_device(name: str) -> torch.device:
    """`auto` is a CUDA device where there is one, else the CPU; other names are torch's own. `cuda` is the first one,
    or that of this process's number under torchrun; `mps`, Apple's, was never run. Convolutions in float32 are that
    from here on, and not in TF32. Raises `SettingsError` where the name is malformed, or this machine has no such
    device."""
    # Its error of 1e-3 would make scores, and tiles beside whole images, differ by device; and SSIM takes
    # E[x^2] - E[x]^2 of flat regions, where it is as large as what is left.
    torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device={name} is unknown: choose {NAMES}") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"device={name} is not supported: choose {NAMES}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(f"device={name} is absent: torch sees {torch.cuda.device_count()} CUDA devices; use auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError(f"device={name} is absent: torch sees no graphics processor of Apple's here; use auto")
    if device.index is not None and ranks.world_size() > 1:
        raise SettingsError(f"device={name} is one device for {ranks.world_size()} processes: leave it at auto")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # which torch asks what formats it can compute in
    return device


def device_name(device: torch.device) -> str:
    """The name of a CUDA device, for example `NVIDIA GeForce RTX 3070`; else its type, `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the device computes it natively, else float16 on CUDA and float32 elsewhere."""
    if precision != "auto":
        return DTYPES[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


@contextmanager
def out_of_memory_hint(device: torch.device, hint: str | Callable[[], str]) -> Iterator[None]:
    """Within, running out of a device's memory is a `UserError` that says `hint`, or what it returns."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        sizes = ""
        if torch.cuda.is_available():
            free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
            sizes = f" ({peak_memory_gib(device):.1f} GiB were in use at once, {free:.1f} of {total:.1f} are free)"
        raise UserError(f"{device}: out of memory{sizes}: {hint if isinstance(hint, str) else hint()}") from error


def available_memory(device: torch.device) -> int | None:
    """Bytes of a CUDA device that this process holds or could have; None elsewhere, for the system may swap, and a
    container may have a limit of its own."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


def peak_memory_gib(device: torch.device) -> float:
    """Most memory held at once since the start: by torch on a CUDA device, else by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if os.name == "nt":
        return float("nan")
    # Of Linux, whose getrusage counts the memory of the process that started this one as well.
    status = Path("/proc/self/status")
    if status.exists() and (match := re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(match[1]) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done its work; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def set_up_torch(device: torch.device, threads: int | None, deterministic: bool) -> None:
    """Set what holds for the whole process of a training run on the device.

    Args:
        threads: CPU threads; None leaves torch's choice.
        deterministic: only algorithms that repeat bit for bit.
    """
    keep_freed_memory()
    if device.type == "cuda":  # whose peak an earlier run of a sweep may have left
        torch.cuda.reset_peak_memory_stats(device)
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS does not repeat itself
    torch.use_deterministic_algorithms(deterministic)


@contextmanager
def repeating_shapes() -> Iterator[None]:
    """Within, cuDNN chooses its algorithms by trying all of them, unless the run is deterministic. That takes seconds
    for every new shape: too long for whole photographs, each of its own size."""
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next training step, up to 2 GiB, instead of handing it back.

    Otherwise the system takes large freed blocks and maps them anew, page by page, in every step: 7 % of the time of a
    step of `model=unet_small norm=bn` in bfloat16. Only glibc has the switch; elsewhere nothing happens.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, 2**28)
