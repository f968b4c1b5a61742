"""`python train.py`, or `enhance-train`: train, go on, or do one run of a sweep."""

from omegaconf import DictConfig

from enhance import ranks
from enhance.errors import RunComplete
from enhance.run.resume import restored
from enhance.settings import command
from enhance.settings.config import from_config
from enhance.settings.schema import Settings
from enhance.studies.sweep import run_job
from enhance.training.trainer import train


def main() -> None:
    command.run(run, "train")


def run(config: DictConfig) -> None:
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
