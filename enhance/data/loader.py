"""From the settings to the pairs of training, validation and test; and the stream of training batches."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from enhance.data import demo
from enhance.data.cache import Cache, OpenedImage, open_images
from enhance.data.images import list_images, shortened
from enhance.data.layouts import Pair, find_pairs
from enhance.data.opened import OpenedPairs, check_sides, check_some, pairs_to_score, real_pairs, size_told
from enhance.data.pairs import CameraPairs, PairSource, RealPairs, spread
from enhance.data.places import check_places
from enhance.data.scenes import group_scenes, hold_out, perceptual_hash
from enhance.data.shards import find_shards, open_shards
from enhance.data.split import PARTS, read_split
from enhance.data.workers import leave_signals_alone, shared
from enhance.errors import DataError, UserError
from enhance.settings import DataSettings


def open_training(data: DataSettings) -> tuple[PairSource, PairSource]:
    """The training and the validation pairs; every image is decoded once, and the test split is not touched.

    Validation pairs are whole scenes held out of the training set. Which ones depends on the images and their names
    alone, so that runs with different seeds are scored on the same photographs.

    Raises:
        DataError: anything that keeps the data from being trained on.
    """
    check_places(data)
    train, validation = _open_training(data)
    if data.training_images is None:
        return train, validation
    if data.training_images > len(train):
        raise DataError(f"data.training_images={data.training_images}: there are {len(train)}; lower it")
    return spread(train, data.training_images), validation


def _open_training(data: DataSettings) -> tuple[PairSource, PairSource]:
    if data.name == "demo":
        train = _in_memory(demo.training_photographs())
        validation = _in_memory(demo.validation_photographs())
        left_out: list[str] = []
    elif data.name == "photos":
        train, validation, left_out = _open_photographs(data)
    elif data.name == "shards":
        parts = _open_shards(data)
        return parts["training"], parts["validation"]
    else:
        return _open_pairs(data)
    check_sides(validation)
    return _through_camera(train, data, left_out), _through_camera(validation, data, left_out)


def open_test(data: DataSettings) -> PairSource | None:
    """The test pairs, or None where the data set has none or their folders are not there.

    Raises:
        DataError: the test pairs are there and cannot be used.
    """
    check_places(data)
    if data.through_camera:
        return None
    if data.name == "shards":
        there = find_shards(_root(data), "test")
        return pairs_to_score(*_read_shards(data, "test")) if there else None
    pairs = find_pairs(data, "test")
    if pairs is None:
        return None
    return _openpairs_to_score(pairs, data, Cache(data.cache_gib, data.cache))


def open_report(data: DataSettings) -> PairSource | None:
    """The pairs that nothing was trained or chosen on, where `data.split` names some; else None.

    Raises:
        DataError: as `open_training`.
    """
    if data.split is None:
        return None
    if data.name == "shards":
        return _open_shards(data).get("report")
    pairs = find_pairs(data, "train")
    assert pairs is not None  # only the test split may be missing
    part_of = read_split(Path(data.split), [pair.name for pair in pairs])
    report = [pair for pair in pairs if part_of[pair.name] == "report"]
    return _openpairs_to_score(report, data, Cache(data.cache_gib, data.cache)) if report else None


def _in_memory(photographs: dict[str, np.ndarray]) -> list[OpenedImage]:
    return [
        OpenedImage(name, pixels.shape[:2], perceptual_hash(pixels), pixels) for name, pixels in photographs.items()
    ]


def _open_photographs(data: DataSettings) -> tuple[list[OpenedImage], list[OpenedImage], list[str]]:
    """Those to train on, those held out, and why others are left out."""
    if data.root is None:
        raise DataError("data.root is missing: data=photos needs a folder of photographs, data.root=DIR")
    cache = Cache(data.cache_gib, data.cache)
    paths = list_images(data.root)
    if data.val_root is not None:
        held_paths = list_images(data.val_root)
        opened, left_out = _open(paths + held_paths, data, cache)
        train, held = ([opened[path] for path in part if path in opened] for part in (paths, held_paths))
        for part in (train, held):
            check_some(part, left_out)
        return train, held, left_out
    opened, left_out = _open(paths, data, cache)
    images = list(opened.values())
    check_some(images, left_out)
    scenes = group_scenes([image.hash for image in images])
    parts = hold_out([image.name for image in images], scenes, data.validation_share)
    train, held = ([images[index] for index in part] for part in parts)
    return train, held, left_out


def _open(paths: list[Path], data: DataSettings, cache: Cache) -> tuple[dict[Path, OpenedImage], list[str]]:
    """As `data.on_error` says; and why images are left out."""
    left_out: list[str] = []
    opened = open_images(paths, cache, left_out if data.on_error == "skip" else None)
    return opened, left_out


def _through_camera(images: list[OpenedImage], data: DataSettings, left_out: list[str]) -> CameraPairs:
    return CameraPairs([image.name for image in images], images, data.camera, left_out)


def _open_pairs(data: DataSettings) -> tuple[RealPairs, RealPairs]:
    pairs = find_pairs(data, "train")
    assert pairs is not None  # only the test split may be missing
    cache = Cache(data.cache_gib, data.cache)
    if data.split is not None:
        part_of = read_split(Path(data.split), [pair.name for pair in pairs])
        to_train = [pair for pair in pairs if part_of[pair.name] == "training"]
        to_choose = [pair for pair in pairs if part_of[pair.name] == "validation"]
        return real_pairs(*_open_both(to_train, data, cache)), _openpairs_to_score(to_choose, data, cache)
    images, left_out = _open_both(pairs, data, cache)
    opened = list(images)
    scenes = group_scenes([normal.hash for _, normal in images.values()])
    parts = hold_out([pair.name for pair in opened], scenes, data.validation_share)
    train, held = ({opened[index]: images[opened[index]] for index in part} for part in parts)
    check_sides([normal for _, normal in held.values()])
    return real_pairs(train, left_out), real_pairs(held, left_out)


def _openpairs_to_score(pairs: list[Pair], data: DataSettings, cache: Cache) -> RealPairs:
    return pairs_to_score(*_open_both(pairs, data, cache))


def _root(data: DataSettings) -> Path:
    if data.root is None:
        raise DataError(f"data.root is missing: data={data.name} needs the folder of the data set, data.root=DIR")
    return Path(data.root)


def _read_shards(data: DataSettings, split: str) -> tuple[OpenedPairs, list[str]]:
    left_out: list[str] = []
    images = open_shards(_root(data), split, left_out if data.on_error == "skip" else None)
    check_some(list(images), left_out)
    return images, left_out


def _open_shards(data: DataSettings) -> dict[str, RealPairs]:
    """Training, validation, and a report part where `data.split` names one; else by name: scenes take decoding all."""
    images, left_out = _read_shards(data, "train")
    names = [pair.name for pair in images]
    if data.split is None:
        train, held = hold_out(names, np.arange(len(names)), data.validation_share)
        parts = {"training": train, "validation": held}
    else:
        part_of = read_split(Path(data.split), names)
        parts = {part: [n for n, name in enumerate(names) if part_of[name] == part] for part in PARTS}
    both = list(images.items())
    chosen = {part: dict(both[n] for n in indices) for part, indices in parts.items() if indices}
    pairs = {"training": real_pairs(chosen.pop("training"), left_out)}
    return pairs | {part: pairs_to_score(others, []) for part, others in chosen.items()}


def _open_both(pairs: list[Pair], data: DataSettings, cache: Cache) -> tuple[OpenedPairs, list[str]]:
    """The images of each pair, and why pairs are left out."""
    opened, left_out = _open([path for pair in pairs for path in (pair.low, pair.normal)], data, cache)
    images = {
        pair: (opened[pair.low], opened[pair.normal]) for pair in pairs if pair.low in opened and pair.normal in opened
    }
    check_some(list(images), left_out)
    odd = [
        f"{pair.low} {size_told(low)} and {pair.normal} {size_told(normal)}"
        for pair, (low, normal) in images.items()
        if low.size != normal.size
    ]
    if odd:
        raise DataError(f"{len(odd)} pairs differ in size, width x height: {shortened(odd)}; replace or remove them")
    return images, left_out


def training_batches(
    source: PairSource,
    crop: int,
    batch_size: int,
    first_batch: int,
    last_batch: int,
    seed: int,
    workers: int,
    pin_memory: bool = False,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Tensor]:
    """Batches `first_batch` to `last_batch` - 1 of the endless stream of training crops.

    Sample n belongs to epoch n // len(source), whose order is a permutation drawn from (seed, epoch); its crop, its
    flips and its exposure are drawn from (seed, n); batch k holds the samples from k * batch_size on. So a run that
    goes on sees what it would have seen, the order of the images does not depend on the batch size, and nothing
    depends on the number of workers. Of several ranks, each takes its part of every batch.

    Args:
        batch_size: of all ranks together; a multiple of `ranks`.

    Yields:
        Low and normal, uint8 (2, N, 3, crop, crop), each in channels_last memory format.
    """
    share = batch_size // ranks
    starts = (k * batch_size + rank * share for k in range(first_batch, last_batch))
    batches = (range(start, start + share) for start in starts)
    loader = DataLoader(
        _Samples(source, crop, seed),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,  # page-locked, for the way to a CUDA device
        worker_init_fn=leave_signals_alone,
        generator=torch.Generator(),  # else the loader draws from torch's own, which the training uses
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def crop_names(source: PairSource, crops: range, seed: int) -> list[str]:
    """Names of the images that crops of `training_batches` are cut from, counted over the run."""
    places = (divmod(crop, len(source)) for crop in crops)
    return [source.names[_order(len(source), seed, epoch)[position]] for epoch, position in places]


_Sample = tuple[np.ndarray, np.ndarray] | UserError


class _Samples(Dataset[_Sample]):
    def __init__(self, source: PairSource, crop: int, seed: int) -> None:
        self.source = source
        self.crop = crop
        self.seed = seed

    def __getitem__(self, sample: int) -> _Sample:
        epoch, position = divmod(sample, len(self.source))
        index = _order(len(self.source), self.seed, epoch)[position]
        try:
            return self.source.crop(int(index), self.crop, np.random.default_rng([self.seed, sample]))
        except UserError as error:  # of a worker, torch would tell it with a traceback for its message
            return error


@functools.lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 1]).permutation(length)  # the 1 parts it from sample n = epoch


def _collate(samples: list[_Sample]) -> Tensor | UserError:
    """All in one tensor: a worker hands each over by itself, which takes longer than to copy it."""
    pairs = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        pairs.append(sample)
    images = np.stack([crop for side in zip(*pairs, strict=True) for crop in side])
    batch = torch.from_numpy(images).unflatten(0, (2, len(samples))).permute(0, 1, 4, 2, 3)
    return batch if get_worker_info() is None else shared(batch)
