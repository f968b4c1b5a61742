"""What data a run learns from, by content and not by place: a hash of the images' names, sizes and parts."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from enhance.data.open import open_data
from enhance.data.shards import Member
from enhance.errors import DataError
from enhance.settings.schema import DataSettings


def with_content(data: DataSettings) -> DataSettings:
    """The settings with `content` filled in; a `DataError` where it asks for other data, or these are not there."""
    content = fingerprint(data)
    if data.content not in (None, content):
        cure = "give the place of those with data.root=, or leave data.content out"
        raise DataError(f"data.content={data.content}: the images here are others, {content}; {cure}")
    return dataclasses.replace(data, content=content)


def fingerprint(data: DataSettings) -> str:
    """12 hexadecimal digits, from the heads of the files of all parts but a test folder; a damaged file counts with its
    name. Raises as `open_data`."""
    if data.name == "demo":
        return "demo"
    listed = open_data(data).listed
    entries = [(part, pair.name, *_size(pair.normal)) for part, pairs in listed.items() for pair in pairs]
    return hashlib.sha256(json.dumps(sorted(entries)).encode()).hexdigest()[:12]


def _size(file: Any) -> tuple[int, int]:
    """Width and height; 0, 0 of a damaged file."""
    try:
        if isinstance(file, Member):
            return file.size()[::-1]
        with Image.open(Path(file)) as image:
            return image.size
    except Exception:  # Pillow raises many kinds, for as many kinds of damage; opening the data names it
        return 0, 0
