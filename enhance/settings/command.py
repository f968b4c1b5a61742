"""Hydra under the entries `train.py` and `evaluate.py`: its own errors become messages for the user."""

import os
import re
import sys
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from enhance.errors import SettingsError, exit_on_user_error
from enhance.settings.advice import assignment, hydra_text, spaced
from enhance.settings.checks import is_setting, no_setting, one_of, settings_of
from enhance.settings.config import from_config
from enhance.settings.describe import choices, help_text
from enhance.settings.flags import checked
from enhance.settings.schema import EvaluationSettings, Settings, flat

CONFIGS = Path(__file__).parents[1] / "configs"
_KINDS: dict[str, type] = {"train": Settings, "evaluate": EvaluationSettings}
# What is no name of a file, and Hydra would take for one, or end on with a traceback.
_NO_CHOICE = re.compile(r"null|true|false|nan|[+-]?(inf|[\d.]+(e[+-]?\d+)?)|\[.*", re.IGNORECASE)


def run(task: Callable[[DictConfig], None], config_name: str) -> None:
    """Compose `configs/<config_name>.yaml` with the command line and call `task` with it.

    A `UserError` of the task, an unknown key and an unknown choice end in a short message and exit code 2.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors, where it would print them at length
    kind = _KINDS[config_name]
    _register(config_name)

    def checked_task(config: DictConfig) -> None:
        with exit_on_user_error():
            task(config)

    with exit_on_user_error():
        if kind is EvaluationSettings:
            sys.argv[1:] = _with_checkpoint(sys.argv[1:])
        sys.argv[1:] = checked(sys.argv[1:], kind)
        _check_words(sys.argv[1:], kind)
        try:
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(checked_task)()
        except (HydraException, OmegaConfBaseException) as error:
            raise SettingsError(explain(error, kind, sweeps=kind is Settings)) from error
        except AssertionError as error:  # OmegaConf's, for a key of a group that is null
            if "Unexpected type for root" not in str(error):
                raise
            raise SettingsError("data.KEY= says something of a data set: choose it too, data=NAME") from error
        except AttributeError as error:  # its grammar's, which works with assertions alone
            if not sys.flags.optimize or "TerminalNodeImpl" not in str(error):
                raise
            cure = "list the values, as seed=0,1, or unset PYTHONOPTIMIZE"
            raise SettingsError(f"Hydra cannot read range() and its like under python -O: {cure}") from error


def compose(overrides: list[str]) -> Settings:
    """The settings of `train.py` with these `key=value` overrides, for a command of another form; raises
    `SettingsError` as `run` tells it."""
    _register("train")
    _check_words(overrides, Settings)
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return from_config(hydra.compose("train", overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(explain(error, Settings)) from error


def _check_words(words: list[str], kind: type) -> None:
    """Raise `SettingsError` for words of the command line that Hydra takes in silence for something else, or cannot
    take and does not say why."""
    groups = _groups()
    for index, word in enumerate(words):
        own = groups if kind is Settings else {"data"}
        if (parts := spaced(words[index:])) and (parts[0] in own or is_setting(parts[0], kind)):
            raise SettingsError(f"{parts[0]} {parts[1]}: leave no space; write {assignment(*parts)}")
        key, _, value = word.partition("=")
        name = key.lstrip("+~")
        group, at, _ = name.partition("@")
        if not name:
            raise SettingsError(f"{word}: not understood; write key=value")
        if key.startswith("~"):
            _check_deletion(name, groups, kind)
        elif group in groups:
            if key.startswith("+") or at:
                raise SettingsError(f"{word}: write {group}={value}")
            if value == "null":
                raise SettingsError(f"{word}: leave it out, or choose one of {', '.join(_options(group))}")
            for option in [value] if value.startswith("[") else value.split(","):
                if _NO_CHOICE.fullmatch(option):
                    one_of(group, option, _options(group))


def _with_checkpoint(words: list[str]) -> list[str]:
    """The one word without a key, as the scripts take a run, becomes `checkpoint=`."""
    for index, word in enumerate(words):
        if re.match(r"[-~]|[^=]*=", word) or (index and re.match("-[^m]", words[index - 1])):
            continue  # an option, its value, or an assignment
        if word in _groups() or is_setting(word, EvaluationSettings) or (index and words[index - 1].endswith("=")):
            break  # an assignment that spaces take apart, as will be told
        if others := spaced(words[index:]):
            cure = "one run at a time; scripts/compare_checkpoints.py compares two"
            raise SettingsError(f"{' '.join(others)}: {cure}")
        return [*words[:index], f"checkpoint={hydra_text(word)}", *words[index + 1 :]]
    return words


@cache
def _groups() -> set[str]:
    return {path.parent.name for path in CONFIGS.glob("*/*.yaml")} - {"hydra"}


def _options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


def _check_deletion(name: str, groups: set[str], kind: type) -> None:
    """Raise `SettingsError` unless `~name` takes away what a file has added: a camera, or a setting of Hydra's own.
    What the types hold comes back with its default, whatever a file says of it."""
    if name.startswith("hydra") or re.fullmatch(r"data\.other_cameras\.[^.]+", name):
        return
    settings = flat(kind())
    holds_settings = any(key.startswith(f"{name}.") for key in settings) or name in (*groups, "data.other_cameras")
    if not holds_settings and not is_setting(name, kind):
        raise no_setting(name, kind)
    optional = not holds_settings and name in settings and type(None) in typing.get_args(settings[name][0].type)
    null = ", for example null" if optional else ""
    raise SettingsError(f"~{name}: a setting cannot be deleted; give it a value{null}")


def _register(config_name: str) -> None:
    """Give Hydra the types and defaults, with which `configs/<config_name>.yaml` begins, and the text of --help."""
    kind = _KINDS[config_name]
    ConfigStore.instance().store(name=f"{config_name}_settings", node=kind)
    template = (
        "Settings are given as key=value, groups as group=option.\n\n== Groups ==\n$APP_CONFIG_GROUPS\n"
        f"== Settings, their defaults and meaning ==\n{help_text(kind)}\n\n"
        "Keys marked * make no other result.\n"
        "--cfg job prints the settings that a command line makes, and does nothing else.\n"
    )
    ConfigStore.instance().store(group="hydra/help", name="settings", node={"template": template})


def overrides() -> list[str]:
    """The `key=value` words of the command line."""
    return list(HydraConfig.get().overrides.task)


def in_sweep() -> bool:
    """Whether this is one job of `-m`."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def swept() -> str:
    """What this job of `-m` sets of all that is swept, sorted: `batch_size=8,norm=bn,seed=0`."""
    return str(HydraConfig.get().job.override_dirname)


def explain(error: Exception, kind: type, sweeps: bool = False) -> str:
    """What Hydra's error means for the user of settings of this kind, in one or two lines; whether -m is an answer."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice} is unknown: choose one of {', '.join(sorted(error.options))}"
    if isinstance(error, OverrideParseException):
        return _explain_value(str(error.override), kind)
    reason = str(error).splitlines()[0]
    if isinstance(error, MissingConfigException):
        cure = "leave out --config-name and --config-path; --config-dir DIR adds files of your own to those here"
        return f"no settings to begin with: {cure}"
    if ambiguous := re.match(r"Ambiguous value for argument '([^=]*)=(.*)'", reason):
        name, value = ambiguous.groups()
        cures = ["add -m to train with each of them"] if sweeps else []
        cures += [f"for a text with commas write {assignment(name, value)}"] if _is_text(name, kind) else []
        return f"{name}={value}: {'; '.join(cures) or 'give one value'}"
    if deleted := re.match(r"Could not delete from config. '([^']*)'", reason):
        return f"~{deleted[1]}: there is nothing of this name"
    if present := re.match(r"Could not append to config. An item is already at '([^']*)'", reason):
        return f"+{present[1]}: leave out the +, which adds what is not there yet"
    cause = error.__cause__ or error
    key = getattr(cause, "full_key", None)
    if isinstance(error, ConfigCompositionException) and key:
        if camera := re.search(r"data\.other_cameras\.[^.=']+", reason):
            key = key if key.startswith(camera[0]) else camera[0]  # of one that is added, the error has the name alone
        return _explain_key(key, reason, str(cause).splitlines()[0], kind)
    if absent := re.match(r"Could not override '(\w+)'", reason):
        return f"{absent[1]} is no setting of this command; --help lists them"
    return str(cause).splitlines()[0]


def _explain_value(word: str, kind: type) -> str:
    """Of a word that is not Hydra's grammar."""
    name, equals, value = word.partition("=")
    key = name.lstrip("+")
    if not equals:
        place = f"; is it a run, write {assignment('resume', word)}" if Path(word).exists() else ""
        return f"{word}: not understood; write key=value{place if kind is Settings else ''}"
    if key in _groups():
        one_of(key, value, _options(key))  # raises
    if not _is_text(key, kind):
        return f"{word}: not understood; write {name}=VALUE" if is_setting(key, kind) else str(no_setting(key, kind))
    if "${" in value:
        return f"{word}: not understood; ${{ refers to another setting and cannot be in a text"
    cure = f"write key=value, with quotes around odd values: {assignment(name, value)}"
    return f"{word}: not understood; {cure}"


def _is_text(key: str, kind: type) -> bool:
    """Whether any text may be its value; so it is with Hydra's own settings, for all that is known here."""
    if key.startswith("hydra."):
        return True
    known = settings_of(kind)
    return key in known and str in (known[key][0].type, *typing.get_args(known[key][0].type))


def _explain_key(key: str, reason: str, cause: str, kind: type) -> str:
    if not is_setting(key, kind):
        return str(no_setting(key, kind))
    settings = settings_of(kind)
    if key in settings and (names := choices(settings[key][0].type)):  # a camera has no choices
        one_of(key, reason.rpartition("=")[2], names)  # raises
    return f"{key}: {cause}"
