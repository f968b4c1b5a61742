"""Training steps under several settings beside each other, in one process, in turn, as a Markdown table.

    python benchmarks/step_settings.py "norm=bn" "norm=bn channels_last=false" --common model=unet_small threads=1

Each OVERRIDES are settings of train.py; ratios are to the first. The steps are the trainer's own: data, forward,
backward, optimizer, ema. With threads=1 on the CPU, times are processor time, which other work hardly changes.
"""

import argparse
import statistics

from enhance.cost.measure import seconds
from enhance.errors import exit_on_user_error
from enhance.settings.command import compose
from enhance.training.bare_steps import BareSteps

WARM_UP = 2  # rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", metavar="OVERRIDES", nargs="+", help="settings, in quotes")
    parser.add_argument("--common", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all of them")
    parser.add_argument("--rounds", type=int, default=15, help="that count")
    args = parser.parse_args()
    steps = [BareSteps(compose([*args.common, *overrides.split()])) for overrides in args.overrides]
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(WARM_UP + args.rounds):
        for step, its_times in zip(steps, times, strict=True):
            its_times.append(seconds(step, step.learner.device))
    print("| settings | step, ms | ratio |\n| --- | ---: | ---: |")
    for overrides, its_times in zip(args.overrides, times, strict=True):
        ratios = [one / first for one, first in zip(its_times, times[0], strict=True)][WARM_UP:]
        step_ms, ratio = 1000 * statistics.median(its_times[WARM_UP:]), statistics.median(ratios)
        print(f"| `{overrides}` | {step_ms:.0f} | {ratio:.2f}, {min(ratios):.2f} to {max(ratios):.2f} |")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
