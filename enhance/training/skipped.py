"""Steps that are not taken, because their gradient is not finite."""

import torch
from torch import Tensor

from enhance import ranks


class Skipped:
    """Counts such steps, of any rank. They are noted on the device, and read together so that the device is rarely
    waited for."""

    def __init__(self, total: int = 0) -> None:
        self.total = total  # of the run
        self.in_a_row = 0  # up to the last step that was read
        self._flags: list[Tensor] = []

    def note(self, skipped: Tensor) -> None:
        """Take in whether the next step was skipped, a number: 1 or 0."""
        self._flags.append(skipped)

    def read(self, step: int) -> list[int]:
        """Those of the steps since the last reading that were skipped; `step` is the number of the last one."""
        flags = ranks.all_sum(torch.stack(self._flags).float()).tolist() if self._flags else []
        first = step - len(flags) + 1
        self._flags = []
        for flag in flags:
            self.in_a_row = self.in_a_row + 1 if flag else 0
        skipped = [first + index for index, flag in enumerate(flags) if flag]
        self.total += len(skipped)
        return skipped
