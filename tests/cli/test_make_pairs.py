"""`python scripts/make_pairs.py`: what it writes trains as LOL v1."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.data.images import list_images, read_image
from enhance.data.open import open_data
from enhance.settings.schema import DataSettings


@pytest.fixture
def make_pairs(run_script):
    return lambda *arguments: run_script("scripts/make_pairs.py", *arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((48, 40), Image.Resampling.BILINEAR).save(folder / f"{number}.jpg")
    return folder


def test_the_pairs_open_as_lol_v1(make_pairs, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "pairs"
    ended = make_pairs(photos, out, "--val-share", "0.25", "--exposure-min-ev", "-3", "--exposure-max-ev", "-3")
    assert ended.code == 0, ended.err
    assert "6 pairs to train on, 2 to test on" in ended.out
    data = DataSettings(name="lol_v1", root=str(out), crop=32)
    opened = open_data(data)
    train, validation, test = opened.training, opened.validation, opened.test
    assert test is not None
    assert len(train) + len(validation) == 6
    assert sorted(train.names + validation.names + test.names) == [str(number) for number in range(8)]
    low, normal = test.whole(0)
    photograph = read_image(photos / f"{test.names[0]}.jpg")
    np.testing.assert_array_equal((normal * 255).round().byte().permute(1, 2, 0).numpy(), photograph)
    assert 0.2 < low.mean() / normal.mean() < 0.5  # an eighth of the light, in sRGB
    assert [path.name for path in out.parent.iterdir()] == ["pairs"]


def test_photographs_in_folders_within(make_pairs, photos: Path, tmp_path: Path) -> None:
    for number in range(8):
        (photos / f"day{number % 2}").mkdir(exist_ok=True)
        (photos / f"{number}.jpg").rename(photos / f"day{number % 2}" / f"{number // 2}.jpg")
    assert make_pairs(photos, tmp_path / "pairs").code == 0
    opened = open_data(DataSettings(name="lol_v1", root=str(tmp_path / "pairs")))
    assert opened.test is not None
    names = opened.training.names + opened.validation.names + opened.test.names
    assert sorted(names) == [f"day{day}/{number}" for day in (0, 1) for number in range(4)]
    directly = open_data(DataSettings(name="photos", root=str(photos)))
    assert sorted(directly.training.names + directly.validation.names) == [f"{name}.jpg" for name in sorted(names)]


def test_a_seed_repeats_the_files(make_pairs, photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert make_pairs(photos, tmp_path / name, "--seed", seed).code == 0
    first, again, other = (
        [path.read_bytes() for path in list_images(tmp_path / name / "our485" / "low")] for name in "abc"
    )
    assert first == again
    assert first != other


def test_what_it_refuses_leaves_nothing_behind(make_pairs, photos: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious.txt").touch()
    ended = make_pairs(photos, full)
    assert (ended.code, "not empty (found precious.txt)" in ended.err) == (2, True)
    (photos / "9.jpg").write_text("no image")
    ended = make_pairs(photos, tmp_path / "out")
    assert (ended.code, "9.jpg: not an image" in ended.err) == (2, True)
    ended = make_pairs(photos, tmp_path / "out", "--exposure-min-ev", "-1")
    assert (ended.code, "exposure_min_ev=-1.0 is above" in ended.err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "photos"]
