"""Hydra's own flags, such as `-m` and `--cfg job`: what is wrong with one is told as a wrong word is."""

import re
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from enhance.errors import SettingsError
from enhance.settings.checks import no_setting, settings_of


def checked(words: list[str], kind: type) -> list[str]:
    """The words of a command line, flags behind the assignments where they stood between them, which Hydra cannot read.
    A `SettingsError` where a flag is unknown, has no value or a wrong one, or does not go with the others."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(words)
    modes = {
        "--run": given.run,
        "--multirun": given.multirun,
        "--cfg": given.cfg is not None,
        "--info": given.info is not None,
        "--shell-completion": given.shell_completion,
    }
    if len(chosen := [flag for flag, is_given in modes.items() if is_given]) > 1:
        raise SettingsError(f"{' and '.join(chosen)} do not go together: give one of them")
    if given.cfg is None and (given.package is not None or (given.resolve and not given.help)):
        flag = "--resolve" if given.package is None else "--package"
        raise SettingsError(f"{flag} is for what --cfg prints: give --cfg job too, or leave it out")
    if given.package is not None and not _is_group(given.package, kind):
        raise no_setting(given.package, kind)
    if given.config_dir is not None and not Path(given.config_dir).is_dir():
        form = "it holds files of your own, as DIR/experiment/NAME.yaml"
        raise SettingsError(f"--config-dir {given.config_dir}: no such folder; {form}")
    shells = "(install|uninstall|query)=(bash|fish|zsh)"
    if given.shell_completion and not re.fullmatch(shells, " ".join(given.overrides)):
        raise SettingsError("--shell-completion takes one word: install=bash, or uninstall=, and bash, fish or zsh")
    if given.experimental_rerun is not None:
        raise SettingsError(
            "--experimental-rerun is not for this program: resume=RUN goes on, and config.yaml says how"
        )
    if parser.parse_known_args(words)[1]:
        words = [*given.overrides, *(word for word in words if word not in given.overrides)]
    return words


def _refuse(message: str) -> NoReturn:
    """In place of argparse's page of usage."""
    raise SettingsError(f"{message}; settings are key=value, without dashes, and --hydra-help lists the flags")


def _is_group(package: str, kind: type) -> bool:
    """Whether --package names settings to print."""
    own = package.startswith(("hydra", "_"))
    return own or any(f"{key}.".startswith(f"{package}.") for key in settings_of(kind))
