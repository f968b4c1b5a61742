"""Training crops a second by ours, from decoded files that are mapped into memory, and by a plain data set, which
decodes both files with Pillow, crops, and neither flips nor turns: with as many workers, in turn, round after round.
What is made before the clock starts (workers, decoded files, first batches) does not count."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from enhance.data.batches import training_batches
from enhance.data.demo import training_photographs
from enhance.data.layouts import find_pairs
from enhance.data.matching import Pair
from enhance.data.open import open_data
from enhance.errors import exit_on_user_error
from enhance.settings.schema import DataSettings


class Plain(Dataset[list[Tensor]]):
    def __init__(self, pairs: list[Pair], crop: int) -> None:
        self.pairs, self.crop = pairs, crop

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> list[Tensor]:
        pair, size = self.pairs[index], self.crop
        low, normal = (np.asarray(Image.open(path).convert("RGB")) for path in (pair.low, pair.normal))
        top, left = (int(torch.randint(side - size + 1, ())) for side in low.shape[:2])
        return [torch.from_numpy(image[top : top + size, left : left + size].copy()) for image in (low, normal)]


def draw_pairs(root: Path) -> Path:
    """The demo's photographs at LOL's 600x400, and the same at a fifth of the brightness, with a little noise."""
    for name, pixels in training_photographs().items():
        normal = Image.fromarray(pixels).resize((600, 400), Image.Resampling.BICUBIC)
        low = np.asarray(normal) / 5 + np.random.default_rng(0).normal(0, 2, (400, 600, 3))
        for side, image in (("low", Image.fromarray(low.clip(0, 255).astype(np.uint8))), ("normal", normal)):
            (root / side).mkdir(parents=True, exist_ok=True)
            image.save(root / side / f"{name}.png")
    return root


def speed(batches: Iterable, warm_up: int, batch_size: int) -> float:
    marks = [time.perf_counter() for _ in batches][warm_up:]
    return batch_size * (len(marks) - 1) / (marks[-1] - marks[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "root", metavar="DIR", type=Path, nargs="?", help="pairs (data/README.md); None: some are drawn"
    )
    for name, value in (("workers", 2), ("batch-size", 8), ("crop", 128), ("rounds", 7), ("batches", 30)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    warm_up, size, speeds, opening = 2 * args.workers, args.batch_size, [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = args.root or draw_pairs(Path(scratch) / "pairs")
        data = DataSettings(name="pairs", root=str(root), cache=f"{scratch}/decoded")
        for _ in range(2):
            start = time.perf_counter()
            source = open_data(data).training
            opening.append(time.perf_counter() - start)
        images, count = Plain(find_pairs(data, "train") or [], args.crop), args.batches + warm_up
        for _ in range(args.rounds):
            ours = training_batches(source, args.crop, size, 0, 10 * args.batches + warm_up, 0, args.workers)
            endless = RandomSampler(images, replacement=True, num_samples=count * size)
            plain = DataLoader(images, size, sampler=endless, num_workers=args.workers)
            speeds.append((speed(ours, warm_up, size), speed(plain, warm_up, size)))
    print(f"{len(images)} pairs opened in {opening[0]:.2f} s, and again, decoded, in {opening[1]:.3f} s")
    columns = {"ours, crops/s": [one for one, _ in speeds], "plain, crops/s": [other for _, other in speeds]}
    columns["ours / plain"] = [one / other for one, other in speeds]
    for name, values in columns.items():
        print(f"{name:14s} {statistics.median(values):8.1f}, between {min(values):.1f} and {max(values):.1f}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
