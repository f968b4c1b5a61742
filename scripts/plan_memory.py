"""What a training step needs of a device's memory, without running it: its peak by part, the largest batch and the
largest crop that fit into a budget, and what each saving would give. Settings are those of train.py:

    python scripts/plan_memory.py norm=bn batch_size=8 data.crop=256 --budget 8GiB

device=cuda plans for a CUDA device on any machine. --check takes two real steps here, on noise, beside the plan."""

import argparse
import re

import torch

from enhance.cost.memory import format_bytes, largest_batch, largest_crop, plan_memory, savings
from enhance.device import DTYPES, available_memory, choose_device, choose_dtype
from enhance.errors import exit_on_user_error
from enhance.settings import command
from enhance.settings.schema import Settings
from enhance.training.bare_steps import measured_peak

EIGHT_GIB = 8 * 2**30  # the card that this project is for


def size(text: str) -> int:
    if not (parts := re.fullmatch(r"(\d+\.?\d*) ?([MG])(iB|B)?", text, re.IGNORECASE)):
        raise argparse.ArgumentTypeError(f"{text}: write it like 8GiB or 512MiB")
    if not (count := int(float(parts[1]) * {"M": 2**20, "G": 2**30}[parts[2].upper()])):
        raise argparse.ArgumentTypeError(f"{text}: nothing fits into that; give more")
    return count


def device_and_dtype(settings: Settings) -> tuple[torch.device, torch.dtype]:
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        name = "bf16" if settings.precision == "auto" else settings.precision
        return torch.device(settings.device), DTYPES[name]
    device = choose_device(settings.device)
    return device, choose_dtype(settings.precision, device)


def print_plan(settings: Settings, budget: int | None) -> None:
    device, dtype = device_and_dtype(settings)
    if budget is None:
        budget = (available_memory(device) if torch.cuda.is_available() else None) or EIGHT_GIB
    plan = plan_memory(settings, device, dtype)
    print(f"{settings.model.name}, norm={settings.norm.name}, batch_size={settings.batch_size}, ", end="")
    print(f"data.crop={settings.data.crop}, {str(dtype)[6:]}, for {device}\n\n| part | MiB |\n| --- | ---: |")
    for part, taken in [*plan.parts.items(), ("peak of a training step", plan.peak)]:
        print(f"| {part} | {taken / 2**20:.1f} |")
    batch, crop = largest_batch(plan, budget), largest_crop(plan, budget)
    print(f"\nlargest that fits into {format_bytes(budget)}: batch_size={batch}, or data.crop={crop}\n")
    print("| instead | MiB | saved |\n| --- | ---: | ---: |")
    for words, other in savings(plan).items():
        if other.peak != plan.peak:
            print(f"| {words} | {other.peak / 2**20:.1f} | {1 - other.peak / plan.peak:.0%} |")
    if settings.compile:
        print("\ncompile=true: at most the same, for the step before each validation is not compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--budget", type=size, help="like 8GiB, the default, or what a CUDA device has free")
    parser.add_argument("--check", action="store_true", help="measure it here, in place of the table")
    args = parser.parse_args()
    settings = command.compose(args.words)
    if not args.check:
        print_plan(settings, args.budget)
        return
    device = choose_device(settings.device)
    plan = plan_memory(settings, device, choose_dtype(settings.precision, device))
    measured = measured_peak(plan)
    print(f"planned {plan.peak / 2**20:.1f} MiB, measured {measured / 2**20:.1f} MiB, ratio {plan.peak / measured:.3f}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
