"""Where the pairs of a data set lie on disk, and which low image belongs to which normal one: always by name."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from enhance.data.images import contents, list_images, shortened
from enhance.errors import DataError
from enhance.settings.schema import DataSettings

Layout = dict[str, tuple[str, str]]  # folders of low and normal images below the root, of "train" and of "test"


def _train_and_test(low: str, normal: str, above: str = "") -> Layout:
    return {part.lower(): (f"{above}{part}/{low}", f"{above}{part}/{normal}") for part in ("Train", "Test")}


LOL_V1: Layout = {"train": ("our485/low", "our485/high"), "test": ("eval15/low", "eval15/high")}
LOL_V2 = _train_and_test("Low", "Normal")
LOL_V2_REAL = _train_and_test("Low", "Normal", above="Real_captured/")
LOL_V2_SYNTHETIC = _train_and_test("Low", "Normal", above="Synthetic/")
RETINEXFORMER = _train_and_test("input", "target")

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "lol_v1": (LOL_V1, RETINEXFORMER),
    "lol_v2_real": (LOL_V2_REAL, LOL_V2, RETINEXFORMER),
    "lol_v2_synthetic": (LOL_V2_SYNTHETIC, LOL_V2, RETINEXFORMER),
    "pairs": (LOL_V1, LOL_V2, RETINEXFORMER, {"train": ("low", "normal")}, {"train": ("low", "high")}),
}


File = TypeVar("File")  # an image file, or the image opened from it


@dataclass(frozen=True)
class Pair(Generic[File]):
    """A dark and a bright image, named after the dark one; a photograph for the dim-light camera has no dark one."""

    name: str
    low: File | None
    normal: File


def data_root(data: DataSettings) -> Path:
    """The folder of the data set; a `DataError` where it is not given, or not there."""
    if data.root is None:
        raise DataError(f"data.root is missing: data={data.name} needs the folder of the data set, data.root=DIR")
    root = Path(data.root)
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder")
    return root


def find_pairs(data: DataSettings, split: str) -> list[Pair[Path]] | None:
    """The pairs of `split`, "train" or "test"; None where the layout has no test split or its folders are not there.

    Raises:
        DataError: no layout of the data set lies under the root (training only), one of two folders is missing or
            empty, or files of one folder have no partner in the other.
    """
    if data.name == "pairs" and (data.low is not None or data.normal is not None):
        if data.low is None or data.normal is None:
            raise DataError("data.low and data.normal go together: give both folders, or neither and data.root")
        root = Path(data.root or "")
        return match_pairs(root / data.low, root / data.normal) if split == "train" else None
    root = data_root(data)
    candidates = [layout[split] for layout in LAYOUTS[data.name] if split in layout]
    for enough in (all, any):  # a layout of which one folder is missing counts only where no other is complete
        for low, normal in candidates:
            if enough(((root / low).is_dir(), (root / normal).is_dir())):
                return match_pairs(root / low, root / normal)
    if split == "test":
        return None
    wanted = " or ".join(f"{low} + {normal}" for low, normal in candidates)
    raise DataError(f"data.root={root}: no pairs of data={data.name} here; looked for {wanted}; found {contents(root)}")


def match_pairs(low_folder: Path, normal_folder: Path) -> list[Pair[Path]]:
    """Pair the files of two folders that have the same name, suffix aside, or `low00001` and `normal00001`; sorted.

    Raises:
        DataError: a folder is missing or empty, two files of one folder differ only in their suffix, or files have
            no partner (names up to five).
    """
    lows, normals = by_stem(low_folder), by_stem(normal_folder)
    partners = {stem: stem if stem in normals else re.sub("^low", "normal", stem) for stem in lows}
    matched = Counter(partner for partner in partners.values() if partner in normals)
    alone = [lows[stem].name for stem, partner in partners.items() if partner not in normals]
    normals_alone = [path.name for stem, path in normals.items() if stem not in matched]
    problems = [
        f"{folder}: no partner in {other} for {len(names)} of its images: {shortened(names)}"
        for folder, other, names in ((low_folder, normal_folder, alone), (normal_folder, low_folder, normals_alone))
        if names
    ]
    if problems:
        raise DataError("\n".join(problems))
    if twice := sorted(partner for partner, count in matched.items() if count > 1):
        raise DataError(f"{low_folder}: more than one image fits {shortened(twice)} of {normal_folder}; rename them")
    return [Pair(stem, path, normals[partners[stem]]) for stem, path in lows.items()]


def by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without suffix; a `DataError` where two differ only in their suffix."""
    images: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in images:
            raise DataError(f"{folder}: {images[path.stem].name} and {path.name} have one name; rename or remove one")
        images[path.stem] = path
    return images
