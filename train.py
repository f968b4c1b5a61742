"""Train a U-Net on pairs of low-light and normal-light photographs.

    python train.py norm=bn batch_size=8
    python train.py data=lol_v1 data.root=DIR model=unet_small
    python train.py resume=runs/RUN                     # data that were moved: data.root=DIR as well
    python train.py norm=bn resume=auto                 # goes on with the run of these settings, or begins it
    torchrun --nproc-per-node=2 train.py norm=sync_bn   # on two cards, or processes
    python train.py -m norm=bn,gn seed=0,1              # every combination; run it again to go on
    python train.py -m experiment=small_batch data.root=DIR

Settings are Hydra's: --help lists the groups, --cfg job all values, and enhance/settings.py explains each.
"""

from omegaconf import DictConfig

from enhance import ranks
from enhance.errors import RunComplete
from enhance.run.resume import resume
from enhance.settings import Settings, command
from enhance.settings.config import from_config
from enhance.studies.sweep import run_job
from enhance.training.trainer import Trainer


def main(config: DictConfig) -> None:
    given = from_config(config)
    if command.in_sweep():
        run_job(given, command.overrides())
        return
    with ranks.joined():
        train(given)


def train(given: Settings) -> None:
    if given.resume is None:
        Trainer(given).fit()
        return
    try:
        trainer = resume(given, command.overrides())
    except RunComplete as complete:
        if given.resume != "auto":
            raise
        print(complete)  # a cluster may repeat the command
        return
    trainer.fit()


if __name__ == "__main__":
    command.run(main, "train")
