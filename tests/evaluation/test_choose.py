"""Which pairs a checkpoint is scored on: its own parts, the test part first, and never training scenes in silence."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from enhance.data.open import open_data
from enhance.errors import DataError
from enhance.evaluation.choose import choose_pairs, seen_in_training
from enhance.settings.schema import CameraSettings, DataSettings, Settings
from tests.small_data import draw_scene, write_pairs

SCENES = range(8)  # of the run: six to train on, two for validation


@pytest.fixture
def run(tmp_path: Path) -> Settings:
    """Settings of a run on eight pairs in LOL v1's layout, without its test part."""
    write_pairs(tmp_path / "pairs" / "our485", SCENES)
    return Settings(data=DataSettings("lol_v1", root=str(tmp_path / "pairs"), validation_share=0.25))


def other_pairs(folder: Path, scenes: range) -> DataSettings:
    """A data set of its own, all of it to test on."""
    write_pairs(folder / "eval15", scenes)
    write_pairs(folder / "our485", range(100, 102))
    return DataSettings("lol_v1", root=str(folder))


def trained_on(run: Settings) -> list[str]:
    return open_data(run.data).training.names


def test_the_runs_own_validation_part_where_it_has_no_test_part(run: Settings) -> None:
    choice = choose_pairs(run, None)
    assert (choice.data, choice.split, choice.warnings) == ("lol_v1", "validation", [])
    assert len(choice.source.names) == 2
    assert choice.training is not None
    assert {*choice.source.names, *choice.training.names} == {str(scene) for scene in SCENES}


def test_the_test_part_comes_first(run: Settings, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs" / "eval15", range(20, 23))
    choice = choose_pairs(run, None)
    assert (choice.split, choice.source.names, choice.warnings) == ("test", ["20", "21", "22"], [])
    assert choice.training is not None
    assert choice.training.names == trained_on(run)


def test_its_own_data_have_the_runs_parts_however_they_are_named(run: Settings, tmp_path: Path) -> None:
    parts = ["training", "validation", "test", "training", "validation", "training", "test", "training"]
    split = tmp_path / "split.csv"
    split.write_text("name,part\n" + "".join(f"{scene},{part}\n" for scene, part in zip(SCENES, parts, strict=True)))
    wanted = choose_pairs(run, None).source.names
    again = DataSettings("lol_v1", root=str(tmp_path / "pairs" / ".." / "pairs"))
    assert choose_pairs(run, again).source.names == wanted
    by_split = Settings(data=replace(run.data, split=str(split)))
    assert choose_pairs(by_split, again).source.names == ["2", "6"]
    other = choose_pairs(run, replace(again, split=str(split)))  # another one is taken as it is given
    assert other.source.names == ["2", "6"]
    (warning,) = other.warnings
    assert f"the scenes of {len({'2', '6'} & {*trained_on(run)})} of these 2 images" in warning


def test_its_own_photographs_are_seen_through_its_camera(run: Settings, tmp_path: Path) -> None:
    photographs = str(tmp_path / "pairs" / "our485" / "high")
    own = CameraSettings(-1, -0.5)
    run = Settings(data=DataSettings("photos", root=photographs, validation_share=0.25, camera=own))
    for given, camera in ((None, own), (CameraSettings(), own), (CameraSettings(-6, -5), CameraSettings(-6, -5))):
        data = None if given is None else DataSettings("photos", root=f"{photographs}/", camera=given)
        source = choose_pairs(run, data).source
        assert source.names == open_data(run.data).validation.names
        low, normal = source.whole(0)
        assert (low.mean() > 0.4 * normal.mean()) == (camera is own)


def test_another_data_set_is_scored_by_its_own_parts(run: Settings, tmp_path: Path) -> None:
    choice = choose_pairs(run, other_pairs(tmp_path / "other", range(30, 34)), with_training=True)
    assert (choice.split, choice.source.names, choice.warnings) == ("test", ["30", "31", "32", "33"], [])
    assert choice.training is not None
    assert choice.training.names == trained_on(run)  # the run's own, to recalibrate on


def test_other_data_are_scored_whole_and_say_nothing_of_the_runs_training(run: Settings, tmp_path: Path) -> None:
    write_pairs(tmp_path / "other" / "our485", range(40, 48))
    for scene in trained_on(run):  # all of them stand among the others
        for side in ("low", "high"):
            file = Path("our485", side, f"{scene}.png")
            shutil.copy(tmp_path / "pairs" / file, tmp_path / "other" / file)
    choice = choose_pairs(run, DataSettings("lol_v1", root=str(tmp_path / "other"), validation_share=0.5))
    assert (choice.split, len(choice.source)) == ("all", 14)
    assert choice.chosen.startswith("14 of 14 pairs, for they are other data")
    assert choice.training is not None
    assert choice.training.names == trained_on(run)
    (warning,) = choice.warnings
    assert "the scenes of 6 of these 14 images" in warning


def test_how_many_of_how_many_are_scored_is_told(run: Settings, tmp_path: Path) -> None:
    assert choose_pairs(run, None).chosen == "2 of 8 pairs, held out of the run's training"
    other = other_pairs(tmp_path / "other", range(30, 34))  # and two pairs to train on
    assert choose_pairs(run, other).chosen == "4 of 6 pairs, the test part of the data"
    shutil.rmtree(tmp_path / "other" / "our485")
    assert choose_pairs(run, other).chosen == "4 of 4 pairs, the test part of the data"
    write_pairs(tmp_path / "third", range(50, 53))
    third = DataSettings("pairs", root=str(tmp_path / "third"), split=str(tmp_path / "split.csv"))
    for parts, count in (("training validation test", 1), ("test test test", 3)):
        rows = [f"{scene},{part}" for scene, part in zip((50, 51, 52), parts.split(), strict=True)]
        Path(third.split or "").write_text("\n".join(["name,part", *rows]))
        assert choose_pairs(run, third).chosen == f"{count} of 3 pairs, for data.split says so (test)"


def test_other_photographs_are_scored_whole_unless_a_validation_folder_is_given(run: Settings, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        write_pairs(tmp_path / folder, range(60, 64))
    photos = DataSettings("photos", root=str(tmp_path / "one" / "high"))
    assert (choose_pairs(run, photos).split, len(choose_pairs(run, photos).source)) == ("all", 4)
    choice = choose_pairs(run, replace(photos, val_root=str(tmp_path / "other" / "high")))
    assert (choice.split, choice.chosen) == ("validation", "4 of 8 pairs, the validation part of the data")


def test_scenes_of_the_training_are_counted_under_any_name_and_size(run: Settings, tmp_path: Path) -> None:
    data = other_pairs(tmp_path / "other", range(30, 33))
    for number, scene in enumerate(trained_on(run)[:2]):
        larger = Image.fromarray(draw_scene(int(scene))).resize((112, 80), Image.Resampling.BICUBIC)
        for side in ("low", "high"):
            larger.save(tmp_path / "other" / "eval15" / side / f"new{number}.png")
    (warning,) = choose_pairs(run, data).warnings
    assert "trained on the scenes of 2 of these 5 images" in warning
    assert "the scores flatter it" in warning


def test_where_nothing_tells_what_it_was_trained_on_that_is_said(run: Settings, tmp_path: Path) -> None:
    data = other_pairs(tmp_path / "other", range(30, 33))
    (tmp_path / "pairs").rename(tmp_path / "gone")
    choice = choose_pairs(run, data)
    assert choice.training is None
    (warning,) = choice.warnings
    assert f"the run's training images (lol_v1, {tmp_path / 'pairs'}) are not here" in warning
    with pytest.raises(DataError, match="the run's own training images are needed"):
        choose_pairs(run, data, with_training=True)


@pytest.mark.parametrize("split", [None, "split.csv"])
def test_where_its_own_data_are_gone_the_cure_names_what_to_give(
    run: Settings, tmp_path: Path, split: str | None
) -> None:
    run.data.split = split
    shutil.rmtree(tmp_path / "pairs")
    with pytest.raises(DataError) as refused:
        choose_pairs(run, None)
    first, cure = str(refused.value).splitlines()
    assert str(tmp_path / "pairs") in first
    wanted = "data=lol_v1 data.root=DIR" + (" data.split=split.csv" if split else "")
    assert cure == f"the run's own data; where it was moved, give {wanted}"


def test_another_data_set_that_cannot_be_used_is_told_as_it_is(run: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        choose_pairs(run, DataSettings("lol_v1", root=str(tmp_path / "nowhere")))
    assert str(tmp_path / "nowhere") in str(refused.value)
    assert "the run's own data" not in str(refused.value)


def test_a_run_is_asked_about_pairs_that_are_open_already(run: Settings) -> None:
    """As `compare_checkpoints.py` asks the second of two runs."""
    opened = open_data(run.data)
    training, warnings = seen_in_training(run, opened.validation)
    assert training is not None
    assert (training.names, warnings) == (opened.training.names, [])
    (warning,) = seen_in_training(run, opened.training)[1]
    assert "6 of these 6 images" in warning
