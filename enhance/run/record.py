"""What a run writes: the one place that touches its folder. Of several ranks, the first one writes."""

import shutil
from pathlib import Path

from filelock import FileLock

from enhance import ranks
from enhance.data.pairs import PairSource, spread
from enhance.models.unet import UNet
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint, save
from enhance.run.disk import DiskGuard, write_told
from enhance.run.tracking import Tracker, create_run_folder, lock_run
from enhance.settings import Settings
from enhance.training.validation import Validation, write_report, write_strips


class Record:
    """The folder of a run, which is this run's alone until `close`.

    Args:
        folder: of the run that goes on, or of the new one; None names a new one by date.
        step: at which the run goes on; None makes the folder of a new one.

    Raises:
        SettingsError: the folder cannot be written, or another process trains in it.
    """

    def __init__(self, settings: Settings, folder: Path | None, step: int | None) -> None:
        self._settings = settings
        self._lock: FileLock | None = None
        self._tracker: Tracker | None = None
        self.saved = -1 if step is None else step  # step of the last checkpoint
        self.folder = ranks.agreed(lambda: self._open(folder, step))
        self._disk = DiskGuard(self.folder, settings.on_full_disk == "go_on")

    def _open(self, folder: Path | None, step: int | None) -> Path:
        if folder is None or step is None:
            folder = create_run_folder(self._settings, folder)
        self._lock = lock_run(folder)
        with write_told(folder):
            self._tracker = Tracker(folder, step or 0)
        return folder

    def provenance(self, values: dict[str, object]) -> None:
        """Add where a start or a resumption of the run comes from."""
        if self._tracker is not None:
            with self._disk:
                self._tracker.write_provenance(values)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers, named `group/name`."""
        if self._tracker is not None:
            with self._disk:
                self._tracker.scalars(step, values)

    def pictures(self, step: int, model: UNet, source: PairSource) -> None:
        """Show some validation images, as the model makes them, in TensorBoard."""
        if self._tracker is not None:
            with self._disk:
                write_strips(self._tracker, step, model, spread(source, self._settings.validation.strips))

    def result(self, step: int, found: Validation, best: float, model: UNet, source: PairSource) -> None:
        """Write the report of the last validation; `best` is the highest PSNR of all."""
        if self._tracker is None:
            return
        metrics = {"hparam/psnr": found.mean["psnr"], "hparam/ssim": found.mean["ssim"], "hparam/best_psnr": best}
        with self._disk:
            write_report(self.folder, self._settings, step, found, model, source)
            self._tracker.hyperparameters(self._settings, metrics)

    def save(self, checkpoint: Checkpoint, name: Path) -> bool:
        """Write one of the run's checkpoints; whether it stands, which a full disk may have refused."""
        with self._disk:
            if self._tracker is not None:
                save(checkpoint, self.folder / name, self.folder / PREVIOUS if name == LAST else None)
            if name == LAST:
                self.saved = checkpoint.step
            return True
        return False

    def remove(self) -> None:
        """Leave nothing of a run that has learned nothing."""
        if self._tracker is not None:
            shutil.rmtree(self.folder)

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
        if self._lock is not None:
            self._lock.release()
