"""Pairs in tar archives: the stream of crops is that of the same pairs in folders, and what is wrong is named."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from enhance.data import kinds
from enhance.data.batches import training_batches
from enhance.data.open import open_data
from enhance.data.scenes import perceptual_hash
from enhance.data.shards import Member
from enhance.errors import DataError
from enhance.settings.schema import DataSettings
from tests.data.conftest import draw_scene, training_and_validation
from tests.data.test_kinds import write_raw

WriteShard = Callable[..., Path]


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def pair(seed: int) -> dict[str, bytes]:
    scene = draw_scene(seed)
    return {f"{seed:02}.low.png": encoded(scene // 5), f"{seed:02}.normal.png": encoded(scene)}


def add(tar: tarfile.TarFile, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def write_shard(tmp_path: Path) -> WriteShard:
    """Write files into `shards/NAME`; the numbers are pairs of one scene each."""

    def write(name: str, seeds: range, more: dict[str, bytes] | None = None, mode: str = "w") -> Path:
        path = tmp_path / "shards" / name
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for seed in seeds:
                add(tar, pair(seed))
            add(tar, more or {})
        return path

    return write


@pytest.fixture
def shards(write_shard: WriteShard, tmp_path: Path) -> DataSettings:
    """Twelve pairs in two archives, among other things."""
    write_shard("train-0.tar", range(7), {"00.json": b"{}", "notes.low.txt": b"", "folder/readme": b""})
    write_shard("train-1.tar", range(7, 12))
    return DataSettings(name="shards", root=str(tmp_path / "shards"))


def stream(data: DataSettings, first: int, last: int, workers: int = 0) -> list[Tensor]:
    source = open_data(data).training
    return list(training_batches(source, 32, 3, first, last, 0, workers))


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def test_the_stream_is_that_of_folders_and_restarts_anywhere(shards: DataSettings, tmp_path: Path) -> None:
    for seed in range(12):
        for name, data in pair(seed).items():
            stem, side, _ = name.split(".")
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / f"{stem}.png").write_bytes(data)
    parts = ["validation", "test", *["training"] * 10]
    split = tmp_path / "split.csv"
    split.write_text("name,part\n" + "".join(f"{seed:02},{part}\n" for seed, part in enumerate(parts)))
    shards.split = str(split)
    folders = DataSettings(name="pairs", root=str(tmp_path), split=str(split))
    whole = stream(shards, 0, 8)
    assert equal(whole, stream(folders, 0, 8))
    assert equal(whole[5:], stream(shards, 5, 8, workers=2))
    opened = open_data(shards)
    assert opened.test is not None
    assert (opened.test.names, opened.validation.names) == (["01"], ["00"])


def test_the_held_out_part_and_the_test_part(shards: DataSettings, write_shard: WriteShard) -> None:
    assert open_data(shards).test is None
    train, validation = training_and_validation(shards)
    assert len(validation) == 1
    assert sorted(train.names + validation.names) == [f"{seed:02}" for seed in range(12)]
    low, normal = validation.whole(0)
    np.testing.assert_allclose(normal.permute(1, 2, 0) * 255, draw_scene(int(validation.names[0])), atol=1e-4)
    assert low.mean() < normal.mean()
    write_shard("test-0.tar", range(20, 22))
    opened = open_data(shards)
    assert opened.training.names == train.names
    assert opened.test is not None
    assert opened.test.names == ["20", "21"]


def test_hashes_are_those_of_the_pixels_and_computed_once(
    shards: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = open_data(shards).training
    for index, name in enumerate(train.names):
        np.testing.assert_array_equal(train.scene_hash(index), perceptual_hash(draw_scene(int(name))))
    monkeypatch.setattr(Member, "pixels", lambda self: pytest.fail(f"{self} decoded again"))
    assert len(train.scene_hash(0)) == 63


def test_photographs_turned_by_exif_in_folders_within(write_shard: WriteShard, shards: DataSettings) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = encoded(draw_scene(30), "JPEG", exif=exif)
    write_shard("train-2.tar", range(0), {"a/b.low.jpg": photograph, "a/b.high.jpg": photograph})
    train, validation = training_and_validation(shards)
    part = train if "a/b" in train.names else validation
    index = part.names.index("a/b")
    assert part.sizes[index] == (56, 40)
    assert part.whole(index)[0].shape == (3, 56, 40)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x.low.png": pair(1)["01.low.png"]}, r"1 images have no partner: .*train-2\.tar/x\.low\.png"),
        ({"03.low.png": b""}, r"train-2\.tar/03\.low\.png: 03 has a low image already, .*train-0\.tar/03\.low\.png"),
        ({"x.low.png": b"no image", "x.normal.png": b"no image"}, r"x\.low\.png: not an image"),
        (
            {"x.low.png": encoded(draw_scene(1, 30, 40)), "x.normal.png": pair(1)["01.normal.png"]},
            r"1 pairs differ in size.*/x\.low\.png 40x30 and .*/x\.normal\.png 56x40",
        ),
    ],
)
def test_what_is_wrong_is_named(
    write_shard: WriteShard, shards: DataSettings, more: dict[str, bytes], message: str
) -> None:
    write_shard("train-2.tar", range(0), more)
    with pytest.raises(DataError, match=message):
        training_and_validation(shards)


def test_archives_that_cannot_be_read(write_shard: WriteShard, shards: DataSettings, tmp_path: Path) -> None:
    path = write_shard("train-2.tar", range(20, 25), mode="w:gz")
    with pytest.raises(DataError, match=r"train-2\.tar: not a tar archive without compression"):
        training_and_validation(shards)
    write_shard("train-2.tar", range(20, 25))
    path.write_bytes(path.read_bytes()[:-12000])
    with pytest.raises(DataError, match=r"train-2\.tar: cut off within"):
        training_and_validation(shards)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no archives of data=shards here; looked for \*\.tar; found nothing"):
        training_and_validation(DataSettings(name="shards", root=str(tmp_path / "none")))
    with pytest.raises(DataError, match=r"data\.root is missing"):
        training_and_validation(DataSettings(name="shards"))


def test_damage_that_the_head_does_not_show(write_shard: WriteShard, shards: DataSettings) -> None:
    """Named when the image is decoded; where its head is damaged too, `data.on_error=skip` leaves it out."""
    damaged = pair(30)["30.low.png"][:300]
    write_shard("train-2.tar", range(0), {"30.low.png": damaged, "30.normal.png": pair(30)["30.normal.png"]})
    with pytest.raises(DataError, match=r"train-2\.tar/30\.low\.png: cannot be decoded"):
        stream(shards, 0, 20, workers=1)
    write_shard("train-2.tar", range(0), {"30.low.png": b"", "30.normal.png": pair(30)["30.normal.png"]})
    shards.on_error = "skip"
    train, validation = training_and_validation(shards)
    assert len(train) + len(validation) == 12
    assert "train-2.tar/30.low.png" in train.skipped[0]


def test_what_webdataset_writes(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    (tmp_path / "shards").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "shards" / "train-%06d.tar"), maxcount=3, verbose=0) as writer:
        for seed in range(8):
            scene = draw_scene(seed)
            writer.write({"__key__": f"{seed:02}", "low.png": scene // 5, "normal.png": scene, "json": {"seed": seed}})
    train, validation = training_and_validation(DataSettings(name="shards", root=str(tmp_path / "shards")))
    assert sorted(train.names + validation.names) == [f"{seed:02}" for seed in range(8)]
    for index, name in enumerate(train.names):
        low, normal = (image.mul(255).round().byte().permute(1, 2, 0).numpy() for image in train.whole(index))
        np.testing.assert_array_equal(normal, draw_scene(int(name)))
        np.testing.assert_array_equal(low, draw_scene(int(name)) // 5)


@pytest.mark.parametrize(
    ("low", "normal", "key"),
    [
        ("a.v1.1.low.png", "a.v1.1.normal.png", "a.v1.1"),
        ("1.input.png", "1.target.png", "1"),
        ("x/2.LQ.png", "x/2.GT.png", "x/2"),
        ("3.low.8bit.png", "3.high.8bit.png", "3"),
    ],
)
def test_keys_with_dots_and_other_names_of_the_sides(
    write_shard: WriteShard, tmp_path: Path, capsys: pytest.CaptureFixture[str], low: str, normal: str, key: str
) -> None:
    dark, bright = pair(1).values()
    write_shard("a.tar", range(2, 4), {low: dark, normal: bright, "odd.png": bright, "notes.txt": b""})
    whole = open_data(DataSettings(name="shards", root=str(tmp_path / "shards"))).whole
    assert whole is not None
    assert sorted(whole.names) == sorted(["02", "03", key])
    np.testing.assert_allclose(whole.whole(whole.names.index(key))[1].permute(1, 2, 0) * 255, draw_scene(1), atol=1e-4)
    assert capsys.readouterr().out.endswith(": 1 images whose names tell no side: odd.png\n")


def test_archives_without_a_pair_say_what_they_hold(write_shard: WriteShard, tmp_path: Path) -> None:
    data = DataSettings(name="shards", root=str(tmp_path / "shards"))
    write_shard("a.tar", range(0))
    with pytest.raises(DataError, match="no pairs in 1 archives: they hold nothing; a pair is KEY"):
        open_data(data).training  # noqa: B018
    write_shard("a.tar", range(0), {"1_low.png": b"", "1.json": b""})
    with pytest.raises(DataError, match=r"they hold 1_low\.png, 1\.json; a pair is KEY\.low\.png and KEY\.normal\.png"):
        open_data(data).training  # noqa: B018


def test_camera_raw_is_a_side_too(write_shard: WriteShard, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    write_raw(tmp_path / "shot.dng", 6554)
    raw = (tmp_path / "shot.dng").read_bytes()
    more = {
        f"{key}.{side}": data
        for key in "ab"
        for side, data in (("low.dng", raw), ("gt.png", encoded(draw_scene(1, 64, 96))))
    }
    root = write_shard("train.tar", range(0), more).parent
    whole = open_data(DataSettings(name="shards", root=str(root))).whole
    assert whole is not None
    assert (whole.names, whole.sizes) == (["a", "b"], [(64, 96)] * 2)
    low, _ = whole.whole(0)
    assert low[:, 8:-8, 8:-8].mean() * 255 == pytest.approx(89, abs=2)  # a tenth of white in sRGB, IEC 61966-2-1


def test_kinds_whose_package_is_missing_are_told(
    write_shard: WriteShard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kinds, "_HAS_HEIC", False)
    monkeypatch.setattr("enhance.data.shards.SUFFIXES", (".png",))
    data = DataSettings(
        name="shards", root=str(write_shard("train.tar", range(2), {"x.low.heic": b"", "x.gt.heic": b""}).parent)
    )
    assert len(open_data(data).listed["training"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("2 images: x.low.heic, x.gt.heic; pip install -e '.[photos]' for .heic")
    write_shard("train.tar", range(0), {"x.low.png": pair(1)["01.low.png"], "x.gt.heic": b""})
    with pytest.raises(DataError, match=r"1 images have no partner: .*pip install -e '\.\[photos\]' for \.heic$"):
        open_data(data).listed  # noqa: B018
