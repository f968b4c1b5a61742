"""Where the pairs of a data set lie on disk."""

import re
from pathlib import Path

from enhance.data.images import contents, tell
from enhance.data.matching import Pair, match_pairs
from enhance.errors import DataError
from enhance.settings.schema import DataSettings, OnError

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

# What people call the folder of a side, and that of a part, but for case and anything that is no letter.
LOW_NAMES = ("low", "lowlight", "dark", "input", "inputs", "inp", "lq")
NORMAL_NAMES = ("normal", "normallight", "high", "bright", "gt", "groundtruth", "target", "targets", "tar", "hq")
_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("test", "testing", "eval", "val", "validation")  # the first that is there
_DEEPEST = 2  # folders below the root


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
            empty, files of one folder have no partner in the other, or `data.pattern` is none.
    """
    skip = data.on_error == OnError.skip
    if data.name == "pairs" and (data.low is not None or data.normal is not None):
        if data.low is None or data.normal is None:
            raise DataError("data.low and data.normal go together: give both folders, or neither and data.root")
        root = Path(data.root or "")
        return match_pairs(root / data.low, root / data.normal, data.pattern, skip) if split == "train" else None
    root = data_root(data)
    candidates = [layout[split] for layout in LAYOUTS[data.name] if split in layout]
    for enough in (all, any):  # a layout of which one folder is missing counts only where no other is complete
        for low, normal in candidates:
            if enough(((root / low).is_dir(), (root / normal).is_dir())):
                return match_pairs(root / low, root / normal, data.pattern, skip)
        if data.name == "pairs" and enough is all and (sides := _search(root, split)):
            tell(f"data=pairs, {split}: {sides[0]} with {sides[1]}")
            return match_pairs(*sides, data.pattern, skip)
    if split == "test":
        return None
    wanted, cure = " or ".join(f"{low} + {normal}" for low, normal in candidates), "data=pairs finds other layouts"
    if data.name == "pairs":
        named = f"a folder named {', '.join(LOW_NAMES)} beside one named {', '.join(NORMAL_NAMES)}"
        wanted, cure = f"{named}, up to {_DEEPEST} folders down", "any two folders: data.low=DIR data.normal=DIR"
    found = f"looked for {wanted}; found {contents(root)}"
    raise DataError(f"data.root={root}: no pairs of data={data.name} here; {found}\n{cure}")


def _search(root: Path, split: str) -> tuple[Path, Path] | None:
    """The low and the normal folder that lie side by side the least far down, in a folder named as a test part or not;
    of several as far down, those in one named as a training part. A `DataError` where they are several still."""
    names = _TEST_NAMES if split == "test" else _TRAIN_NAMES
    level = [root]
    for _ in range(_DEEPEST + 1):
        homes: dict[tuple[Path, Path], list[str]] = {}  # with the letters of the folders' names below the root
        for folder in level:
            parts = [_letters(part) for part in folder.relative_to(root).parts]
            if (sides := _side_by_side(folder)) and any(part in _TEST_NAMES for part in parts) == (split == "test"):
                homes[sides] = parts
        for name in names:
            if named := [sides for sides, parts in homes.items() if name in parts]:
                homes = {sides: [] for sides in named}
                break
        if len(homes) > 1:
            several = " and ".join(str(low.parent) for low, _ in homes)
            raise DataError(f"data.root={root}: pairs lie in {several}; give one of them as data.root")
        if homes:
            return next(iter(homes))
        level = [child for folder in level for child in _folders(folder) if not _is_side(child)]
    return None


def _side_by_side(folder: Path) -> tuple[Path, Path] | None:
    """The one low and the one normal folder in it; None where there are not just these."""
    folders = list(_folders(folder))
    low, normal = ([each for each in folders if _letters(each.name) in names] for names in (LOW_NAMES, NORMAL_NAMES))
    return (low[0], normal[0]) if len(low) == len(normal) == 1 else None


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def _is_side(folder: Path) -> bool:
    return _letters(folder.name) in LOW_NAMES + NORMAL_NAMES


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.casefold())
