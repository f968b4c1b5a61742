"""What is measured over the steps between two readings of the loss."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from enhance import ranks


class Meter:
    """Sums of a few steps, read together so that the device is rarely waited for."""

    def __init__(self) -> None:
        self.grad_norm = torch.tensor(0.0)
        self._restart()

    def _restart(self) -> None:
        self.began = time.perf_counter()
        self.waited = 0.0
        self.images = 0
        self.batches: Tensor | int = 0
        self.sums: dict[str, Tensor] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time within as waiting for data."""
        start = time.perf_counter()
        yield
        self.waited += time.perf_counter() - start

    def add(self, images: int, loss: Tensor, parts: dict[str, Tensor]) -> None:
        """Count one batch; its values where its loss is finite."""
        self.images += images
        finite = loss.isfinite()
        self.batches = self.batches + finite
        values = {"loss": loss} | parts
        self.sums = {name: self.sums.get(name, 0) + value.where(finite, 0) for name, value in values.items()}

    def read(self) -> dict[str, float]:
        """Means over the ranks since the last reading; NaN where no loss was finite."""
        sums = ranks.all_sum(torch.stack([torch.as_tensor(self.batches).float(), *self.sums.values()]))
        means = {f"train/{name}": value for name, value in zip(self.sums, (sums[1:] / sums[0]).tolist(), strict=True)}
        seconds = time.perf_counter() - self.began
        values = means | {
            "train/grad_norm": self.grad_norm.item(),
            "system/images_per_second": self.images * ranks.world_size() / seconds,
            "system/data_wait": self.waited / seconds,
        }
        self._restart()
        return values
