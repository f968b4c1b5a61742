"""Train a U-Net on pairs of low-light and normal-light photographs.

    python train.py norm=bn batch_size=8
    python train.py data=lol_v1 data.root=DIR model=unet_small
    python train.py resume=runs/RUN                     # data that were moved: data.root=DIR as well
    python train.py norm=bn resume=auto                 # goes on with the run of these settings, or begins it
    torchrun --nproc-per-node=2 train.py norm=sync_bn   # on two cards, or processes
    python train.py -m norm=bn,gn seed=0,1              # every combination; run it again to go on
    python train.py -m experiment=small_batch data.root=DIR

Settings are Hydra's: --help lists and explains them, --cfg job prints those of a command line.
"""

from omegaconf import DictConfig

from enhance import ranks
from enhance.errors import RunComplete
from enhance.run.resume import restored
from enhance.settings import command
from enhance.settings.config import from_config
from enhance.settings.schema import Settings
from enhance.studies.sweep import run_job
from enhance.training.trainer import train


def main(config: DictConfig) -> None:
    settings = from_config(config)
    if command.in_sweep():
        run_job(settings, command.swept())
        return
    with ranks.process_group():
        train_one(settings)


def train_one(settings: Settings) -> None:
    with restored(settings, command.overrides()) as run:
        if run is None:
            settings.resume = None
            train(settings)
            return
        folder, last = run
        try:
            train(last.settings, folder, last)
        except RunComplete as complete:
            if settings.resume != "auto":
                raise
            print(complete)  # a cluster may repeat the command


if __name__ == "__main__":
    command.run(main, "train")
