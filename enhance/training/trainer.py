"""The training loop."""

import math
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhance.checkpoint import BEST, LAST, PREVIOUS, Checkpoint, save
from enhance.data.loader import crop_names, open_training, training_batches
from enhance.data.pairs import Spread
from enhance.data.workers import worker_end_told
from enhance.device import choose_device, memory_told, peak_memory_gib, set_up_torch
from enhance.errors import DataError, RunComplete, UserError
from enhance.models.unet import build_unet
from enhance.norm.frozen import freeze
from enhance.norm.recalibrate import running_statistics
from enhance.norm.renorm import set_progress
from enhance.settings import Settings
from enhance.training.announce import announce
from enhance.training.augment import augment
from enhance.training.average import WeightAverage
from enhance.training.checks import check_batch, check_images, check_model
from enhance.training.disk import DiskGuard, write_told
from enhance.training.freezing import freeze_step, recalibrate_and_freeze
from enhance.training.interrupt import Interrupted, Interruption, stop_on_signal
from enhance.training.loss import Loss, compiled, training_loss
from enhance.training.meter import Meter
from enhance.training.objective import Objective
from enhance.training.precision import choose_dtype
from enhance.training.progress import Progress
from enhance.training.schedule import build_optimizer, learning_rate, total_steps
from enhance.training.skipped import Skipped
from enhance.training.statistics_gap import statistics_gap
from enhance.training.tracking import Tracker, create_run_folder, lock_run
from enhance.training.validation import Validation, recalibrate_for, validate, write_report, write_strips

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
        self.dtype = choose_dtype(settings.precision, self.device)
        check_model(settings)
        self.train, self.validation = open_training(settings.data)
        check_batch(settings, self.train)
        self.steps = total_steps(settings.schedule, len(self.train), settings.images_per_step)
        torch.manual_seed(settings.seed)
        self.memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.model = build_unet(settings.model, settings.norm).to(self.device).to(memory_format=self.memory_format)
        self.average = WeightAverage(self.model, settings.average_decay)
        self.freeze_step = freeze_step(settings, self.model, self.steps)
        self.optimizer = build_optimizer(self.model, settings.optimizer, settings.images_per_step)
        self.schedule = learning_rate(self.optimizer, settings.schedule, self.steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        objective = Objective(settings.objective).to(self.device)
        self.eager_loss = training_loss(self.model, objective, self.device, self.dtype)
        self.loss = compiled(self.eager_loss, self.device) if settings.compile else self.eager_loss
        self.step = 0
        self.skipped = Skipped()
        self.saved = -1  # step of the last checkpoint
        self.best = -math.inf
        self.owed = False  # a validation of this step, which a signal may have cut short
        self.folder = create_run_folder(settings, folder) if resume is None else resume[0]
        self.lock = lock_run(self.folder)
        self.disk = DiskGuard(self.folder, settings.on_full_disk == "go_on")
        if resume is not None:
            self._restore(resume[1])
        with write_told(self.folder):
            self.tracker = Tracker(self.folder, self.step)

    @property
    def frozen(self) -> bool:
        """Whether the last step was trained with frozen batch norms."""
        return self.step > self.freeze_step

    def fit(self) -> None:
        """Train to the last step, or to a signal to stop; `last` and `best` checkpoints are written on the way.

        Raises:
            UserError: the loss is no longer finite, the device's memory is too small, or the disk is full.
        """
        with stop_on_signal() as stopped, worker_end_told():
            try:
                announce(self)
                with closing(Progress(self.step, self.steps)) as progress:
                    self._loop(progress, stopped)
            except UserError as error:
                if self.saved < 0 and self.step == 0:  # nothing was learned, and nothing half-written remains
                    shutil.rmtree(self.folder)
                elif isinstance(error, DataError) and self.settings.accumulate == 1 and self.saved != self.step:
                    self._save(LAST, validation={})  # the image is read before its step changes anything
                raise
            finally:
                self.tracker.close()
                self.lock.release()
        if self.saved != self.step:
            raise UserError(f"{self.folder}: step {self.step} could not be saved; make room, then resume")
        if stopped:
            print(f"stopped at step {self.step} of {self.steps}; go on with: python train.py resume={self.folder}")
            raise SystemExit(stopped.exit_code)
        best = f"best validation PSNR {self.best:.2f} dB" if self.best > -math.inf else f"{BEST} could not be written"
        print(f"{best}; run folder {self.folder}")

    def _loop(self, progress: Progress, stopped: Interruption) -> None:
        settings = self.settings
        batches = training_batches(
            self.train,
            settings.data.crop,
            settings.batch_size,
            first_batch=self.step * settings.accumulate,
            last_batch=self.steps * settings.accumulate,
            seed=settings.seed,
            workers=settings.data.workers,
            pin_memory=self.device.type == "cuda",
        )
        meter = Meter()
        while (self.step < self.steps or self.owed) and not stopped:
            if self.owed:
                self._validate(progress, stopped)
                meter = Meter()
                continue
            if self.step == self.freeze_step:
                line = recalibrate_and_freeze(settings, self.model, self.train, self.device)
                freeze(self.average.model)
                progress.say(f"step {self.step}: {line}")
            self.owed = self._due(self.step + 1)
            with statistics_gap(self.model, enabled=self.owed) as gaps:
                # A compiled model runs none of the hooks that watch it.
                self._train_step(batches, meter, self.eager_loss if self.owed else self.loss)
            if self.owed or self.step % READ_EVERY == 0:
                self._read(meter, progress)
            if self.owed:
                self._track(gaps)
        if self.saved != self.step or self.owed:
            self._save(LAST, validation={})  # at once: after a signal there may be little time
            if recalibrate_for(settings, self.average.model, self.train, self.device) is not None:
                self._save(LAST, validation={})

    def _due(self, step: int) -> bool:
        return step % self.settings.validation.every == 0 or step == self.steps

    def _train_step(self, batches: Iterator[tuple[Tensor, Tensor]], meter: Meter, loss_of: Loss) -> None:
        set_progress(self.model, self.step / self.steps)
        for number in range(self.settings.accumulate):
            with meter.waiting():
                low, normal = (self._to_device(images) for images in next(batches))
            batch = self.step * self.settings.accumulate + number
            low, normal = augment(low, normal, self.settings.data, self.settings.seed, batch)
            with memory_told(self.device, self._less_memory()):
                loss, parts = loss_of(low, normal)
                self.scaler.scale(loss / self.settings.accumulate).backward()
            meter.add(len(low), loss.detach(), parts)
        self.scaler.unscale_(self.optimizer)
        clip = self.settings.optimizer.clip or math.inf
        meter.grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        finite = meter.grad_norm.isfinite()
        if self.scaler.is_enabled():  # whose own scale may be what overflows, as long as it can be lowered
            finite = loss.isfinite() & (finite | (self.scaler.get_scale() > 1))
        skipped = finite.logical_not()
        self.skipped.note(skipped)
        if not self.scaler.is_enabled():  # which sees to it by itself, and has its own reasons to skip a step
            self.optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        # Weights from before the freezing never saw the frozen statistics: their average starts anew.
        self.average.update(self.model, self.step - self.freeze_step if self.frozen else self.step)
        self.schedule.step()

    def _read(self, meter: Meter, progress: Progress) -> None:
        values = meter.read()
        lr = self.optimizer.param_groups[0]["lr"]
        for step in self.skipped.read(self.step):
            size = self.settings.images_per_step
            names = crop_names(self.train, range((step - 1) * size, step * size), self.settings.seed)
            progress.say(f"step {step} skipped: its gradient is not finite. Its images: {', '.join(names)}")
        if self.skipped.in_a_row >= self.settings.optimizer.max_skipped:
            raise self._diverged(f"the gradient of the last {self.skipped.in_a_row} steps is not finite")
        memory = {"system/peak_memory_gib": peak_memory_gib(self.device)}
        self._track(values | memory | {"train/lr": lr, "train/skipped": self.skipped.total})
        speed, wait = values["system/images_per_second"], values["system/data_wait"]
        progress.show(self.step, values["train/loss"], lr, speed, wait)

    def _validate(self, progress: Progress, stopped: Interruption) -> None:
        settings, model = self.settings, self.average.model
        try:
            with stopped.at_once():
                found = validate(settings, model, self.train, self.validation, self.device)
        except Interrupted:
            return
        except UserError:  # an image that went away, too little memory
            self._save(LAST, validation={})
            raise
        self.owed = False
        if math.isnan(found.mean["psnr"]):
            raise self._diverged("the validation PSNR is not a number")
        psnr = found.mean["psnr"]
        progress.validated(found.line(self.step), psnr, max(self.best, psnr))
        if psnr > self.best:
            self._save(BEST, found.mean)
        values = {f"validation/{name}": value for name, value in found.mean.items()}
        if found.recalibrate_seconds is not None:
            values["validation/recalibrate_seconds"] = found.recalibrate_seconds
        self._track(values)
        with self.disk:
            write_strips(self.tracker, self.step, model, Spread(self.validation, settings.validation.strips))
            if self.step == self.steps:
                self._finish(found)
        self._save(LAST, found.mean)  # the end of the validation: a run that is killed before it validates again

    def _track(self, values: dict[str, float]) -> None:
        with self.disk:
            self.tracker.scalars(self.step, values)

    def _finish(self, found: Validation) -> None:
        write_report(self.folder, self.settings, self.step, found, self.average.model, self.validation)
        metrics = {"hparam/psnr": found.mean["psnr"], "hparam/ssim": found.mean["ssim"], "hparam/best_psnr": self.best}
        self.tracker.hyperparameters(self.settings, metrics)

    def _save(self, name: Path, validation: dict[str, float]) -> None:
        trainer: dict[str, Any] | None = None
        if name == LAST:
            trainer = {name: part.state_dict() for name, part in self._parts().items()}
            trainer |= {"best": self.best, "skipped": self.skipped.total, "images": self._images()}
        checkpoint = Checkpoint(
            settings=self.settings,
            step=self.step,
            model=self.average.model.state_dict(),
            running_statistics=running_statistics(self.model),
            validation=validation,
            trainer=trainer,
            frozen=self.frozen,
        )
        with self.disk:
            save(checkpoint, self.folder / name, self.folder / PREVIOUS if name == LAST else None)
            if name == LAST:
                self.saved = self.step
            else:
                self.best = validation["psnr"]  # of what best.pt holds, which a full disk may have refused

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}

    def _images(self) -> dict[str, list[Any]]:
        return {"training": self.train.names, "validation": self.validation.names, "sizes": self.train.sizes}

    def _less_memory(self) -> str:
        return (
            f"batch_size={self.settings.batch_size} and data.crop={self.settings.data.crop} are too large for it; "
            "lower one of them, choose a smaller model=, or lower batch_size and raise accumulate"
        )

    def _diverged(self, what: str) -> UserError:
        kept = f"; the last good checkpoints are in {self.folder / 'checkpoints'}" if self.saved >= 0 else ""
        return UserError(
            f"{what} at step {self.step}: lower optimizer.lr, set optimizer.clip, or take precision=fp32{kept}"
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        assert checkpoint.trainer is not None
        state = checkpoint.trainer
        check_images(self.folder, state["images"], self._images())
        for name, part in self._parts().items():
            if state[name]:  # a scaler that scales nothing, in bf16 and fp32, has none
                part.load_state_dict(state[name])
        self.average.load(checkpoint.model, checkpoint.step)
        self.step = self.saved = checkpoint.step
        if checkpoint.frozen:
            freeze(self.model)
            freeze(self.average.model)
        self.best = state["best"]
        self.skipped = Skipped(state.get("skipped", 0))
        self.owed = self._due(self.step) and not checkpoint.validation
        if self.step >= self.steps and not self.owed:
            raise RunComplete(f"{self.folder}: this run is complete ({self.step} of {self.steps} steps)")

    def _to_device(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) on the CPU -> float32 in [0, 1] on the device."""
        images = images.to(self.device, memory_format=self.memory_format, non_blocking=True)
        return images.float().div_(255)
