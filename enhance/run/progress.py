"""The progress of a run on the screen: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import suppress

from tqdm import tqdm

_LINES = 40  # that a whole run prints without a bar


class Progress:
    """Shows step of total, loss, learning rate, images/s, share of waiting for data, PSNR and time left.

    Args:
        start, total: the first step of this process, and the steps of the run.
        bar: show a bar, on a terminal.
    """

    def __init__(self, start: int, total: int, bar: bool) -> None:
        self.total = total
        self.start = self.shown = start
        self.began = time.monotonic()
        self.psnr = ""
        self.bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True) if bar else None

    def show(self, step: int, loss: float, lr: float, images_per_second: float, data_wait: float) -> None:
        """Bring the display to `step`; `data_wait` is a share of the time, between 0 and 1."""
        facts = f"loss {loss:.4f}, lr {lr:.1e}, {images_per_second:.0f} images/s, data {data_wait:.1%}{self.psnr}"
        if self.bar is not None:
            self.bar.set_postfix_str(facts, refresh=False)
            self.bar.update(step - self.bar.n)
        elif step - self.shown >= max(1, self.total // _LINES) or step == self.total:
            self.shown = step
            left = (time.monotonic() - self.began) / max(1, step - self.start) * (self.total - step)
            print_line(f"step {step}/{self.total}: {facts}, {tqdm.format_interval(left)} left")

    def validated(self, line: str, last: float, best: float) -> None:
        """Print the line of a validation, and show its PSNR from now on."""
        self.psnr = f", PSNR {last:.2f} (best {best:.2f})"
        print_line(line)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def print_line(line: str) -> None:
    """Print a line without tearing a bar. A full disk behind it, or a reader that has ended, ends no run."""
    with suppress(OSError):
        tqdm.write(line)
        sys.stdout.flush()
