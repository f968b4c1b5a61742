"""What a run writes: the one place that touches its folder. Of several ranks, the first one writes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from filelock import FileLock
from torch import Tensor

from enhance import ranks
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint, save
from enhance.run.disk import writing
from enhance.run.folder import create_run_folder, lock_run
from enhance.run.tracker import Tracker
from enhance.settings import Settings
from enhance.settings.schema import OnFullDisk


class Record:
    """The folder of a run, which is this run's alone until `close`, or the end of a with statement.

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
        self.folder = ranks.from_rank_zero(lambda: self._open(folder, step))
        self._go_on = settings.on_full_disk == OnFullDisk.go_on

    def _open(self, folder: Path | None, step: int | None) -> Path:
        if folder is None or step is None:
            folder = create_run_folder(self._settings, folder)
        self._lock = lock_run(folder)
        with writing(folder):
            self._tracker = Tracker(folder, step or 0)
        return folder

    @property
    def writes(self) -> bool:
        """Whether this rank writes: what it is to write need not be made otherwise."""
        return self._tracker is not None

    def provenance(self, values: dict[str, object]) -> None:
        """Add where a start or a resumption of the run comes from."""
        if self._tracker is not None:
            with writing(self.folder, self._go_on):
                self._tracker.provenance(values)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers, named `group/name`."""
        if self._tracker is not None:
            with writing(self.folder, self._go_on):
                self._tracker.scalars(step, values)

    def strip(self, step: int, name: str, images: list[Tensor]) -> None:
        """Show images (3, H, W) of one size side by side in TensorBoard."""
        if self._tracker is not None:
            with writing(self.folder, self._go_on):
                self._tracker.strip(step, name, images)

    def files(self, name: str, write: Callable[[Path], None]) -> None:
        """Have `write` fill the folder `name` within the run's."""
        if self._tracker is not None:
            with writing(self.folder, self._go_on):
                (self.folder / name).mkdir(exist_ok=True)
                write(self.folder / name)

    def hyperparameters(self, metrics: dict[str, float]) -> None:
        """Write the metrics by which TensorBoard compares runs."""
        if self._tracker is not None:
            with writing(self.folder, self._go_on):
                self._tracker.hyperparameters(self._settings, metrics)

    def save(self, checkpoint: Checkpoint, name: Path) -> bool:
        """Write one of the run's checkpoints; whether it stands, which a full disk may have refused."""
        with writing(self.folder, self._go_on):
            if self._tracker is not None:
                save(checkpoint, self.folder / name, self.folder / PREVIOUS if name == LAST else None)
            return True
        return False

    def remove(self) -> None:
        """Leave nothing of a run that has learned nothing."""
        self.close()  # Windows removes no open file
        if self._tracker is not None:
            shutil.rmtree(self.folder)

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
