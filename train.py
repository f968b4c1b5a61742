"""Train a U-Net on pairs of low-light and normal-light photographs.

    python train.py norm=bn batch_size=8
    python train.py data=lol_v1 data.root=DIR model=unet_small
    python train.py resume=runs/RUN                     # data that were moved: data.root=DIR as well
    python train.py -m norm=bn,gn seed=0,1              # every combination; run it again to go on
    python train.py -m experiment=small_batch data.root=DIR

Settings are Hydra's: --help lists the groups, --cfg job all values, and enhance/settings.py explains each.
"""

from omegaconf import DictConfig

from enhance import checkpoint, command
from enhance.config import from_config
from enhance.errors import CheckpointError, SettingsError
from enhance.settings import PLACES
from enhance.training.sweep import run_job
from enhance.training.trainer import Trainer


def main(config: DictConfig) -> None:
    given = from_config(config)
    if command.in_sweep():
        run_job(given, command.overrides())
        return
    if given.resume is None:
        Trainer(given).fit()
        return
    words = {word.partition("=")[0]: word for word in command.overrides()}
    moved = [key for key in PLACES if f"data.{key}" in words]
    others = [word for key, word in words.items() if key not in ("resume", *(f"data.{place}" for place in moved))]
    if others:
        raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
    file = checkpoint.locate(given.resume, given.runs, "last.pt").absolute()
    folder = file.parents[1]
    if file.parent.name != "checkpoints" or not (folder / "config.yaml").is_file():
        raise CheckpointError(f"resume={given.resume}: lies in no run folder; give a folder that train.py wrote")
    last = checkpoint.load(file)
    if last.trainer is None:
        raise CheckpointError(f"resume={given.resume}: holds not what resuming needs; give the run folder, {folder}")
    for key in moved:
        setattr(last.settings.data, key, getattr(given.data, key))
    Trainer(last.settings, (folder, last)).fit()


if __name__ == "__main__":
    command.run(main, "train")
