"""The places that a user names: which of them a data set knows, and whether two are one."""

from pathlib import Path

from enhance.data.layouts import LAYOUTS
from enhance.errors import DataError
from enhance.settings import PLACES, DataSettings
from enhance.settings.checks import one_of

_KNOWN_PLACES = {"demo": (), "photos": ("root", "val_root"), "pairs": ("root", "low", "normal", "split")}


def check_places(data: DataSettings) -> None:
    """See that the data set takes the places that are given.

    Raises:
        DataError: an unknown data set, a place that means nothing to it, or one folder for two things.
    """
    one_of("data.name", data.name, ("demo", "photos", "shards", *LAYOUTS))
    if data.other_cameras and not data.through_camera:
        raise DataError(f"data.other_cameras means nothing to data={data.name}: choose data=photos, or leave it out")
    places = _KNOWN_PLACES.get(data.name, ("root", "split"))
    for key in PLACES:
        if getattr(data, key) is not None and key not in places:
            raise DataError(
                f"data.{key}={getattr(data, key)} means nothing to data={data.name}; "
                "choose the data set that lies there: data=photos, lol_v1, lol_v2_real, lol_v2_synthetic, pairs, shards"
            )
    for one, other in (("root", "val_root"), ("low", "normal")):
        folder = getattr(data, one)
        if folder is not None and same(folder, getattr(data, other)):
            raise DataError(f"data.{one} and data.{other} are one folder, {folder}: give two")


def same(place: str | None, other: str | None) -> bool:
    """Whether both are one place, however they are written."""
    if place is None or other is None:
        return place == other
    return Path(place).resolve() == Path(other).resolve()
