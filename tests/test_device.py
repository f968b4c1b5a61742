"""Device names a user may give."""

import subprocess
import sys

import pytest
import torch

from enhance.device import choose_device, out_of_memory_hint
from enhance.errors import SettingsError, UserError


def test_auto_takes_what_is_here() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


def test_float32_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    choose_device("auto")
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system counts right")
def test_peak_memory_is_that_of_this_process_alone() -> None:
    """A process of 2 GiB, which starts another."""
    peak = "from enhance.device import peak_memory_gib; import torch; print(peak_memory_gib(torch.device('cpu')))"
    held = (
        "import subprocess, sys; held = b'1' * 2**31; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    )
    ended = subprocess.run([sys.executable, "-c", held, peak], capture_output=True, text=True, check=True)
    assert 0.1 < float(ended.stdout) < 1.5


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "cuda:x", ""])
def test_unusable_devices_are_named_with_the_choices(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^device={name} .*auto"):
        choose_device(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="it is here")
def test_apples_device_is_known_where_it_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"^device=mps is absent: torch sees no graphics processor of Apple's"):
        choose_device("mps")


FAULTS = """
import platform, resource, torch
from enhance.device import keep_freed_memory
keep_freed_memory()
for step in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.empty(2**23).fill_(1) for _ in range(4)]  # 32 MiB each
    del blocks
print(platform.libc_ver()[0], resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_kept_for_the_next_step() -> None:
    library, faults = subprocess.check_output([sys.executable, "-c", FAULTS], text=True).split(" ")
    if library != "glibc":
        pytest.skip("only glibc keeps freed memory on demand")
    assert int(faults) < 1000  # of the 32768 pages that the blocks have


def test_running_out_of_memory_names_the_device_and_the_cure() -> None:
    with (
        pytest.raises(UserError, match=r"^cuda:1: out of memory: lower batch_size$"),
        out_of_memory_hint(torch.device("cuda:1"), "lower batch_size"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
