"""The training loop."""

import math
import sys
from contextlib import closing
from pathlib import Path

from enhance import ranks
from enhance.cost.memory import check_memory
from enhance.data.batches import crop_names, training_batches, worker_errors
from enhance.data.open import open_data
from enhance.data.pairs import spread
from enhance.device import (
    available_memory,
    choose_device,
    choose_dtype,
    out_of_memory_hint,
    peak_memory_gib,
    set_up_torch,
)
from enhance.errors import DataError, RunComplete, UserError, command_line
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import BEST, LAST, Checkpoint
from enhance.run.first_weights import note_contents, take_weights
from enhance.run.interrupt import Interrupted, Interruption, stop_on_signal
from enhance.run.progress import Progress, print_line
from enhance.run.record import Record
from enhance.settings.schema import Settings
from enhance.training.batch_norms import recalibrate, recalibrate_for_validation, statistics_gap
from enhance.training.learner import Batches, Learner
from enhance.training.meter import Meter
from enhance.training.schedule import exposure_steps, total_steps
from enhance.training.start import check_batch, check_images, summary
from enhance.training.validation import Validation, strips, validate, write_report

READ_EVERY = 20  # steps between two looks at the loss: each look waits for the device


def train(settings: Settings, folder: Path | None = None, last: Checkpoint | None = None) -> "Trainer":
    """Train one run to its end. Raises `UserError` as `Trainer` and its methods.

    Args:
        settings: validated settings of the run.
        folder: of the new run, or of the one that goes on; None names a new one by date.
        last: the checkpoint to go on from, exactly where it stopped; None begins a new run.
    """
    if last is None:
        note_contents(settings)
    trainer = Trainer(settings)
    if last is None:
        trainer.begin()
    else:  # its images are checked one by one
        assert folder is not None
        trainer.restore(folder, last)
    with Record(settings, folder, None if last is None else last.step) as record:
        if settings.schedule.before is not None:
            record.settings()
        trainer.fit(record)
    return trainer


class Trainer:
    """Trains one U-Net as the settings, which are validated, say.

    Everything that can be wrong is checked here, before the first step, and is a `UserError`; nothing is written.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        set_up_torch(self.device, settings.threads, settings.deterministic)
        dtype = choose_dtype(settings.precision, self.device)
        # On the CPU nobody knows what is free, and a plan takes seconds. Compiled, no layer can say what it refuses.
        needs_plan = self.device.type == "cuda" or settings.compile
        self.plan = check_memory(settings, self.device, dtype, available_memory(self.device)) if needs_plan else None
        self.data = open_data(settings.data, settings.model.channels)
        self.train, self.validation = self.data.training, self.data.validation
        check_batch(settings, self.train)
        self._images = {"training": self.train.names, "validation": self.validation.names, "sizes": self.train.sizes}
        steps = total_steps(settings.schedule, len(self.train), settings.images_per_step)
        early = exposure_steps(settings, len(self.train), steps)
        self.learner = Learner(settings, self.device, dtype, steps, early)
        self.best = -math.inf  # highest validation PSNR of all
        self.scores: dict[str, float] = {}  # means of the last step's validation; empty before it
        self.saved_step = -1  # of the last checkpoint
        self.told: list[str] = []  # of what the run begins with, or how it goes on

    @property
    def validated(self) -> bool:
        """Whether no validation of the last step is due, which a signal may have cut short."""
        return bool(self.scores) or not self._due(self.learner.step)

    def begin(self) -> None:
        """Take the weights that `init_from` names, if any; raises `CheckpointError` where there are none that fit."""
        if self.settings.init_from is not None:
            self.told = take_weights(self.settings, self.learner.model)
            self.learner.average.model.load_state_dict(self.learner.model.state_dict())

    def restore(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Go on exactly where the run of that folder stopped. Raises `DataError` where the images are not those of the
        run, and `RunComplete` where nothing is left to do."""
        assert checkpoint.trainer is not None
        state, learner = checkpoint.trainer, self.learner
        check_images(folder, state["images"], self._images)
        learner.load_state_dict(state)
        learner.average.load(checkpoint.model, checkpoint.step)
        learner.step = self.saved_step = checkpoint.step
        if checkpoint.frozen:
            learner.freeze()
        if self.settings.schedule.before is not None:
            self.told = [learner.follow_schedule()]
        self.best = state["best"]
        self.scores = checkpoint.validation
        if learner.step >= learner.steps and self.validated:
            more = f"train on with resume={folder} schedule.steps=MORE"
            raise RunComplete(f"{folder}: this run is complete ({learner.step} of {learner.steps} steps); {more}")

    def fit(self, record: Record) -> None:
        """Train to the last step, or to a signal to stop; `last` and `best` checkpoints are written on the way. Raises
        `UserError` where the loss is no longer finite, the device's memory is too small, or the disk is full."""
        learner = self.learner
        with stop_on_signal() as stopped, worker_errors():
            try:
                values, lines = summary(learner, self.plan, self.train, self.validation)
                record.provenance(values)
                print("\n".join([f"run folder {record.folder}", *self.told, *lines]))
                bar = ranks.is_rank_zero() and sys.stderr.isatty()
                with closing(Progress(learner.step, learner.steps, bar)) as progress:
                    self._loop(record, progress, stopped)
            except UserError as error:
                if self.saved_step < 0 and learner.step == 0:
                    record.remove()
                elif isinstance(error, DataError) and self.settings.accumulate == 1 and self.saved_step != learner.step:
                    self._save(record, LAST)  # the image is read before its step changes anything
                raise
        if self.saved_step != learner.step:
            raise UserError(f"{record.folder}: step {learner.step} could not be saved; make room, then resume")
        if stopped:
            cure = f"go on with: {command_line('train')} resume={record.folder}"
            print(f"stopped at step {learner.step} of {learner.steps}; {cure}")
            raise SystemExit(stopped.exit_code)
        best = f"best validation PSNR {self.best:.2f} dB" if self.best > -math.inf else f"{BEST} could not be written"
        print(f"{best}; run folder {record.folder}")

    def _loop(self, record: Record, progress: Progress, stopped: Interruption) -> None:
        settings, learner = self.settings, self.learner
        batches, meter = self.batches(), Meter()
        while (learner.step < learner.steps or not self.validated) and not stopped.on_any_rank():
            if not self.validated:
                self._validate(record, progress, stopped)
                meter = Meter()
                continue
            if learner.step == learner.freeze_step:
                spared_by = "schedule.freeze_after=1"
                count, seconds = recalibrate(settings, learner.model, self.train, self.device, spared_by)
                learner.freeze()
                done = f"batch norms recalibrated on {count} whole training images and frozen, {seconds:.1f} s"
                print_line(f"step {learner.step}: {done}")
            due = self._due(learner.step + 1)
            with statistics_gap(learner.model, enabled=due) as gaps:
                learner.advance(batches, meter, run_hooks=due)
            self.scores = {}
            if due or learner.step % READ_EVERY == 0:
                self._read(meter, record, progress)
                meter = Meter()
            if due:
                record.scalars(learner.step, gaps)
        if self.saved_step != learner.step or not self.validated:
            self._save(record, LAST)  # at once: after a signal there may be little time
            if recalibrate_for_validation(settings, learner.average.model, self.train, self.device) is not None:
                self._save(record, LAST)

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
            rank=ranks.rank(),
            world_size=ranks.world_size(),
        )

    def _due(self, step: int) -> bool:
        """Whether a validation follows this step."""
        return step > 0 and (step % self.settings.validation.every == 0 or step == self.learner.steps)

    def _read(self, meter: Meter, record: Record, progress: Progress) -> None:
        """Look at the loss of the last steps, which waits for the device."""
        learner, values = self.learner, meter.read()
        lr = learner.optimizer.param_groups[0]["lr"]
        for step in learner.skipped.read(learner.step):
            size = self.settings.images_per_step
            names = crop_names(self.train, range((step - 1) * size, step * size), self.settings.seed)
            print_line(f"step {step} skipped: its gradient is not finite. Its images: {', '.join(names)}")
        if learner.skipped.in_a_row >= self.settings.optimizer.max_skipped:
            raise self._diverged(record, f"the gradient of the last {learner.skipped.in_a_row} steps is not finite")
        if learner.overflows:
            raise self._diverged(record, "the gradient in fp16 is not finite, however small its scale,")
        memory = {"system/peak_memory_gib": peak_memory_gib(self.device)}
        record.scalars(learner.step, values | memory | {"train/lr": lr, "train/skipped": learner.skipped.total})
        speed, wait = values["system/images_per_second"], values["system/data_wait"]
        progress.show(learner.step, values["train/loss"], lr, speed, wait)

    def _validate(self, record: Record, progress: Progress, stopped: Interruption) -> None:
        step, model = self.learner.step, self.learner.average.model
        try:
            validation = validate(self.settings, model, self.train, self.validation, self.device, stopped)
        except Interrupted:
            return
        except UserError:  # an image that went away, too little memory
            self._save(record, LAST)
            raise
        psnr = validation.mean["psnr"]
        if math.isnan(psnr):
            raise self._diverged(record, "the validation PSNR is not a number")
        progress.validated(validation.line(step), psnr, max(self.best, psnr))
        self.scores = validation.mean
        if psnr > self.best and self._save(record, BEST):
            self.best = psnr
        try:
            with out_of_memory_hint(self.device, "no room for the validation's pictures; resume where more is free"):
                self._show(record, validation)
        except UserError:
            self.scores = {}
            self._save(record, LAST)
            raise
        record.scalars(step, validation.scalars())
        self._save(record, LAST)  # the end of the validation: a run that is killed before it validates again

    def _show(self, record: Record, validation: Validation) -> None:
        """Pictures of a validation, and after the last one its report."""
        learner, mean = self.learner, validation.mean
        if not record.writes:
            return
        shown = spread(self.validation, self.settings.validation.strips)
        for name, images in strips(learner.average.model, shown, self.device):
            record.strip(learner.step, name, images)
        if learner.step == learner.steps:
            record.files("validation", lambda folder: write_report(folder, learner, validation.scores, self.validation))
            metrics = {"hparam/psnr": mean["psnr"], "hparam/ssim": mean["ssim"], "hparam/best_psnr": self.best}
            record.hyperparameters(metrics)

    def _save(self, record: Record, name: Path) -> bool:
        """Whether the checkpoint stands, which a full disk may have refused."""
        learner = self.learner
        resuming = learner.state_dict() | {"best": self.best, "images": self._images} if name == LAST else None
        checkpoint = Checkpoint(
            settings=self.settings,
            step=learner.step,
            model=learner.average.model.state_dict(),
            running_statistics=running_statistics(learner.model),
            validation=self.scores,
            trainer=resuming,
            frozen=learner.frozen,
        )
        saved = record.save(checkpoint, name)
        if saved and name == LAST:
            self.saved_step = learner.step
        return saved

    def _diverged(self, record: Record, reason: str) -> UserError:
        cure = "lower optimizer.lr, set optimizer.clip, or take precision=fp32"
        saved = f"; the last good checkpoints are in {record.folder / LAST.parent}" if self.saved_step >= 0 else ""
        return UserError(f"{reason} at step {self.learner.step}: {cure}{saved}")
