"""Settings from YAML and back, of this version and of older ones."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from enhance.errors import SettingsError
from enhance.settings import command
from enhance.settings.checks import check
from enhance.settings.config import from_dict, from_yaml, to_dict, to_yaml
from enhance.settings.describe import page
from enhance.settings.identity import identity
from enhance.settings.schema import Activation, CameraSettings, ModelSettings, Settings, flat

ROOT = Path(__file__).parents[2]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = Settings()
    settings.model.activation = Activation.tanh
    settings.schedule.steps, settings.schedule.epochs = None, 2.5
    (tmp_path / "config.yaml").write_text(to_yaml(settings))
    assert from_yaml(tmp_path / "config.yaml") == settings
    assert yaml.safe_load(to_yaml(settings))["model"]["activation"] == "tanh"


def test_code_and_command_line_mean_the_same_defaults() -> None:
    assert command.compose([]) == Settings()
    assert command.compose(["model=unet_tiny"]).model == ModelSettings()


@pytest.mark.parametrize("word", ["+{}typo=1", "++{}typo=1", "+{}typo={{a:1}}"])
@pytest.mark.parametrize(
    "group", ["", *sorted({f"{key.rpartition('.')[0]}." for key in flat(Settings()) if "." in key})]
)
def test_a_key_that_a_plus_adds_is_told_as_one_without(group: str, word: str) -> None:
    with pytest.raises(SettingsError, match=f"^{group}typo is no setting"):
        command.compose([word.format(group)])


def test_a_plus_before_what_is_a_setting_sets_it() -> None:
    settings = command.compose(["+name=x", "++batch_size=3", "+optimizer={lr:0.5}", "++model.activation=tanh"])
    assert (settings.name, settings.batch_size, settings.optimizer.lr) == ("x", 3, 0.5)
    assert settings.model.activation is Activation.tanh
    with pytest.raises(SettingsError, match=r"^\+batch_size: leave out the \+"):
        command.compose(["+batch_size=3"])


@pytest.mark.parametrize("key", ["batch_size", "optimizer", "optimizer.lr", "data.camera", "model", "norm", "norm=bn"])
def test_a_deletion_does_not_bring_the_default_back(key: str) -> None:
    """Not even of a group, and over what an experiment says."""
    with pytest.raises(
        SettingsError, match=f"^~{key.partition('=')[0]}: a setting cannot be deleted; give it a value$"
    ):
        command.compose(["experiment=small_batch", f"~{key}"])


def test_a_deletion_of_what_is_no_setting_is_told() -> None:
    with pytest.raises(SettingsError, match=r"^batchsize is no setting: did you mean batch_size\?"):
        command.compose(["~batchsize"])


def test_what_a_file_adds_can_be_deleted() -> None:
    settings = command.compose(
        ["experiment=another_camera", "~data.other_cameras.darker", "~hydra.sweeper.params.norm"]
    )
    assert set(settings.data.other_cameras) == {"noisier", "warmer", "all_three"}
    with pytest.raises(SettingsError, match=r"^~data.other_cameras.darkest: there is nothing"):
        command.compose(["experiment=another_camera", "~data.other_cameras.darkest"])


@pytest.mark.parametrize("value", ["null", "1", "1e3", "true", "[]", "[bn,gn]", "bn,null"])
@pytest.mark.parametrize("group", ["norm", "model", "data", "experiment"])
def test_what_is_no_name_of_a_choice_is_told(group: str, value: str) -> None:
    *_, last = sorted(file.stem for file in (ROOT / "configs" / group).iterdir())
    with pytest.raises(SettingsError, match=rf"^{group}=.*choose one of .*, {last}$"):
        command.compose([f"{group}={value}"])


@pytest.mark.parametrize("word", ["+norm=gn", "++norm=gn", "norm@model=gn", "+norm@foo=gn"])
def test_a_choice_is_given_by_its_group_alone(word: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(word)}: write norm=gn$"):
        command.compose([word])


@pytest.mark.parametrize("word", ["=1", "+=1", "~=1", "="])
def test_a_word_without_a_key_is_told(word: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(word)}: not understood; write key=value"):
        command.compose([word])


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("drker.red_gain=2", r"drker: there is no camera of this name; add one with "),
        ("drker={red_gain:2}", r"drker: there is no camera of this name; add one with "),
        ("darker.redgain=2", r"darker.redgain is no setting: did you mean data.other_cameras.darker.red_gain\?"),
        ("darker.typo=2", r"darker.typo is no setting: "),
    ],
)
def test_a_mistyped_camera_is_told(plus: str, word: str, told: str) -> None:
    with pytest.raises(SettingsError, match=f"^data.other_cameras.{told}"):
        command.compose(["experiment=another_camera", f"{plus}data.other_cameras.{word}"])


def test_a_value_of_a_camera_is_told() -> None:
    with pytest.raises(SettingsError, match=r"^data.other_cameras.darker.red_gain: Value 'red' of type 'str'"):
        command.compose(["experiment=another_camera", "data.other_cameras.darker.red_gain=red"])


def test_a_camera_is_added_as_the_message_says() -> None:
    with pytest.raises(SettingsError, match="there is no camera") as told:
        command.compose(["data.other_cameras.mine.red_gain=2"])
    settings = command.compose([str(told.value).split('"')[1]])
    assert settings.data.other_cameras == {"mine": CameraSettings(red_gain=1.4)}


def older() -> dict[str, Any]:
    """As versions before the settings stood at their fields wrote them."""
    values = to_dict(Settings())
    del values["schedule"]["freeze_after"]
    for key in ("exposure_epochs", "exposure_crops", "content"):
        del values["data"][key]
    values["data"] |= {"name": "lol_v1", "mixup": 0.0, "gamma_jitter": 0.0}
    values["schedule"]["exposure_epochs"] = None
    values["norm"] |= {"eps": 1e-5, "momentum": 0.1, "affine": True, "freeze_after": 0.8, "r_ramp_end": None}
    values["model"]["down"] = "max_pool"
    values["objective"] |= {"charbonnier": 0.0, "gt_mean": False}
    return values


def test_older_settings_are_the_same_run() -> None:
    """Where they mean the same: a run of an older version is found by resume=auto."""
    same = command.compose(["data=lol_v1", "schedule.freeze_after=0.8"])
    assert identity(from_dict(older())) == identity(same)


def test_settings_of_older_versions_are_read() -> None:
    settings = from_dict(older())
    assert (settings.schedule.freeze_after, settings.data.exposure_epochs) == (0.8, 40)
    values = older()
    values["data"]["name"] = "demo"
    assert from_dict(values).data.exposure_epochs is None
    values["schedule"]["exposure_epochs"] = 20
    assert (from_dict(values).data.exposure_epochs, from_dict(values).data.exposure_crops) == (20, 1)


@pytest.mark.parametrize(
    ("group", "name", "value"), [("data", "mixup", 0.5), ("objective", "gt_mean", True), ("model", "down", "strided")]
)
def test_what_this_version_no_longer_does_is_refused(group: str, name: str, value: Any) -> None:
    values = older()
    values[group][name] = value
    before = copy.deepcopy(values)
    with pytest.raises(SettingsError, match=f"{group}.{name}={value} was removed"):
        from_dict(values)
    assert values == before


@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": 1}, {"name": {"b": 2}}])
@pytest.mark.parametrize("group", ["data", "norm", "schedule", "model"])
def test_what_are_no_settings_is_refused(group: str, value: Any) -> None:
    """In the form of an older version, which is upgraded first."""
    with pytest.raises(SettingsError):
        from_dict(older() | {group: value})


@pytest.mark.parametrize("key", [key for key, (field, _) in flat(Settings()).items() if field.metadata.get("least")])
def test_every_lower_bound_is_checked(key: str) -> None:
    settings: Any = Settings()
    *groups, name = key.split(".")
    place = settings
    for each in groups:
        place = getattr(place, each)
    least = flat(settings)[key][0].metadata["least"]
    setattr(place, name, least - 1)
    with pytest.raises(SettingsError, match=f"{key}={least - 1} is too small: it is at least {least}"):
        check(settings)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "/tmp", "a/b", "a/", "../a", "a/..", "./a"])
@pytest.mark.parametrize("key", ["name", "sweep"])
def test_a_run_and_a_sweep_stay_in_the_folder_of_runs(key: str, name: str) -> None:
    settings = Settings()
    setattr(settings, key, name)
    with pytest.raises(SettingsError, match=f"^{key}={name} is no name for a folder: .*runs= is its place"):
        check(settings)


@pytest.mark.parametrize("name", ["a", "a..b", "...", ".a", "ü ü", "a b", "-"])
def test_a_folder_may_have_an_odd_name(name: str) -> None:
    settings = Settings()
    settings.name = settings.sweep = name
    check(settings)


def test_the_page_of_settings_is_that_of_this_version() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page(), (
        "python -m enhance.settings.describe > docs/settings.md"
    )
