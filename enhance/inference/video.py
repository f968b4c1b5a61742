"""Enhance a video on disk, frame after frame, with its sound."""

from dataclasses import dataclass, field
from pathlib import Path

from av.packet import Packet
from tqdm import tqdm

from enhance.device import out_of_memory_hint
from enhance.errors import DataError, SettingsError
from enhance.files import replacing, writing
from enhance.inference.steady import Steady
from enhance.inference.video_file import Part, VideoReader, VideoWriter, container_of, streams_to_copy, to_image
from enhance.run.interrupt import stop_on_signal


@dataclass
class Outcome:
    """What was written."""

    frames: int = 0
    copied: list[str] = field(default_factory=list)  # kinds of the other streams
    faults: list[str] = field(default_factory=list)  # of the file that was read
    exit_code: int | None = None  # where a signal ended it


def check_target(source: Path, out: Path, overwrite: bool) -> Path:
    """The file that the result goes to: `out`, or one of the video's name in the folder `out`.

    Raises:
        DataError: no such video.
        SettingsError: the target is the video itself, is already there and `overwrite` is off, or is of no kind that
            holds videos.
    """
    if not source.is_file():
        raise DataError(f"{source}: no such video")
    target = out / source.name if out.is_dir() else out
    if target.exists() and target.samefile(source):
        raise SettingsError(f"{target}: the result would replace the video itself; give another OUT")
    if target.exists() and not overwrite:
        raise SettingsError(f"{target}: already there; give another OUT, or --overwrite")
    container_of(target)
    return target


def enhance_video(
    steady: Steady, source: Path, target: Path, strength: float = 1.0, part: Part | None = None
) -> Outcome:
    """Enhance the frames of a part of a video, and copy what else is in it. Size, timestamps, rotation and colour
    space stay. A signal that asks to stop, and what cannot be read, end it with a whole file of what there was until
    then.

    Args:
        steady: with a model of three channels, or of one, which makes the frames grey.
        strength: between 0, which leaves the frames as they are, and 1.
        part: None: all frames.

    Raises:
        DataError: the video cannot be read, or holds no frame in this part; nothing is written.
        SettingsError: the target cannot be written, or cannot hold the video's sound.
    """
    part = part or Part()
    if steady.enhancer.model.channels == 4:
        raise SettingsError("a model of four channels takes no video: its frames have three")
    outcome = Outcome()
    with VideoReader(source) as reader, stop_on_signal() as interruption, writing(target, "give another OUT"):
        copied = streams_to_copy(reader, target)
        outcome.copied = [stream.type for stream in copied]
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            writer: VideoWriter | None = None
            waiting: list[Packet] = []  # sound before the first frame
            time = 0.0
            bar = tqdm(total=reader.expected_frames(part), desc="enhancing", unit="frame", disable=None)
            with bar, out_of_memory_hint(steady.enhancer.device, "lower --max-memory, or --device cpu"):
                for item in reader.read(part, copied):
                    if interruption:
                        outcome.exit_code = interruption.exit_code
                        break
                    if isinstance(item, Packet):
                        if writer is None:
                            waiting.append(item)
                        else:
                            writer.copy(item)
                        continue
                    if writer is None:
                        writer = VideoWriter(temporary, target, reader, item, copied, part)
                        for packet in waiting:
                            writer.copy(packet)
                        waiting, time = [], item.time
                    image = to_image(item, steady.enhancer.model.channels)
                    enhanced = steady(image, max(0.0, item.time - time)).to(image.device)
                    writer.write(item, image.lerp(enhanced, strength))
                    time = item.time
                    outcome.frames += 1
                    bar.update()
            if writer is not None:
                writer.close()
            elif interruption:
                raise KeyboardInterrupt
            else:
                reason = reader.faults[0] if reader.faults else f"no frame {part}"
                raise DataError(f"{source}: {reason}; nothing was written")
    outcome.faults = reader.faults
    return outcome
