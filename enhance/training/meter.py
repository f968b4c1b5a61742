"""What is measured over steps, and read together so that the device is rarely waited for."""

import time

import torch
from torch import Tensor

from enhance import ranks


class Meter:
    """Sums over steps, from now on."""

    def __init__(self) -> None:
        self.grad_norm = torch.tensor(0.0)  # of the last step
        self.waited = 0.0  # seconds for data
        self._began = time.perf_counter()
        self._images = 0
        self._batches: Tensor | int = 0  # those whose loss is finite
        self._sums: dict[str, Tensor] = {}

    def add(self, images: int, loss: Tensor, parts: dict[str, Tensor]) -> None:
        """Count one batch; its values where its loss is finite."""
        self._images += images
        finite = loss.isfinite()
        self._batches = self._batches + finite
        values = {"loss": loss} | parts
        self._sums = {name: self._sums.get(name, 0) + value.where(finite, 0) for name, value in values.items()}

    def read(self) -> dict[str, float]:
        """Means over the ranks; NaN where no loss was finite."""
        sums = ranks.all_sum(torch.stack([torch.as_tensor(self._batches).float(), *self._sums.values()]))
        means = (sums[1:] / sums[0]).tolist()
        seconds = time.perf_counter() - self._began
        return {f"train/{name}": mean for name, mean in zip(self._sums, means, strict=True)} | {
            "train/grad_norm": self.grad_norm.item(),
            "system/images_per_second": self._images * ranks.world_size() / seconds,
            "system/data_wait": self.waited / seconds,
        }


class Skipped:
    """Counts steps that are not taken, because a gradient of any rank is not finite."""

    def __init__(self, total: int = 0) -> None:
        self.total = total  # of the run
        self.in_a_row = 0  # up to the last step that was read
        self.flags: list[Tensor] = []  # of the steps since the last reading: whether each was skipped

    def read(self, step: int) -> list[int]:
        """Those of the steps since the last reading that were skipped; `step` is the number of the last one."""
        flags = ranks.all_sum(torch.stack(self.flags).float()).tolist() if self.flags else []
        self.flags = []
        for flag in flags:
            self.in_a_row = self.in_a_row + 1 if flag else 0
        skipped = [number for number, flag in enumerate(flags, step - len(flags) + 1) if flag]
        self.total += len(skipped)
        return skipped
