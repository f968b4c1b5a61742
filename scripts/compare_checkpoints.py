"""Is A better than B? Both score the same images; the mean difference has a 95 % bootstrap interval over scenes.
Either may be a folder of another method's images, named as the dark ones.

python scripts/compare_checkpoints.py runs/A runs/B
"""

import argparse
from pathlib import Path
from statistics import fmean

import numpy as np

from enhance.device import choose_device
from enhance.errors import DataError, exit_on_user_error
from enhance.evaluation.choose import check_comparable, choose_all, choose_pairs, seen_in_training
from enhance.evaluation.intervals import TITLES, interval, scenes_of
from enhance.evaluation.outputs import Outputs, is_folder_of_outputs
from enhance.evaluation.scores import score
from enhance.run import checkpoint
from enhance.settings.schema import DataSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", metavar="A", help="a run folder (its best.pt), a checkpoint file, or a folder of outputs")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--data", help="a data set's name, such as lol_v1 (default: the data of the first run)")
    parser.add_argument("--root", help="with --data: where it lies")
    parser.add_argument("--split", help="with --data: CSV file of its parts, as data.split")
    parser.add_argument("--images", action="store_true", help="also print the difference of every image")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    args = parser.parse_args()
    if (args.root or args.split) and not args.data:
        raise DataError("--root and --split need --data, the name of the data set that lies there")
    device = choose_device(args.device)
    words = args.a, args.b
    files = [Path(each) if is_folder_of_outputs(Path(each)) else checkpoint.locate(each, "") for each in words]
    saved = [None if file.is_dir() else checkpoint.load(file) for file in files]
    data = DataSettings(name=args.data, root=args.root, split=args.split) if args.data else None
    runs = [each.settings for each in saved if each is not None]
    check_comparable(runs)
    if runs:
        choice = choose_pairs(runs[0], data)
    elif data is not None:
        choice = choose_all(data)
    else:
        raise DataError("two folders of images: of which pairs? Give --data and --root too")
    source = choice.source
    warnings = choice.warnings + [line for run in runs[1:] for line in seen_in_training(run, source)[1]]
    models = [
        Outputs(file, source) if each is None else checkpoint.load_model(each, file, device)
        for each, file in zip(saved, files, strict=True)
    ]
    a, b = (score(model, source, device) for model in models)
    scenes = scenes_of(source)
    print(f"A {files[0]}\nB {files[1]}")
    print(f"{choice.data}, {choice.split}: {len(source)} images of {scenes.max() + 1} scenes ({choice.chosen})")
    for warning in dict.fromkeys(warnings):
        print(f"warning: {warning}")
    for key, title in TITLES.items():
        differences = [getattr(one, key) - getattr(other, key) for one, other in zip(a, b, strict=True)]
        means = [fmean(getattr(image, key) for image in scores) for scores in (a, b)]
        print(f"{title:12} A {means[0]:7.4f}  B {means[1]:7.4f}  A - B {verdict(differences, scenes)}")
    if args.images:
        for one, other in sorted(zip(a, b, strict=True), key=lambda both: both[0].psnr - both[1].psnr):
            print(f"{one.name}: A {one.psnr:.2f}  B {other.psnr:.2f}  A - B {one.psnr - other.psnr:+.2f} dB")


def verdict(differences: list[float], scenes: np.ndarray) -> str:
    """The mean difference, its interval, and what follows."""
    ends = interval(differences, scenes)
    if ends is None:
        return f"{fmean(differences):+.4f}  (no interval: too few scenes, or images without an error)"
    low, high = ends
    answer = "A is better" if low > 0 else "B is better" if high < 0 else "no difference shown"
    return f"{fmean(differences):+.4f}  ({low:+.4f} to {high:+.4f}): {answer}"


if __name__ == "__main__":
    with exit_on_user_error():
        main()
