"""Checkpoints are read as they were written, or refused with the cure: damaged, missing, or of other code."""

import hashlib
import io
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from enhance.errors import CheckpointError
from enhance.models.build import build_model
from enhance.run.checkpoint import (
    BEST,
    FORMAT,
    LAST,
    PREVIOUS,
    Checkpoint,
    load,
    load_last,
    load_model,
    locate,
    save,
    save_weights,
)
from enhance.settings.schema import ModelSettings, NormSettings, Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(Checkpoint(Settings(), 7, {"weight": torch.arange(5000.0)}, {"mean": torch.ones(3)}), tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_weights_to_pass_on_are_those_of_the_run_in_half_precision(tmp_path: Path) -> None:
    run, packed = small("bn"), tmp_path / "mine.safetensors"
    save_weights(run, packed)
    loaded = load(packed)
    assert (loaded.settings, loaded.step, loaded.trainer) == (run.settings, run.step, None)
    model, same = (load_model(each, packed, torch.device("cpu")) for each in (run, loaded))
    image = torch.rand(1, 3, 48, 64) / 4
    with torch.inference_mode():
        torch.testing.assert_close(same(image), model(image), rtol=0, atol=1e-3)
    content, rng = packed.read_bytes(), random.Random(0)
    assert len(content) < 2 * sum(value.numel() for value in run.model.values()) + 10_000
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        packed.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"mine\.safetensors: not a checkpoint of this project, or damaged"):
            load(packed)


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


def small(norm: str, step: int = 0) -> Checkpoint:
    """An untrained checkpoint of a small model."""
    settings = Settings(model=ModelSettings(width=8, depth=1, exposure=False), norm=NormSettings(name=norm))
    return Checkpoint(settings, step, build_model(settings.model, settings.norm).state_dict(), {})


def run_with(folder: Path, *steps: int) -> Path:
    """A run folder whose last checkpoint was written at each of the steps."""
    (folder / "checkpoints").mkdir(parents=True)
    for step in steps:
        save(Checkpoint(Settings(), step, {}, {}), folder / LAST, folder / PREVIOUS)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = Checkpoint(
        Settings(seed=3),
        7,
        {"a": torch.ones(2)},
        {"b": torch.zeros(2)},
        {"psnr": 20.5},
        {"model": {}, "best": 20.5},
        True,
    )
    save(written, tmp_path / "last.pt")
    read = load(tmp_path / "last.pt")
    assert (read.settings, read.step, read.validation) == (Settings(seed=3), 7, {"psnr": 20.5})
    assert (read.trainer, read.frozen) == ({"model": {}, "best": 20.5}, True)
    assert torch.equal(read.model["a"], torch.ones(2))
    assert torch.equal(read.running_statistics["b"], torch.zeros(2))


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    folder = run_with(tmp_path / "run", 1, 2, 3)
    assert (load(folder / LAST).step, load(folder / PREVIOUS).step) == (3, 2)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["last.pt", "previous.pt"]


def test_where_nothing_can_be_written_what_stood_there_stays(tmp_path: Path) -> None:
    folder = run_with(tmp_path / "run", 1)
    (folder / "checkpoints" / ".last.pt.tmp").mkdir()  # no file can be made here
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written .*what stood there is intact\. Make room"):
        save(Checkpoint(Settings(), 2, {}, {}), folder / LAST)
    assert load(folder / LAST).step == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "another"}, "not a checkpoint of this project, or damaged; give a .pt file that train.py wrote"),
        ({"settings": {"batch_size": 0}}, "its settings do not fit this version: batch_size=0 is too small"),
        ({"settings": {"unknown": 1}}, "its settings do not fit this version: unknown is no setting"),
        ({"later": 1}, "does not hold what a checkpoint of this version holds"),
        ({"model": None}, "does not hold what a checkpoint of this version holds"),
    ],
    ids=["format", "bound", "key", "more", "no weights"],
)
def test_what_other_code_wrote_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    values = {
        "format": FORMAT,
        "settings": {},
        "step": 1,
        "model": {},
        "running_statistics": {},
        "validation": {},
        "trainer": None,
        "frozen": False,
    }
    torch.save(values, tmp_path / "a.pt")
    assert load(tmp_path / "a.pt").settings == Settings()
    torch.save(values | change, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt: ") as refused:
        load(tmp_path / "a.pt")
    assert told in str(refused.value)


def test_a_damaged_last_one_gives_way_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_with(tmp_path / "run", 1, 2)
    (folder / LAST).write_bytes(b"cut short")
    assert load_last(folder).step == 1
    assert f"going on from {folder / PREVIOUS}, step 1" in capsys.readouterr().out
    assert (folder / "checkpoints" / "last.pt.damaged").read_bytes() == b"cut short"
    save(Checkpoint(Settings(), 2, {}, {}), folder / LAST, folder / PREVIOUS)
    assert load(folder / PREVIOUS).step == 1  # and not the damaged one


def test_where_neither_can_be_used_the_last_one_is_told(tmp_path: Path) -> None:
    folder = run_with(tmp_path / "run", 1)
    (folder / LAST).write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"last\.pt: .*damaged"):
        load_last(folder)
    assert (folder / LAST).read_bytes() == b"cut short"


def test_the_model_is_that_of_the_settings() -> None:
    model = load_model(written := small("gn"), Path("a.pt"), torch.device("cpu"))
    assert not model.training
    assert all(torch.equal(value, written.model[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("weights", [small("bn").model, {"weight": 1}, None])
def test_weights_of_another_model_are_told(weights: Any) -> None:
    checkpoint = small("gn")
    checkpoint.model = weights
    with pytest.raises(
        CheckpointError, match=r"^a\.pt: its weights do not fit its settings \(model=unet_tiny, norm=gn\)"
    ):
        load_model(checkpoint, Path("a.pt"), torch.device("cpu"))


def test_a_checkpoint_is_found_by_file_by_folder_and_as_the_newest(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new", "middle")):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / BEST).touch()
        age = (1, 3, 2)[number]
        os.utime(tmp_path / name / BEST, (age, age))
    assert locate(None, str(tmp_path)) == tmp_path / "new" / BEST
    assert locate(str(tmp_path / "old"), str(tmp_path)) == tmp_path / "old" / BEST
    assert locate(str(tmp_path / "old" / BEST), "nowhere") == tmp_path / "old" / BEST


def test_where_there_is_no_checkpoint_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run with a checkpoint here; train first .*checkpoint=PATH"):
        locate(None, str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"gone: no such file or folder; give a run folder, a \.pt file, or any_photo"
    ):
        locate(str(tmp_path / "gone"), str(tmp_path))
    with pytest.raises(CheckpointError, match=r"^the name of a run or checkpoint is empty; is a variable of the shell"):
        locate("", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"best\.pt in this folder; give a run folder"):
        locate(str(tmp_path), str(tmp_path))
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*\); give a run folder or a \.pt file"):
        load(tmp_path / "gone.pt")
