"""Training steps of several processes under torchrun beside those of one, on this machine, in turn; and what more cards
would do. Settings are those of train.py:

    python benchmarks/compare_processes.py model=unet_small norm=gn batch_size=8 threads=1 --processes 2

The prediction is for machines of 8 cards that sustain --tflops each, with batch_size crops a card: docs/scale.md."""

import argparse
import statistics
import subprocess
import sys
import time

from enhance import ranks
from enhance.cost.profile import bare_steps
from enhance.errors import told_to_the_user
from enhance.models.unet import build_unet, count_gflops, count_parameters
from enhance.norm.sync import SyncBatchNorm
from enhance.settings import Settings, command
from enhance.training.scaling import Cluster, efficiency


def step_seconds(settings: Settings) -> float:
    with bare_steps(settings) as step:
        seconds = []
        for _ in range(12):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])  # the first two also pay for set-up


def measured(words: list[str], processes: int) -> float:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([sys.executable, *torchrun, __file__, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return float(done.stdout.split()[-1])


def compare(words: list[str], processes: int, rounds: int) -> None:
    share = [*words, f"batch_size={command.compose(words).batch_size // processes}"]
    speedups, parts = [], []
    for _ in range(rounds):
        one, part, together = measured(words, 1), measured(share, 1), measured(words, processes)
        speedups.append(one / together)
        parts.append(part / together)
    median, low, high = statistics.median(speedups), min(speedups), max(speedups)
    print(f"{processes} processes: {median:.2f} times the images/s of one ({low:.2f} to {high:.2f}, {rounds} rounds)")
    print(f"each works at {statistics.median(parts):.0%} of what a process does with that share of a batch, alone\n")


def predict(settings: Settings, tflops: float) -> None:
    model, crop = build_unet(settings.model, settings.norm), settings.data.crop
    norms = sum(isinstance(module, SyncBatchNorm) for module in model.modules())
    compute = 3 * settings.batch_size * count_gflops(model, crop, crop) / (1e3 * tflops)  # backward is two forwards
    print(f"predicted: {tflops:g} TFLOP/s a card, {1000 * compute:.2f} ms of computing a step\n")
    print("| cards | crops a step | efficiency |\n| ---: | ---: | ---: |")
    for cards in (1, 2, 8, 64, 512):
        share = efficiency(compute, 4 * count_parameters(model), 2 * norms, cards, Cluster())
        print(f"| {cards} | {cards * settings.batch_size} | {share:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tflops", type=float, default=10, help="what a card sustains (default: %(default)s)")
    args = parser.parse_args()
    if ranks.started_by_torchrun():
        with ranks.joined():
            print(step_seconds(command.compose(args.words)))
        return
    compare(args.words, args.processes, args.rounds)
    predict(command.compose(args.words), args.tflops)


if __name__ == "__main__":
    with told_to_the_user():
        main()
