"""`python scripts/prepare_lol.py` on archives of LOL's shape, and on some that are not."""

import io
import stat
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pytest
from PIL import Image

from enhance.data.images import list_images, read_image


@pytest.fixture
def prepare(run_script):
    return lambda *arguments: run_script("scripts/prepare_lol.py", *arguments)


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)).save(file, "PNG")
    return file.getvalue()


def write_archive(path: Path, training: int = 485, extra: dict[str | ZipInfo, bytes] | None = None) -> Path:
    image = png(24, 16)
    with ZipFile(path, "w") as file:
        for split, count in (("our485", training), ("eval15", 15)):
            for side in ("low", "high"):
                for number in range(count):
                    file.writestr(f"LOLdataset/{split}/{side}/{number}.png", image)
        for entry, content in (extra or {}).items():
            file.writestr(entry, content)
    return path


def test_unpack_as_it_is(prepare, tmp_path: Path) -> None:
    litter = {"__MACOSX/LOLdataset/our485/low/._1.png": b"", "LOLdataset/readme.txt": b"hello"}
    archive = write_archive(tmp_path / "LOLdataset.zip", extra=litter)
    ended = prepare(archive, tmp_path / "lol")
    assert (ended.code, "500 pairs" in ended.out) == (0, True), ended.err
    assert len(list_images(tmp_path / "lol" / "our485" / "low")) == 485
    assert len(list_images(tmp_path / "lol" / "eval15" / "high")) == 15
    assert (tmp_path / "lol" / "our485" / "high" / "484.png").read_bytes() == png(24, 16)


def test_resize(prepare, tmp_path: Path) -> None:
    ended = prepare(write_archive(tmp_path / "LOLdataset.zip"), tmp_path / "lol", "--size", "16")
    assert ended.code == 0, ended.err
    assert read_image(tmp_path / "lol" / "our485" / "low" / "3.png").shape == (16, 16, 3)
    assert read_image(tmp_path / "lol" / "eval15" / "high" / "3.png").shape == (16, 16, 3)


def symlink() -> ZipInfo:
    info = ZipInfo("LOLdataset/our485/low/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"../our485/low/evil.png": b""}, "leaves the folder"),
        ({"LOLdataset/../../evil.txt": b""}, "leaves the folder"),
        ({"..\\evil.txt": b""}, "leaves the folder"),
        ({"/etc/evil.txt": b""}, "leaves the folder"),
        ({symlink(): b"/etc/passwd"}, "leaves the folder"),
        ({"LOLdataset/our485/low/more.png": png(24, 16)}, "'our485/low': 486"),
    ],
)
def test_what_it_refuses_leaves_nothing_behind(prepare, tmp_path: Path, extra, message: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    ended = prepare(write_archive(folder / "bad.zip", extra=extra), folder / "lol")
    assert ended.code == 2
    assert message in ended.err
    assert [path.name for path in folder.iterdir()] == ["bad.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_a_bomb_and_a_damaged_stream_are_refused(prepare, tmp_path: Path) -> None:
    bomb = write_archive(tmp_path / "bomb.zip", training=484)
    with ZipFile(bomb, "a", ZIP_DEFLATED) as file:
        file.writestr("our485/low/x.png", bytes(17 * 2**20))
    ended = prepare(bomb, tmp_path / "lol")
    assert (ended.code, "our485/low/x.png is too large" in ended.err) == (2, True), ended.err
    damaged = write_archive(tmp_path / "damaged.zip", training=484)
    with ZipFile(damaged, "a", ZIP_DEFLATED) as file:
        for side in ("low", "high"):
            file.writestr(f"our485/{side}/x.png", bytes(range(256)) * 100)
        place = file.infolist()[-1].header_offset + 60  # in the deflated bytes
    content = bytearray(damaged.read_bytes())
    content[place : place + 20] = b"\xff" * 20
    damaged.write_bytes(content)
    ended = prepare(damaged, tmp_path / "lol")
    assert (ended.code, "damaged.zip: cannot be unpacked" in ended.err) == (2, True), ended.err
    assert not (tmp_path / "lol").exists()


def test_damaged_images_and_archives(prepare, tmp_path: Path) -> None:
    odd = write_archive(
        tmp_path / "odd.zip",
        training=484,
        extra={"our485/low/x.png": png(24, 16), "our485/high/x.png": png(16, 24)},
    )
    ended = prepare(odd, tmp_path / "lol")
    assert (ended.code, "our485/low/x.png and its partner differ in size" in ended.err) == (2, True), ended.err
    (tmp_path / "text.zip").write_text("no archive")
    ended = prepare(tmp_path / "text.zip", tmp_path / "lol")
    assert (ended.code, "text.zip: cannot be unpacked" in ended.err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd.zip", "text.zip"]


def test_a_folder_that_was_extracted(prepare, tmp_path: Path) -> None:
    with ZipFile(write_archive(tmp_path / "LOLdataset.zip")) as file:
        file.extractall(tmp_path / "extracted")
    ended = prepare(tmp_path / "extracted", tmp_path / "lol", "--size", "16")
    assert (ended.code, "500 pairs" in ended.out) == (0, True), ended.err
    assert read_image(tmp_path / "lol" / "eval15" / "high" / "3.png").shape == (16, 16, 3)
    assert read_image(tmp_path / "extracted" / "LOLdataset" / "eval15" / "high" / "3.png").shape == (16, 24, 3)
    (tmp_path / "extracted" / "LOLdataset" / "our485" / "low" / "7.png").unlink()
    ended = prepare(tmp_path / "extracted", tmp_path / "other")
    assert (ended.code, "'our485/low': 484" in ended.err, (tmp_path / "other").exists()) == (2, True, False)


def test_an_archive_that_is_not_there(prepare, tmp_path: Path) -> None:
    ended = prepare(tmp_path / "none.zip", tmp_path / "lol")
    assert (ended.code, "none.zip: no such file" in ended.err, (tmp_path / "lol").exists()) == (2, True, False)
