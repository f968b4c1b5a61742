"""Weights in the box: networks that enhance a photograph at once. README.md, beside them, is their model card."""

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "any_photo"


def find(name: str) -> Path | None:
    """The file of the weights of that name; None where there are none."""
    file = FOLDER / f"{name}.safetensors"
    return file if file.is_file() and file.parent == FOLDER else None
