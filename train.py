"""Train a U-Net on pairs of low-light and normal-light photographs.

    python train.py norm=bn batch_size=8
    python train.py data=lol_v1 data.root=DIR model=unet_small
    python train.py resume=runs/RUN

Settings are Hydra's: --help lists the groups, --cfg job all values, and enhance/settings.py explains each.
"""

from omegaconf import DictConfig

from enhance import checkpoint, command, settings
from enhance.errors import SettingsError
from enhance.training.trainer import Trainer


def main(config: DictConfig) -> None:
    given = settings.from_config(config)
    if given.resume is None:
        Trainer(given).fit()
        return
    others = [word for word in command.overrides() if not word.startswith("resume=")]
    if others:
        raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
    file = checkpoint.locate(given.resume, given.runs, "last.pt")
    last = checkpoint.load(file)
    if last.trainer is None:
        raise SettingsError(f"resume={given.resume}: {file} cannot be resumed; give the run folder")
    Trainer(last.settings, (file.parents[1], last)).fit()


if __name__ == "__main__":
    command.run(main, "train")
