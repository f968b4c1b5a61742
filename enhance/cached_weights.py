"""Other people's trained weights, where torch's cache already holds them: nothing is fetched."""

from pathlib import Path

import torch


def cached_file(url: str) -> Path:
    """Where torch keeps the file of that address; it need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.split("?")[0].rsplit("/", 1)[1]


def missing(file: Path, url: str) -> str:
    """What to tell where the file is not there."""
    return f"{file} is missing: get it from {url}"
