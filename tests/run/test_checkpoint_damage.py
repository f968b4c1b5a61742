"""A checkpoint with a flipped bit is refused or read as it was written; older files, which have a seal, are read."""

import hashlib
import io
import random
import struct
from pathlib import Path

import pytest
import torch

from enhance.errors import CheckpointError
from enhance.run.checkpoint import Checkpoint, load, save
from enhance.settings.schema import Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(Checkpoint(Settings(), 7, {"weight": torch.arange(5000.0)}, {"mean": torch.ones(3)}), tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_a_flipped_bit_is_named_or_harmless(path: Path) -> None:
    content, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            checkpoint = load(path)
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(checkpoint.model["weight"], torch.arange(5000.0))
            assert torch.equal(checkpoint.running_statistics["mean"], torch.ones(3))
            assert checkpoint.settings == Settings()
    assert refused > 150  # torch.load by itself refuses a dozen


def test_a_member_that_became_a_folder_is_refused(path: Path) -> None:
    """torch.load would read its memory as it is."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"/data/0"))
    content[entry + 38] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)


@pytest.mark.parametrize("size", [0, 21, 1000, -1])
def test_a_file_that_was_cut_off_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"last\.pt: .*damaged"):
        load(path)


def test_a_file_with_the_seal_of_before_is_read(path: Path) -> None:
    content = path.read_bytes()
    comment = b"sha256:" + hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content[:-2] + struct.pack("<H", len(comment)) + comment)
    assert load(path).step == 7
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=True)["step"] == 7
