"""What another method made of the dark images of a data set: a folder of images, to be scored as a model is."""

import re
from pathlib import Path

from torch import Tensor

from enhance.data.images import read_image, shortened, to_tensor
from enhance.data.kinds import SUFFIXES
from enhance.data.matching import by_stem
from enhance.data.pairs import PairSource, channels_of
from enhance.errors import DataError
from enhance.run.checkpoint import BEST


class Outputs:
    """The images of `folder`, one for each pair of `source`: `outputs[index]` is (C, H, W) in [0, 1], C as theirs.
    They are named as the pairs are, or all with one prefix and suffix more, or as the normal images of LOL v2.

    Raises:
        DataError: there is none for some pairs, or one cannot be read, or has another size than its reference.
    """

    def __init__(self, folder: Path, source: PairSource) -> None:
        self.folder, self.sizes, self.channels = folder, source.sizes, channels_of(source)
        images = by_stem(folder)
        names = [re.sub(f"({'|'.join(map(re.escape, SUFFIXES))})$", "", name, flags=re.I) for name in source.names]
        stems = _partners(names, list(images))
        if absent := [name for name, stem in zip(source.names, stems, strict=True) if stem not in images]:
            found = f"it holds {shortened([path.name for path in images.values()])}"
            cure = "name them as the dark images, or all with one prefix and suffix more"
            raise DataError(
                f"{folder}: no image for {len(absent)} of {len(names)} pairs: {shortened(absent)}; {found}\n{cure}"
            )
        self.files = [images[stem] for stem in stems]
        for index in range(len(names)):  # what is wrong with one is told before anything is written
            self[index]
        self.others = [images[stem].name for stem in images.keys() - set(stems)]

    def __getitem__(self, index: int) -> Tensor:
        image = to_tensor(read_image(self.files[index], channels=self.channels))
        (height, width), (rows, columns) = image.shape[-2:], self.sizes[index]
        if (height, width) != (rows, columns):
            wanted = f"{width}x{height} px, and its reference {columns}x{rows}"
            raise DataError(f"{self.files[index]}: is {wanted}: save it at the size of the dark image")
        return image

    def remarks(self) -> list[str]:
        """A line about images that are of no pair; none where all are."""
        unused = f"{len(self.others)} images of {self.folder} are of none of these pairs"
        return [f"{unused}: {shortened(sorted(self.others))}"] if self.others else []


def is_folder_of_outputs(path: Path) -> bool:
    """Whether a folder holds images, and no run."""
    if not path.is_dir() or any((path / name).exists() for name in (BEST, "config.yaml")):
        return False
    return any(file.suffix.lower() in SUFFIXES for file in path.rglob("*"))


def _partners(names: list[str], stems: list[str]) -> list[str]:
    """The stem of each name's output, by the rule that finds most."""
    around = {tuple(stem.split(names[0], 1)) for stem in stems if names[0] in stem}
    rules = [names, [re.sub("^low", "normal", name) for name in names]]
    rules += [[f"{before}{name}{after}" for name in names] for before, after in sorted(around)]
    return max(rules, key=lambda wanted: len(set(wanted) & set(stems)))
