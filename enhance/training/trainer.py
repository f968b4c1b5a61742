"""The training loop."""

import math
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from enhance import ranks
from enhance.cost.memory_fit import check_memory
from enhance.data.loader import crop_names, open_training, training_batches
from enhance.data.workers import worker_end_told
from enhance.device import (
    available_memory,
    choose_device,
    forget_peak,
    memory_told,
    peak_memory_gib,
    set_up_torch,
)
from enhance.errors import DataError, RunComplete, UserError
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import BEST, LAST, Checkpoint
from enhance.run.interrupt import Interrupted, Interruption, stop_on_signal
from enhance.run.progress import Progress
from enhance.run.record import Record
from enhance.settings import Settings
from enhance.training.announce import announce
from enhance.training.checks import check_batch, check_images
from enhance.training.freezing import recalibrate_and_freeze
from enhance.training.learner import Batches, Learner
from enhance.training.meter import Meter
from enhance.training.schedule import exposure_steps, total_steps
from enhance.training.statistics_gap import statistics_gap
from enhance.training.validation import recalibrate_for, validate

READ_EVERY = 20  # steps between two looks at the loss: each look waits for the device


class Trainer:
    """Trains one U-Net as the settings say.

    Everything that can be wrong is checked here, before a run folder exists and before the first step.

    Args:
        settings: validated settings of the run.
        resume: the run folder and its last checkpoint, to go on exactly where it stopped.
        folder: of the new run; None names one by date.

    Raises:
        UserError: data, settings or checkpoint that cannot be used.
    """

    def __init__(
        self, settings: Settings, resume: tuple[Path, Checkpoint] | None = None, folder: Path | None = None
    ) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        set_up_torch(settings.threads, settings.deterministic)
        forget_peak(self.device)  # of the runs of a sweep before this one
        self.plan = plan = check_memory(settings, self.device, available_memory(self.device))
        self.train, self.validation = open_training(settings.data)
        check_batch(settings, self.train)
        steps = total_steps(settings.schedule, len(self.train), settings.images_per_step)
        early = exposure_steps(settings, len(self.train), steps)
        self.learner = Learner(settings, self.device, plan.dtype, steps, early)
        self.best = -math.inf
        self.owed = False  # a validation of the last step, which a signal may have cut short
        if resume is None:
            self.record = Record(settings, folder, step=None)
        else:
            self._restore(*resume)
            self.record = Record(settings, resume[0], self.learner.step)

    def fit(self) -> None:
        """Train to the last step, or to a signal to stop; `last` and `best` checkpoints are written on the way.

        Raises:
            UserError: the loss is no longer finite, the device's memory is too small, or the disk is full.
        """
        learner, record = self.learner, self.record
        bar = ranks.is_first() and sys.stderr.isatty()
        with stop_on_signal() as stopped, worker_end_told():
            try:
                announce(self)
                with closing(Progress(learner.step, learner.steps, bar)) as progress:
                    self._loop(progress, stopped)
            except UserError as error:
                if record.saved < 0 and learner.step == 0:
                    record.close()  # Windows removes no open file
                    record.remove()
                elif isinstance(error, DataError) and self.settings.accumulate == 1 and record.saved != learner.step:
                    self._save(LAST, validation={})  # the image is read before its step changes anything
                raise
            finally:
                record.close()
        if record.saved != learner.step:
            raise UserError(f"{record.folder}: step {learner.step} could not be saved; make room, then resume")
        if stopped:
            print(
                f"stopped at step {learner.step} of {learner.steps}; go on with: python train.py resume={record.folder}"
            )
            raise SystemExit(stopped.exit_code)
        best = f"best validation PSNR {self.best:.2f} dB" if self.best > -math.inf else f"{BEST} could not be written"
        print(f"{best}; run folder {record.folder}")

    def _loop(self, progress: Progress, stopped: Interruption) -> None:
        settings, learner = self.settings, self.learner
        batches, meter = self.batches(), Meter()
        while (learner.step < learner.steps or self.owed) and not stopped.on_any_rank():
            if self.owed:
                self._validate(progress, stopped)
                meter = Meter()
                continue
            if learner.step == learner.freeze_step:
                line = recalibrate_and_freeze(settings, learner.model, self.train, self.device)
                learner.freeze()
                progress.say(f"step {learner.step}: {line}")
            self.owed = self._due(learner.step + 1)
            with statistics_gap(learner.model, enabled=self.owed) as gaps:
                learner.advance(batches, meter, watched=self.owed)
            if self.owed or learner.step % READ_EVERY == 0:
                self._read(meter, progress)
            if self.owed:
                self.record.scalars(learner.step, gaps)
        if self.record.saved != learner.step or self.owed:
            self._save(LAST, validation={})  # at once: after a signal there may be little time
            if recalibrate_for(settings, learner.average.model, self.train, self.device) is not None:
                self._save(LAST, validation={})

    def batches(self) -> Batches:
        """Those of the steps that are left, as `training_batches` yields them."""
        settings = self.settings
        return training_batches(
            self.train,
            settings.data.crop,
            settings.batch_size,
            first_batch=self.learner.step * settings.accumulate,
            last_batch=self.learner.steps * settings.accumulate,
            seed=settings.seed,
            workers=settings.data.workers,
            pin_memory=self.device.type == "cuda",
            rank=ranks.own(),
            ranks=ranks.count(),
        )

    def _due(self, step: int) -> bool:
        return step % self.settings.validation.every == 0 or step == self.learner.steps

    def _read(self, meter: Meter, progress: Progress) -> None:
        learner = self.learner
        values = meter.read()
        lr = learner.optimizer.param_groups[0]["lr"]
        for step in learner.skipped.read(learner.step):
            size = self.settings.images_per_step
            names = crop_names(self.train, range((step - 1) * size, step * size), self.settings.seed)
            progress.say(f"step {step} skipped: its gradient is not finite. Its images: {', '.join(names)}")
        if learner.skipped.in_a_row >= self.settings.optimizer.max_skipped:
            raise self._diverged(f"the gradient of the last {learner.skipped.in_a_row} steps is not finite")
        if learner.overflows:
            raise self._diverged("the gradient in fp16 is not finite, however small its scale,")
        memory = {"system/peak_memory_gib": peak_memory_gib(self.device)}
        self.record.scalars(learner.step, values | memory | {"train/lr": lr, "train/skipped": learner.skipped.total})
        speed, wait = values["system/images_per_second"], values["system/data_wait"]
        progress.show(learner.step, values["train/loss"], lr, speed, wait)

    def _validate(self, progress: Progress, stopped: Interruption) -> None:
        step, model = self.learner.step, self.learner.average.model
        try:
            found = validate(self.settings, model, self.train, self.validation, self.device, stopped)
        except Interrupted:
            return
        except UserError:  # an image that went away, too little memory
            self._save(LAST, validation={})
            raise
        self.owed = False
        if math.isnan(found.mean["psnr"]):
            raise self._diverged("the validation PSNR is not a number")
        psnr = found.mean["psnr"]
        progress.validated(found.line(step), psnr, max(self.best, psnr))
        if psnr > self.best and self._save(BEST, found.mean):
            self.best = psnr
        values = {f"validation/{name}": value for name, value in found.mean.items()}
        if found.recalibrate_seconds is not None:
            values["validation/recalibrate_seconds"] = found.recalibrate_seconds
        try:
            with memory_told(self.device, "no room for the validation's pictures; resume where more is free"):
                self.record.pictures(step, model, self.validation)
                if step == self.learner.steps:
                    self.record.result(step, found, self.best, model, self.validation)
        except UserError:
            self._save(LAST, validation={})
            raise
        self.record.scalars(step, values)
        self._save(LAST, found.mean)  # the end of the validation: a run that is killed before it validates again

    def _save(self, name: Path, validation: dict[str, float]) -> bool:
        learner = self.learner
        resuming = learner.state_dict() | {"best": self.best, "images": self._images()} if name == LAST else None
        checkpoint = Checkpoint(
            settings=self.settings,
            step=learner.step,
            model=learner.average.model.state_dict(),
            running_statistics=running_statistics(learner.model),
            validation=validation,
            trainer=resuming,
            frozen=learner.frozen,
        )
        return self.record.save(checkpoint, name)

    def _images(self) -> dict[str, list[Any]]:
        return {"training": self.train.names, "validation": self.validation.names, "sizes": self.train.sizes}

    def _diverged(self, what: str) -> UserError:
        folder = self.record.folder / "checkpoints"
        kept = f"; the last good checkpoints are in {folder}" if self.record.saved >= 0 else ""
        return UserError(
            f"{what} at step {self.learner.step}: lower optimizer.lr, set optimizer.clip, or take precision=fp32{kept}"
        )

    def _restore(self, folder: Path, checkpoint: Checkpoint) -> None:
        assert checkpoint.trainer is not None
        state, learner = checkpoint.trainer, self.learner
        check_images(folder, state["images"], self._images())
        learner.load_state_dict(state)
        learner.average.load(checkpoint.model, checkpoint.step)
        learner.step = checkpoint.step
        if checkpoint.frozen:
            learner.freeze()
        self.best = state["best"]
        self.owed = self._due(learner.step) and not checkpoint.validation
        if learner.step >= learner.steps and not self.owed:
            raise RunComplete(f"{folder}: this run is complete ({learner.step} of {learner.steps} steps)")
