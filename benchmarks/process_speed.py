"""Training steps of several processes under torchrun beside those of one, on this machine, in turn. Settings are those
of train.py:

    python benchmarks/process_speed.py model=unet_small norm=gn batch_size=8 threads=1 --processes 2
"""

import argparse
import statistics
import subprocess
import sys
import time

from enhance import ranks
from enhance.errors import exit_on_user_error
from enhance.settings import command
from enhance.settings.schema import Settings
from enhance.training.bare_steps import BareSteps


def step_seconds(settings: Settings) -> float:
    step, seconds = BareSteps(settings), []
    for _ in range(12):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])  # the first two also pay for set-up


def under_torchrun(overrides: list[str], processes: int) -> float:
    """Seconds of a step."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    ended = subprocess.run([sys.executable, *torchrun, __file__, *overrides], stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        raise SystemExit(ended.returncode)
    return float(ended.stdout.split()[-1])


def compare(overrides: list[str], processes: int, rounds: int) -> None:
    share = [*overrides, f"batch_size={command.compose(overrides).batch_size // processes}"]
    speedups, efficiencies = [], []
    for _ in range(rounds):
        together = under_torchrun(overrides, processes)
        speedups.append(under_torchrun(overrides, 1) / together)
        efficiencies.append(under_torchrun(share, 1) / together)
    median, low, high = statistics.median(speedups), min(speedups), max(speedups)
    print(f"{processes} processes: {median:.2f} times the images/s of one ({low:.2f} to {high:.2f}, {rounds} rounds)")
    print(f"each works at {statistics.median(efficiencies):.0%} of one process alone with that share of a batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if ranks.started_by_torchrun():
        with ranks.process_group():
            print(step_seconds(command.compose(args.overrides)))
    else:
        compare(args.overrides, args.processes, args.rounds)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
