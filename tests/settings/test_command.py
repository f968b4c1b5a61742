"""The command line: what it makes, and what is told of a word in it that is wrong."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from enhance.errors import SettingsError, UserError
from enhance.settings import command
from enhance.settings.config import evaluation_from_config, from_config
from enhance.settings.schema import Activation, CameraSettings, ModelSettings, Settings, flat


def test_code_and_command_line_mean_the_same_defaults() -> None:
    assert command.compose([]) == Settings()
    assert command.compose(["model=unet_tiny"]).model == ModelSettings()


def test_groups_are_files_and_words_are_over_them() -> None:
    settings = command.compose(["norm=gn", "model.activation=tanh", "model=unet_small", "batch_size=4"])
    assert (settings.norm.name, settings.batch_size) == ("gn", 4)
    assert (settings.model.name, settings.model.activation) == ("unet_small", Activation.tanh)


def test_places_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = command.compose(["data=pairs", "data.root=here", "data.low=dark", "data.normal=bright"]).data
    assert (data.root, data.low, data.normal) == (str(tmp_path / "here"), "dark", "bright")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("batch_sizes=4", r"batch_sizes is no setting: did you mean batch_size\?"),
        ("zzz=1", "zzz is no setting: --help lists them"),
        ("norm=batchnorm", "norm=batchnorm is unknown: choose one of bn, bn_act, .*"),
        ("model.activation=rel", r"model.activation=rel is unknown: choose one of relu, .*; did you mean relu\?"),
        ("compile=maybe", "compile=maybe is unknown: choose one of true, false"),
        ("norm=gn,bn", "norm=gn,bn: give one value"),  # for scripts/plan_memory.py
        ("steps=10", r"steps is no setting: did you mean schedule.steps\?"),
        ("lr=1", r"lr is no setting: did you mean optimizer.lr\?"),
        ("init=RUN", r"init is no setting: did you mean init_from\?"),
        ("pretrained=RUN", r"pretrained is no setting: did you mean init_from\?"),
        (
            "checkpoint=RUN",
            "checkpoint is no setting of train.py: it is one of evaluate.py; train.py --help lists them",
        ),
        ("batch_size=a=b", "batch_size=a=b: not understood; write batch_size=VALUE"),
        ("norm=a=b", "norm=a=b is unknown: choose one of bn, .*"),
        ("name=${x}=b", r"name=\$\{x\}=b: not understood; \$\{ refers to another setting and cannot be in a text"),
        ("name=a=b", "name=a=b: not understood; write key=value, with quotes around odd values: \"name='a=b'\""),
        ("batch_size=many", "batch_size: Value 'many' of type 'str' could not be converted to Integer"),
        ("batch_size=0", "batch_size=0 is too small: it is at least 1"),
    ],
)
def test_a_wrong_word_is_told_in_one_line(word: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        command.compose([word])
    assert re.fullmatch(told, str(refused.value))


def test_after_a_wrong_word_the_next_ones_are_read() -> None:
    with pytest.raises(SettingsError):
        command.compose(["norm=batchnorm"])
    assert command.compose(["norm=gn"]).norm.name == "gn"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Run a task as evaluate.py does; train.py takes seconds more to import what a sweep needs."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # so that it is put back
    monkeypatch.chdir(tmp_path)

    def run(task: Callable[[DictConfig], None], *words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
        command.run(task, "evaluate")

    return run


def test_a_task_gets_its_settings_and_knows_the_words(run: Callable[..., None], tmp_path: Path) -> None:
    found: dict[str, Any] = {}

    def evaluate(config: DictConfig) -> None:
        found["settings"] = evaluation_from_config(config)
        found["words"], found["in_sweep"] = command.overrides(), command.in_sweep()

    run(evaluate, "protocol=all", "device=cpu")
    assert (found["settings"].protocol, found["settings"].device, found["settings"].data) == ("all", "cpu", None)
    assert (found["words"], found["in_sweep"]) == (["protocol=all", "device=cpu"], False)
    assert list(tmp_path.iterdir()) == []  # Hydra leaves no folder of its own


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("devices=cpu", "error: devices is no setting: did you mean device?\n"),
        (
            "batch_size=1",
            "error: batch_size is no setting of evaluate.py: it is one of train.py; evaluate.py --help lists them\n",
        ),
        ("norm=gn", "error: norm is no setting of this command; --help lists them\n"),
    ],
)
def test_a_command_ends_with_a_wrong_word(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], word: str, told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(evaluation_from_config, word)
    assert (ended.value.code, capsys.readouterr().err) == (2, told)


def test_a_command_ends_with_what_its_task_cannot_do(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: DictConfig) -> None:
        raise UserError("x.png: mend it")

    with pytest.raises(SystemExit) as ended:
        run(refuse)
    assert (ended.value.code, capsys.readouterr().err) == (2, "error: x.png: mend it\n")


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
    *_, last = sorted(file.stem for file in (command.CONFIGS / group).iterdir())
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


@pytest.fixture
def train(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings that train.py would train with."""

    def train(*words: str) -> Settings:
        made: list[Settings] = []
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        command.run(lambda config: made.append(from_config(config)), "train")
        return made[0]

    return train


def advice(told: str) -> list[str]:
    """The words that a shell makes of what the message says to write."""
    return shlex.split(re.split("write key=value, with quotes around odd values: |write ", told.strip())[-1])


@pytest.mark.parametrize(
    "value",
    ["it's", "a=b", "a,b", "a$y,b", "a[b", "it's $x", r"a\'b,", "x'", "'", "!a=", "a`b=", 'a"b=c', "{a", r"\'", "#='"],
)
def test_an_odd_text_is_taken_when_written_as_told(
    train: Callable[..., Settings], capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """As many people's folders are named."""
    with pytest.raises(SystemExit):
        train("data=photos", f"data.root={value}")
    settings = train("data=photos", *advice(capsys.readouterr().err))
    assert settings.data.root == str(Path.cwd() / value)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("batch_size = 3", "batch_size", 3),
        ("batch_size =3", "batch_size", 3),
        ("batch_size= 3", "batch_size", 3),
        ("batch_size 3", "batch_size", 3),
        ("data=photos data.split = my,split seed=1", "data.split", "my,split"),
        ("norm gn", "norm.name", "gn"),
    ],
)
def test_spaces_are_left_out_as_told(
    train: Callable[..., Settings], capsys: pytest.CaptureFixture[str], line: str, key: str, value: object
) -> None:
    with pytest.raises(SystemExit):
        train(*shlex.split(line))
    words = advice(capsys.readouterr().err)
    settings = train("data=photos", *words)
    found = flat(settings)[key][1]
    assert found == (str(Path.cwd() / str(value)) if key == "data.split" else value)


@pytest.mark.parametrize("word", ["steps=10", "step=10", "lr=0.1", "batchsize=10", "optimiser.lr=0.1", "epoch=3.0"])
def test_the_key_that_is_meant_is_one(
    train: Callable[..., Settings], capsys: pytest.CaptureFixture[str], word: str
) -> None:
    with pytest.raises(SystemExit):
        train(word)
    meant = capsys.readouterr().err.split("did you mean ")[1].rstrip("?\n")
    value = word.partition("=")[2]
    also = ["schedule.steps=null"] if meant == "schedule.epochs" else []
    assert str(flat(train(f"{meant}={value}", *also))[meant][1]) == value


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("norm=bn,gn", "error: norm=bn,gn: add -m to train with each of them\n"),
        ("seed=0,1", "error: seed=0,1: add -m to train with each of them\n"),
        (
            "name=a,b",
            "error: name=a,b: add -m to train with each of them; for a text with commas write \"name='a,b'\"\n",
        ),
    ],
)
def test_several_values_are_a_sweep(
    train: Callable[..., Settings], capsys: pytest.CaptureFixture[str], word: str, told: str
) -> None:
    with pytest.raises(SystemExit):
        train(word)
    assert capsys.readouterr().err == told


def test_a_sweep_runs_when_asked_for_as_told(train: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[str] = []
    monkeypatch.setattr(sys, "argv", ["train.py", "norm=bn,gn", "-m"])
    command.run(lambda config: norms.append(from_config(config).norm.name), "train")
    assert norms == ["bn", "gn"]


def test_a_run_is_scored_by_its_place_alone(run: Callable[..., None]) -> None:
    found: list[Any] = []
    for words in (["runs/it's mine"], ["device=cpu", "runs/it's mine"], ["runs/it's mine", "device=cpu"]):
        run(lambda config: found.append(evaluation_from_config(config).checkpoint), *words)
    assert found == ["runs/it's mine"] * 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("runs/A runs/B", "error: runs/A runs/B: one run at a time; scripts/compare_checkpoints.py compares two\n"),
        ("device cpu", "error: device cpu: leave no space; write device=cpu\n"),
        ("device= cpu", "error: device cpu: leave no space; write device=cpu\n"),
    ],
)
def test_other_words_are_no_run(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    with pytest.raises(SystemExit):
        run(evaluation_from_config, *line.split())
    assert capsys.readouterr().err == told
