"""Write the weights of a run into a small file to pass on: safetensors, half precision, without what resuming needs.

python scripts/pack_weights.py runs/RUN NAME.safetensors    # then NAME.safetensors stands wherever a RUN does
"""

import argparse
import dataclasses
import hashlib
from pathlib import Path

from enhance.errors import SettingsError, exit_on_user_error
from enhance.files import writing
from enhance.run import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="RUN_OR_CHECKPOINT", help="a run folder (its best.pt) or a .pt file")
    parser.add_argument("out", metavar="OUT", type=Path, help=f"a {checkpoint.WEIGHTS} file")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is already there")
    parser.add_argument(
        "--change",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of what the network adds to a photograph: below 1 where real ones differ from those it learned from",
    )
    arguments = parser.parse_args()
    out = arguments.out
    if out.suffix != checkpoint.WEIGHTS:
        raise SettingsError(f"{out}: give a name that ends in {checkpoint.WEIGHTS}")
    if out.exists() and not arguments.overwrite:
        raise SettingsError(f"{out}: already there; give another OUT, or --overwrite")
    if not 0 < arguments.change <= 1:
        raise SettingsError(f"--change {arguments.change:g} is out of range: it is above 0, and 1 at most")
    saved = checkpoint.load(checkpoint.locate(arguments.checkpoint, runs="runs"))
    # Whoever gets the file has other folders.
    data = dataclasses.replace(saved.settings.data, root=None, val_root=None, low=None, normal=None, split=None)
    saved.settings = dataclasses.replace(saved.settings, data=data, init_from=None, init_content=None)
    for name in ("weight", "bias"):
        saved.model[f"network.unet.output.{name}"] *= arguments.change
    with writing(out, "give another OUT"):
        checkpoint.save_weights(saved, out)
    content = out.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    print(f"{out}: {len(content) / 1e6:.2f} MB, step {saved.step}, sha256 {digest}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
