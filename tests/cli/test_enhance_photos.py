"""`python scripts/enhance_photos.py` on photographs of any size, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from enhance.data.images import read_image, to_tensor
from enhance.inference.enhancer import Enhancer
from enhance.models.build import build_model
from enhance.norm.recalibrate import recalibrate_on_images
from enhance.run.checkpoint import load, load_model, save


@pytest.fixture
def enhance(run_script):
    return lambda *arguments: run_script("scripts/enhance_photos.py", "--device", "cpu", *arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, (height, width) in {"odd.png": (17, 31), "tiny.png": (9, 40), "wide.jpg": (40, 64)}.items():
        Image.fromarray(random.integers(0, 60, (height, width, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_folder_keeps_names_and_sizes(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    run, out = make_run(), tmp_path / "out"
    ended = enhance(run, photos, out)
    assert ended.code == 0, ended.err
    assert "3 of 3 enhanced" in ended.out
    assert "s a photograph" in ended.out
    sizes = {path.name: Image.open(path).size for path in out.iterdir()}
    assert sizes == {"odd.png": (31, 17), "tiny.png": (40, 9), "wide.jpg": (64, 40)}
    enhancer = Enhancer.load(run / "checkpoints" / "best.pt", torch.device("cpu"))
    wanted = enhancer.enhance(to_tensor(read_image(photos / "odd.png")))
    written = to_tensor(read_image(out / "odd.png"))
    torch.testing.assert_close(written, wanted, atol=0.5 / 255 + 1e-6, rtol=0)
    assert not torch.equal(written, to_tensor(read_image(photos / "odd.png")))


def test_one_photo_to_a_file_name_by_a_checkpoint_file(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    checkpoint = make_run() / "checkpoints" / "best.pt"
    ended = enhance(checkpoint, "--strength", "0.5", photos / "odd.png", "--quality", "90", tmp_path / "bright.jpg")
    assert ended.code == 0, ended.err
    assert Image.open(tmp_path / "bright.jpg").format == "JPEG"


def test_without_a_run_the_weights_in_the_box_write_beside_the_photograph(enhance, photos: Path) -> None:
    before = to_tensor(read_image(photos / "wide.jpg"))
    ended = enhance(photos / "wide.jpg")
    assert ended.code == 0, ended.err
    assert "any_photo.safetensors: 1 of 1 enhanced into" in ended.out
    assert to_tensor(read_image(photos / "wide-enhanced.jpg")).mean() > 2 * before.mean()
    ended = enhance(photos / "wide.jpg")
    assert (ended.code, "wide-enhanced.jpg: already there" in ended.err) == (2, True)
    assert enhance(photos).code == 0
    assert len(list(photos.with_name("photos-enhanced").iterdir())) == 4


@pytest.mark.parametrize("words", [("",), ("any_photo", ""), ("odd.png", "")])
def test_an_empty_name_is_told(enhance, photos: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(photos)
    ended = enhance(*words)
    assert (ended.code, "the name of a photograph is empty" in ended.err) == (2, True)
    assert len(list(photos.iterdir())) == 3


def test_a_run_alone_is_asked_for_a_photograph(enhance, make_run) -> None:
    for run in (make_run(), "any_photo"):
        ended = enhance(run)
        assert (ended.code, f"{run}: of which photograph? Write it after the run" in ended.err) == (2, True)


def test_the_exif_rotation_is_applied_once(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right
    Image.open(photos / "odd.png").save(photos / "turned.jpg", exif=exif)
    assert enhance(make_run(), photos / "turned.jpg", tmp_path / "out").code == 0
    with Image.open(tmp_path / "out" / "turned.jpg") as result:
        assert result.size == (17, 31)
        assert 0x0112 not in result.getexif()


def test_nothing_is_written_where_one_result_exists(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    run, out = make_run(), tmp_path / "out"
    out.mkdir()
    (out / "wide.jpg").write_text("mine")
    ended = enhance(run, photos, out)
    assert (ended.code, [path.name for path in out.iterdir()]) == (2, ["wide.jpg"])
    assert "wide.jpg: already there" in ended.err
    assert (out / "wide.jpg").read_text() == "mine"
    assert enhance(run, photos, out, "--overwrite").code == 0
    assert Image.open(out / "wide.jpg").size == (64, 40)


def test_an_unreadable_photo_is_named_and_the_others_are_done(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "wide.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "not.png").write_text("no image")
    ended = enhance(make_run(), photos, tmp_path / "out")
    assert ended.code == 2
    assert "3 of 5 enhanced" in ended.out
    errors = [line for line in ended.err.splitlines() if "photos/" in line]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {photos}/cut.jpg: ")
    assert errors[1].startswith(f"{photos}/not.png: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["odd.png", "tiny.png", "wide.jpg"]


@pytest.mark.parametrize(
    ("photos_given", "word"), [("nowhere", "no such photograph"), ("empty", "no images"), ("a.txt", "a.txt")]
)
def test_photos_that_cannot_be_used_are_told(enhance, make_run, tmp_path: Path, photos_given: str, word: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("no image")
    ended = enhance(make_run(), tmp_path / photos_given, tmp_path / "out")
    assert ended.code == 2
    assert word in ended.err
    assert not (tmp_path / "out").exists()


def test_a_missing_run_is_told_before_anything_is_written(enhance, photos: Path, tmp_path: Path) -> None:
    ended = enhance(tmp_path / "nowhere", photos, tmp_path / "out")
    assert ended.code == 2
    assert "nowhere: no such photograph, folder or run" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = enhance(make_run(), photos, tmp_path / "file" / "out")
    assert ended.code == 2
    assert "file/out/odd.png: cannot be written" in ended.err


def test_brightness_is_the_users(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    run, greys = make_run(), {}
    Image.new("RGB", (40, 30), (200, 200, 200)).save(tmp_path / "other.png")
    choices = {
        "auto": (),
        "0.3": ("--brightness", "0.3"),
        "more": ("--brightness", "+1EV"),
        "less": ("--brightness", "-1EV"),
        "like": ("--like", tmp_path / "other.png"),
    }
    for name, words in choices.items():
        assert enhance(run, photos / "odd.png", tmp_path / f"{name}.png", *words).code == 0
        greys[name] = read_image(tmp_path / f"{name}.png").mean() / 255
    assert greys["less"] < greys["auto"] < greys["more"]
    assert greys["0.3"] == pytest.approx(0.3, abs=0.05)
    assert greys["like"] == pytest.approx(200 / 255, abs=0.05)


def test_strength_blends(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    run = make_run()
    read = {}
    for strength in (0, 0.5, 1):
        assert enhance(run, photos / "odd.png", tmp_path / f"{strength}.png", "--strength", str(strength)).code == 0
        read[strength] = read_image(tmp_path / f"{strength}.png").astype(float)
    assert np.array_equal(read[0], read_image(photos / "odd.png"))
    assert np.abs(read[0.5] - (read[0] + read[1]) / 2).max() <= 1
    assert (read[0] != read[1]).any()


def test_tiles_give_the_same_file(enhance, make_run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 60, (500, 600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    run = make_run()
    assert enhance(run, tmp_path / "a.png", tmp_path / "whole.png").code == 0
    assert enhance(run, tmp_path / "a.png", tmp_path / "tiled.png", "--max-memory", "0.01").code == 0
    whole, tiled = (read_image(tmp_path / name).astype(int) for name in ("whole.png", "tiled.png"))
    assert np.abs(whole - tiled).max() <= 1  # where a value lies between two steps
    assert (whole != tiled).mean() < 1e-3


def test_a_result_that_its_format_cannot_hold_is_named_and_the_others_are_done(
    enhance, make_run, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (66000, 16)).save(photos / "panorama.png")
    (photos / "panorama.png").rename(photos / "panorama.jpg")  # Pillow reads it by its content
    ended = enhance(make_run(), photos, tmp_path / "out")
    assert ended.code == 2
    assert "3 of 4 enhanced" in ended.out
    assert "panorama.jpg: JPEG does not hold this image" in ended.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["odd.png", "tiny.png", "wide.jpg"]


def test_no_folder_is_left_for_a_result_that_its_format_cannot_hold(enhance, make_run, tmp_path: Path) -> None:
    Image.new("RGB", (17000, 16)).save(tmp_path / "panorama.png")
    (tmp_path / "panorama.png").rename(tmp_path / "panorama.webp")
    ended = enhance(make_run(), tmp_path / "panorama.webp", tmp_path / "out")
    assert (ended.code, "WEBP does not hold this image" in ended.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_what_is_passed_over_is_said(enhance, make_run, photos: Path, tmp_path: Path) -> None:
    (photos / "day1").mkdir()
    for name in ("c.mp4", "d.MP4", "notes"):
        (photos / name).write_text("")
    (photos / ".hidden").write_text("")
    ended = enhance(make_run(), photos, tmp_path / "out")
    assert ended.code == 0
    (line,) = (line for line in ended.out.splitlines() if line.startswith("passed over"))
    assert line.endswith(": 2 .mp4, 1 folder, 1 without suffix")


@pytest.mark.parametrize(("photo", "out"), [("odd.png", "bright.svg"), ("plain", "out"), ("plain", "out.gz")])
def test_a_kind_that_cannot_be_written_is_told_before_the_work(
    enhance, make_run, photos: Path, tmp_path: Path, photo: str, out: str
) -> None:
    (photos / "plain").write_bytes((photos / "odd.png").read_bytes())
    ended = enhance(make_run(), photos / photo, tmp_path / out)
    assert ended.code == 2
    assert "no format to write" in ended.err
    assert not (tmp_path / out).exists()


def test_more_pixels_than_are_safe_are_told(enhance, make_run, tmp_path: Path) -> None:
    Image.new("1", (18000, 10000)).save(tmp_path / "bomb.png")
    ended = enhance(make_run(), tmp_path / "bomb.png", tmp_path / "out")
    assert ended.code == 2
    assert "bomb.png: more than 179 megapixels are refused" in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--max-memory", "inf"), "--max-memory inf"),
        (("--strength", "1.5"), "--strength 1.5"),
        (("--brightness", "1.5"), "brightness 1.5"),
        (("--quality", "0"), "--quality 0"),
        (("--max-memory", "0"), "--max-memory 0"),
        (("--max-memory", "nan"), "--max-memory nan"),
        (("--max-memory", "1e308"), "--max-memory 1e+308"),
        (("--max-memory", "1e-12"), "--max-memory 1e-12"),
    ],
)
def test_values_out_of_range_are_told(
    enhance, make_run, photos: Path, tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    ended = enhance(make_run(), photos, tmp_path / "out", *words)
    assert (ended.code, told in ended.err) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten dark photographs of two sizes, a tiny and a broken one."""
    folder = tmp_path / "folder"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(10):
        size = (40 + index % 2, 64, 3)
        Image.fromarray(random.integers(0, 20 + 4 * index, size, dtype=np.uint8)).save(folder / f"{index}.png")
    Image.new("RGB", (40, 9)).save(folder / "tiny.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_batch_norms_adapt_to_the_photographs(enhance, make_run, folder: Path, tmp_path: Path) -> None:
    run, cpu = make_run(), torch.device("cpu")
    ended = enhance(run, folder, tmp_path / "out", "--adapt")
    assert (ended.code, "11 of 12 enhanced" in ended.out) == (2, True)  # the broken one is named as ever
    assert "adapted to 10 of 12 photographs" in ended.out
    dark = [to_tensor(read_image(folder / f"{index}.png")) for index in range(10)]
    kept = load(run / "checkpoints" / "best.pt")
    model = load_model(kept, run, cpu)
    as_saved = Enhancer(model, cpu).enhance(dark[0])
    recalibrate_on_images(model, dark, cpu)
    adapted = Enhancer(model, cpu).enhance(dark[0])
    written = to_tensor(read_image(tmp_path / "out" / "0.png"))
    torch.testing.assert_close(written, adapted, atol=0.5 / 255 + 1e-6, rtol=0)
    assert (adapted - as_saved).abs().max() > 2 / 255


def test_others_take_the_place_of_a_broken_photograph(enhance, make_run, folder: Path, tmp_path: Path) -> None:
    run = make_run()
    kept = load(run / "checkpoints" / "best.pt")
    kept.settings.validation.recalibrate_images = 8
    save(kept, run / "checkpoints" / "best.pt")
    (folder / "0.png").write_bytes(b"no image")
    assert "adapted to 8 of 12 photographs" in enhance(run, folder, tmp_path / "out", "--adapt").out


@pytest.mark.parametrize("exposure", [False, True])
def test_that_overall_brightness_does_not_adapt_is_said(
    enhance, make_run, folder: Path, tmp_path: Path, exposure: bool
) -> None:
    run = make_run()
    kept = load(run / "checkpoints" / "best.pt")
    kept.settings.model.exposure = exposure
    kept.model = build_model(kept.settings.model, kept.settings.norm).state_dict()
    save(kept, run / "checkpoints" / "best.pt")
    ended = enhance(run, folder, tmp_path / "out", "--adapt")
    assert ("train with model.exposure=false" in ended.out) == exposure


def test_too_few_photographs_to_adapt_to_are_told(enhance, make_run, folder: Path, tmp_path: Path) -> None:
    for index in range(3):
        (folder / f"{index}.png").unlink()
    for photos, found in ((folder, "7 of 9"), (folder / "5.png", "1 of 1")):
        ended = enhance(make_run(photos.name), photos, tmp_path / "out", "--adapt")
        assert ended.code == 2
        assert f"{folder}: {found} photographs can be adapted to, and --adapt needs 8; leave it out" in ended.err
    assert not (tmp_path / "out").exists()


def test_adapting_keeps_within_the_memory(enhance, make_run, folder: Path, tmp_path: Path) -> None:
    run = make_run()
    for given, told in (("0.001", "0.001 is too small for --adapt: give "), ("1e-12", "1e-12 is too small")):
        ended = enhance(run, folder, tmp_path / "out", "--adapt", "--max-memory", given)
        assert ended.code == 2
        assert f"--max-memory {told}" in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("norm", "frozen", "why"),
    [("gn", False, "norm=gn keeps no running statistics"), ("bn", True, "trained with frozen statistics")],
)
def test_what_cannot_adapt_is_told(
    enhance, make_run, folder: Path, tmp_path: Path, norm: str, frozen: bool, why: str
) -> None:
    run = make_run(norm=norm)
    kept = load(run / "checkpoints" / "best.pt")
    kept.frozen = frozen
    save(kept, run / "checkpoints" / "best.pt")
    ended = enhance(run, folder, tmp_path / "out", "--adapt")
    assert ended.code == 2
    assert ended.err.startswith("error: --adapt: ")
    assert why in ended.err
    assert ended.err.rstrip().endswith("leave it out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["odd.png", "tiny.png"], ["*.png"], ["[ot]*.png"]])
def test_several_photographs_and_patterns(enhance, make_run, photos: Path, tmp_path: Path, words: list[str]) -> None:
    ended = enhance(make_run(), *(photos / word for word in words), tmp_path / "out")
    assert (ended.code, "2 of 2 enhanced" in ended.out) == (0, True), ended.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["odd.png", "tiny.png"]


def test_several_photographs_need_a_folder_and_names_of_their_own(
    enhance, make_run, photos: Path, tmp_path: Path
) -> None:
    run, other = make_run(), tmp_path / "other"
    (other).mkdir()
    (other / "odd.png").write_bytes((photos / "odd.png").read_bytes())
    ended = enhance(run, photos / "odd.png", photos / "tiny.png", tmp_path / "new.png")
    assert (ended.code, "no folder for 2 photographs" in ended.err) == (2, True)
    ended = enhance(run, photos / "odd.png", photos / "tiny.png", photos / "wide.jpg")
    assert (ended.code, "a file, where the results need a folder" in ended.err) == (2, True)
    ended = enhance(run, photos, other, tmp_path / "out")
    assert (ended.code, "have one name" in ended.err, (tmp_path / "out").exists()) == (2, True, False)
