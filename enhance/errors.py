"""What a user can mend, in one or two lines; and how the commands end on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend. The message names the file, key or value, and the cure."""


class SettingsError(UserError):
    """A setting that is unknown, of the wrong type, or out of range."""


class RunComplete(SettingsError):
    """A run that was to go on and has nothing left to do."""


class DataError(UserError):
    """A folder or an image that cannot be used."""


class CheckpointError(UserError):
    """A file that is no checkpoint of this project, or one of another model."""


class ExportError(UserError):
    """A model that cannot be had in another format."""


def script(name: str) -> str:
    """What a command is called here: `train.py`; `enhance-train` where it was started so, or there is no checkout."""
    installed = Path(sys.argv[0]).name.startswith("enhance-") or not (Path(__file__).parents[1] / f"{name}.py").exists()
    return f"enhance-{name}" if installed else f"{name}.py"


def command_line(name: str) -> str:
    """How people here start it: `python train.py`, or `enhance-train`."""
    return f"python {script(name)}" if script(name).endswith(".py") else script(name)


def extra(name: str) -> str:
    """How to install an extra of the package, which is there already: from the checkout, or from a wheel."""
    in_checkout = (Path(__file__).parents[1] / "pyproject.toml").exists()
    return f"pip install -e '.[{name}]'" if in_checkout else f"pip install 'enhance[{name}]'"


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End the process with exit code 2 and the message alone on a `UserError`, with 130 on Ctrl-C; anything else keeps
    its traceback."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from error
