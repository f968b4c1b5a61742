"""Training steps of several processes under torchrun beside those of one, on this machine; and what more cards would do.
Settings are those of train.py, the batches are noise:

    python scripts/compare_processes.py model=unet_small norm=gn batch_size=8 --processes 2

Then a prediction for machines of 8 cards that sustain --tflops each, batch_size crops a card: docs/scale.md."""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time

import torch

from enhance import command, ranks
from enhance.device import choose_device, set_up_torch
from enhance.errors import told_to_the_user
from enhance.models.unet import build_unet, count_gflops, count_parameters
from enhance.norm.sync import SyncBatchNorm
from enhance.settings import Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter
from enhance.training.scaling import Cluster, efficiency


def step_seconds(settings: Settings) -> float:
    """Median of ten steps."""
    device = choose_device(settings.device)
    set_up_torch(settings.threads, settings.deterministic)
    learner, meter = Learner(settings, 100, device), Meter()
    shape = (settings.batch_size // ranks.count(), 3, settings.data.crop, settings.data.crop)
    batches = itertools.repeat((torch.randint(0, 256, shape, dtype=torch.uint8),) * 2)
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        learner.advance(batches, meter, watched=False)
        float(meter.grad_norm)  # waits for the device
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def measured(words: list[str], processes: int) -> float:
    """Of a step of that many processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([sys.executable, *torchrun, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout))


def compare(words: list[str], processes: int, rounds: int) -> None:
    settings = command.compose(words)
    share = [*words, f"batch_size={settings.batch_size // processes}"]
    speedups, costs = [], []
    for _ in range(rounds):
        one, part, all_together = measured(words, 1), measured(share, 1), measured(words, processes)
        speedups.append(one / all_together)
        costs.append(part / all_together)
    print(f"{processes} processes take {statistics.median(speedups):.2f} times the images per second of one;")
    print(f"of what each would do alone with its share, {statistics.median(costs):.0%} ({rounds} rounds, medians)\n")


def predict(settings: Settings, tflops: float) -> None:
    model = build_unet(settings.model, settings.norm)
    norms = sum(isinstance(module, SyncBatchNorm) for module in model.modules())
    crop = settings.data.crop
    compute = 3 * settings.batch_size * count_gflops(model, crop, crop) / (1e3 * tflops)  # backward takes two forwards
    print(f"predicted: {tflops:g} TFLOP/s a card, {1000 * compute:.1f} ms of computing a step\n")
    print("| cards | crops a step | efficiency |\n| ---: | ---: | ---: |")
    for cards in (1, 2, 8, 64, 512):
        share = efficiency(compute, 4 * count_parameters(model), 2 * norms, cards, Cluster())
        print(f"| {cards} | {cards * settings.batch_size} | {share:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tflops", type=float, default=20, help="what a card sustains (default: %(default)s)")
    args = parser.parse_args()
    if ranks.started_by_torchrun():
        with ranks.joined():
            print(json.dumps(step_seconds(command.compose(args.words))))
        return
    compare(args.words, args.processes, args.rounds)
    predict(command.compose(args.words), args.tflops)


if __name__ == "__main__":
    with told_to_the_user():
        main()
