"""What a user can mend, in one or two lines; and how the commands end on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
