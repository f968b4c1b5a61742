"""How much of each run's error is overall brightness, and does it predict that better than a constant?

python scripts/compare_brightness.py RUN [RUN ...]
"""

import argparse

from enhance.device import choose_device
from enhance.errors import told_to_the_user
from enhance.evaluation.brightness import brightness
from enhance.evaluation.choose import choose_pairs
from enhance.run import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders (their best.pt) or checkpoint files")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    titles = f"{'PSNR':>8}{'constant':>10}{'GT-mean':>9}{'rms log error':>15}{'of constant':>13}{'explained':>11}"
    print(f"{titles}  checkpoint")
    for run in arguments.runs:
        path = checkpoint.locate(run, "")
        kept = checkpoint.load(path)
        choice = choose_pairs(kept.settings, None, with_training=True)
        assert choice.training is not None  # asked for
        found = brightness(checkpoint.load_model(kept, path, device), choice.source, choice.training, device)
        scores = f"{found.psnr:8.2f}{found.psnr_constant:10.2f}{found.psnr_gt_mean:9.2f}"
        errors = f"{found.error:15.3f}{found.error_constant:13.3f}{found.explained:11.2f}"
        print(f"{scores}{errors}  {path} on {len(choice.source)} images, {choice.split}", flush=True)
    print(f"constant: every output is scaled to the mean brightness of the training targets, {found.constant:.3f}")


if __name__ == "__main__":
    with told_to_the_user():
        main()
