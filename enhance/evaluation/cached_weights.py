"""Other people's trained weights, where torch's cache already holds them: nothing is fetched."""

from pathlib import Path

import torch


def cached_file(url: str) -> Path:
    """Where torch keeps the file of that address; it need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.split("?")[0].rsplit("/", 1)[1]


def missing(file: Path, url: str) -> str:
    """What to tell where the file is not there."""
    return f"{file} is missing: get it from {url}"


def damaged(file: Path, url: str, error: Exception) -> str:
    """What to tell where the file is there, and what reads it raised `error`."""
    return f"{file} does not hold its weights ({type(error).__name__}): delete it, and get it again from {url}"
