"""What makes two runs the same: one list, which sweeps, resuming and studies share.

The list is the `role` at each field of `schema`: how the machine works, where things lie and what a run is called make
no other result. Data count by their content (`data.content`), not by their place.
"""

import hashlib
import json
from collections.abc import Iterable

from enhance.settings.schema import LABEL, MACHINE, PLACE, Settings, flat

NOT_IDENTITY = {key: field.metadata["role"] for key, (field, _) in flat(Settings()).items() if field.metadata["role"]}
PLACES = tuple(key for key, role in NOT_IDENTITY.items() if role == PLACE)
MOVABLE = tuple(key for key, role in NOT_IDENTITY.items() if role in (PLACE, MACHINE))  # when a run goes on
LABELS = tuple(key for key, role in NOT_IDENTITY.items() if role == LABEL)


def identity(settings: Settings) -> str:
    """A hash of what a run is, 12 hexadecimal digits, with `data.content` filled in: equal for two runs that end in the
    same result, up to rounding on another machine.

    Settings at their defaults do not enter, so that a setting added later leaves the hashes of older runs as they are.
    Changing a default gives older runs the hash of the new default: docs/study then needs its column `id` anew, which
    a test notices.
    """
    defaults = flat(Settings())
    differing = {
        key: value
        for key, (_, value) in flat(settings).items()
        if key not in NOT_IDENTITY and (key not in defaults or defaults[key][1] != value)
    }
    return hashlib.sha256(json.dumps(differing, sort_keys=True).encode()).hexdigest()[:12]


def move(settings: Settings, to: Settings, keys: Iterable[str] = MOVABLE) -> None:
    """Give the settings of a run, in place, those of another place or machine."""
    for key in keys:
        group, _, name = key.rpartition(".")
        target, source = ((getattr(each, group) if group else each) for each in (settings, to))
        setattr(target, name, getattr(source, name))
