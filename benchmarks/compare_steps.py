"""Training steps under several settings beside each other, in one process, in turn, as a Markdown table.

    python benchmarks/compare_steps.py "norm=bn" "norm=bn channels_last=false" --common model=unet_small threads=1

Each WORDS are settings of train.py; ratios are to the first. The steps are the trainer's own: data, forward, backward,
optimizer, moving average. With threads=1 on the CPU, times are processor time, which other work hardly changes.
"""

import argparse
import statistics
from contextlib import ExitStack

from enhance.cost.profile import bare_steps
from enhance.cost.rate import seconds
from enhance.errors import told_to_the_user
from enhance.settings.command import compose

WARM_UP = 2  # rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", metavar="WORDS", nargs="+", help="settings, in quotes")
    parser.add_argument("--common", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all of them")
    parser.add_argument("--rounds", type=int, default=15, help="that count")
    args = parser.parse_args()
    with ExitStack() as stack:
        settings = [compose([*args.common, *words.split()]) for words in args.words]
        steps = [stack.enter_context(bare_steps(each)) for each in settings]
        times: list[list[float]] = [[] for _ in steps]
        for _ in range(WARM_UP + args.rounds):
            for each, taken in zip(steps, times, strict=True):
                taken.append(seconds(each, each.learner.device))
    print("| settings | step, ms | ratio |")
    print("| --- | ---: | ---: |")
    for words, taken in zip(args.words, times, strict=True):
        ratios = [one / first for one, first in zip(taken, times[0], strict=True)][WARM_UP:]
        step, ratio = statistics.median(taken[WARM_UP:]), statistics.median(ratios)
        print(f"| `{words}` | {1000 * step:.0f} | {ratio:.2f}, {min(ratios):.2f} to {max(ratios):.2f} |")


if __name__ == "__main__":
    with told_to_the_user():
        main()
