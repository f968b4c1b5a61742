"""Every setting, once: its type, default, bounds and meaning stand at the field.

`enhance/configs/` holds what differs from these defaults; `--help` and docs/settings.md are made of the fields
(`describe`).
"""

from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any

MACHINE = "machine"  # how the machine works: may change when a run goes on
PLACE = "place"  # where data or weights lie: may change as well
LABEL = "label"  # what the run is called, and where it goes
Bound = float | None


def option(
    default: Any,
    meaning: str,
    *,
    least: Bound = None,
    most: Bound = None,
    above: Bound = None,
    among: tuple[int, ...] | None = None,
    role: str | None = None,
) -> Any:
    """A field with what it means.

    Args:
        least, most: inclusive bounds of a number.
        above: exclusive lower bound.
        among: the only values.
        role: `MACHINE`, `PLACE` or `LABEL`, none of which makes another result; None: it is part of the run's identity.
    """
    metadata = {"meaning": meaning, "least": least, "most": most, "above": above, "among": among, "role": role}
    return field(default=default, metadata=metadata)


def share(default: float, meaning: str) -> Any:
    """A field between 0 and 1."""
    return option(default, meaning, least=0, most=1)


def group(kind: type, meaning: str) -> Any:
    """A field that is a dataclass of settings itself, or a dict of them."""
    return field(default_factory=kind, metadata={"meaning": meaning})


Activation = StrEnum("Activation", "relu leaky_relu elu gelu silu sigmoid tanh")
Init = StrEnum("Init", "kaiming xavier torch")
LrScaling = StrEnum("LrScaling", "none sqrt linear")
Precision = StrEnum("Precision", "auto fp32 bf16 fp16")
OnError = StrEnum("OnError", "fail skip")
Side = StrEnum("Side", "low normal")
OnFullDisk = StrEnum("OnFullDisk", "stop go_on")
Protocol = StrEnum("Protocol", "plain all")
Recalibrate = StrEnum("Recalibrate", "train target")


@dataclass
class CameraSettings:
    """The dim-light camera of `enhance.data.camera`."""

    exposure_min_ev: float = option(-6.0, "darkest exposure, in stops relative to the photograph")
    exposure_max_ev: float = option(-2.0, "brightest exposure, in stops relative to the photograph")
    white_balance_drift: float = option(0.1, "standard deviation of the log gain of red and of blue", least=0)
    red_gain: float = option(1.0, "gain of red relative to green", above=0)
    blue_gain: float = option(1.0, "gain of blue relative to green", above=0)
    full_well_electrons: float = option(20000.0, "electrons of a pixel that is white in the photograph", least=1)
    read_noise_electrons: float = option(4.0, "standard deviation of the sensor's own noise, in electrons", least=0)
    full_well_min_electrons: float | None = option(
        None, "full_well_electrons is drawn between this and that, log-uniformly; null: always that", least=1
    )
    row_noise_electrons: float = option(0.0, "standard deviation of what a row has in common, in electrons", least=0)
    black_offset_electrons: float = option(0.0, "standard deviation of each channel's error at black", least=0)
    demosaic_share: float = share(0.0, "of the photographs with noise as a Bayer mosaic's interpolation leaves it")
    right_share: float = share(0.0, "of the photographs that are exposed right already")
    light_field_ev: float = option(0.0, "the light differs over a photograph by up to so many stops", least=0)
    back_light_share: float = share(0.0, "of the photographs in which what is bright keeps its light")
    lamps_share: float = share(0.0, "of the photographs in which lamps are added, to both images")
    tone_spread: float = option(0.0, "standard deviation of the log exponent of the tone curve, on sRGB", least=0)
    smear_share: float = share(0.0, "of the photographs that a phone's denoiser has smeared")
    jpeg_share: float = share(0.0, "of the photographs that are JPEG, once or twice")
    jpeg_min_quality: int = option(50, "worst quality of JPEG", least=1, most=100)
    jpeg_max_quality: int = option(98, "best quality of JPEG", least=1, most=100)
    shrink_most: float = option(1.0, "training photographs are shrunk by up to this factor before", least=1)
    seed: int = option(0, "seed of validation: the same images for every run", least=0, most=2**63 - 1)

    @property
    def light_differs(self) -> bool:
        """Whether the light depends on the place in the photograph."""
        return self.light_field_ev > 0 or self.lamps_share > 0


@dataclass
class DataSettings:
    """Where the pairs come from and how they are cut."""

    name: str = option("demo", "demo, photos, lol_v1, lol_v2_real, lol_v2_synthetic, pairs or shards")
    root: str | None = option(None, "folder of the data set; photos: of the training photographs", role=PLACE)
    val_root: str | None = option(None, "photos: folder of validation photographs; null: a share of root", role=PLACE)
    low: str | None = option(None, "pairs: folder of the dark images, absolute or inside root", role=PLACE)
    normal: str | None = option(None, "pairs: folder of the bright images, absolute or inside root", role=PLACE)
    split: str | None = option(
        None, "CSV file of name and part (training, validation, test) of each pair; null: by the share", role=PLACE
    )
    pattern: str | None = option(
        None, "pairs: names of the dark and of the other images without suffix, such as KEY_dark:KEY; ANY is anything"
    )
    content: str | None = option(None, "fingerprint of the images' names and sizes; a run notes it, and refuses others")
    crop: int = option(128, "side of a training crop, in pixels", least=16)
    exposure_epochs: float | None = option(
        None,
        "passes over the training images in which the exposure network learns; null: the whole run, as through the "
        "camera, where every crop has an exposure of its own",
        least=0,
    )
    exposure_crops: int = option(16000, "with exposure_epochs: the fewest crops, however few the images", least=1)
    training_images: int | None = option(None, "train on so many images, spread over all; null: all", least=1)
    validation_share: float = share(0.1, "share of the training pairs held out, whole scenes at a time")
    darkest: float = share(0.0, "photos, demo: mean grey value below which a photograph is left out as a target")
    on_error: OnError = option(
        OnError.fail, "what to do with an image that cannot be decoded or has no partner, or a pair of two sizes"
    )
    resize: Side | None = option(None, "of a pair of two sizes, the image that takes the other's: low or normal")
    cache: str | None = option(None, "folder for decoded images, shared by processes and later runs", role=MACHINE)
    cache_gib: float = option(4.0, "decoded images kept in memory without a cache, in GiB", least=0, role=MACHINE)
    workers: int = option(0, "processes that prepare batches; 0: the training process does", least=0, role=MACHINE)
    camera: CameraSettings = group(CameraSettings, "of demo and photos")
    other_cameras: dict[str, CameraSettings] = group(
        dict, "cameras by name, on which a sweep's runs are scored as well"
    )

    @property
    def through_camera(self) -> bool:
        """Whether the simulated camera makes the dark images, and each crop has an exposure of its own."""
        return self.name in ("demo", "photos")


@dataclass
class NormSettings:
    """The switch `norm=`, and options of the layer; null is the layer's own default (docs/norms.md)."""

    name: str = option("bn", "a name of enhance.norm.registry")
    eps: float | None = option(None, "added to the variance", least=0)
    momentum: float | None = option(
        None, "batch norms: share of the new batch in the running statistics", least=0, most=1
    )
    track_running_stats: bool | None = option(None, "batch norms: keep running statistics for evaluation")
    num_groups: int | None = option(None, "gn: groups that the channels are divided into", least=1)
    virtual_batch: int | None = option(None, "bn_ghost: images whose statistics are taken together", least=1)
    r_max: float | None = option(None, "brn: largest correction of the scale, and one over the smallest", least=1)
    d_max: float | None = option(None, "brn: largest correction of the mean, in running standard deviations", least=0)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the layer: every field that is set."""
        return {key: value for key, value in vars(self).items() if key != "name" and value is not None}


@dataclass
class ModelSettings:
    """The U-Net of `enhance.models`; these defaults are those of model=unet_tiny."""

    name: str = option("unet_tiny", "what reports call it")
    channels: int = option(
        3, "of the images: 3 is RGB, 1 grey, 4 RGB and what files keep as alpha, such as infrared", among=(1, 3, 4)
    )
    width: int = option(16, "channels of the first level; each level down doubles them", least=1, most=4096)
    depth: int = option(3, "number of times the resolution is halved after the entry", least=1)
    unshuffle: int = option(2, "pixel-unshuffle factor at the entry: 2 works at half resolution", least=1)
    activation: Activation = option(Activation.leaky_relu, "activation function")
    init: Init = option(Init.kaiming, "how the convolutions' first weights are drawn")
    init_scale: float = option(1.0, "factor on the first weights", above=0)
    context: bool = option(False, "add the channel means of the whole image on each way down")
    exposure: bool = option(True, "a second, small U-Net without norms sets the overall brightness")
    brightened: bool = option(True, "the U-Net also sees the image at one overall brightness")
    exposed: bool = option(False, "expose the photograph to the usual brightness first, instead of both")


@dataclass
class ObjectiveSettings:
    """Weights of the parts of the loss; a part of weight 0 is not computed."""

    l1: float = option(1.0, "mean absolute error", least=0)
    ssim: float = option(0.2, "1 - SSIM, window 11, sigma 1.5", least=0)
    perceptual: float = option(0.0, "mean absolute difference of VGG-16 features", least=0)
    vgg: str | None = option(None, "file of VGG-16 weights, for perceptual; null: torch's cache", role=PLACE)


@dataclass
class OptimizerSettings:
    """AdamW (Loshchilov and Hutter 2019)."""

    lr: float = option(1e-3, "peak learning rate", above=0)
    lr_scaling: LrScaling = option(LrScaling.none, "how lr, then that of 8 images a step, follows their number")
    weight_decay: float = option(1e-4, "of weights with two or more dimensions; norms and biases have none", least=0)
    beta1: float = share(0.9, "decay of the mean of gradients")
    beta2: float = share(0.99, "decay of the mean of squared gradients")
    clip: float = option(1.0, "largest norm of the gradient; 0 does not clip", least=0)
    max_skipped: int = option(10, "steps in a row without a finite gradient, after which the run ends", least=1)


@dataclass
class ScheduleSettings:
    """Length of the run, and what happens over it: linear warm-up, then a cosine to the floor."""

    steps: int | None = option(2000, "optimizer steps; give this or epochs", least=1)
    epochs: float | None = option(None, "passes over the training images; give this or steps", above=0)
    warmup: float = share(0.03, "share of the run in which the learning rate rises")
    floor: float = share(0.01, "last learning rate, as a share of the peak")
    before: str | None = option(None, "lengths that resume=RUN schedule.steps=MORE has changed; a run notes them")
    freeze_after: float = share(1.0, "share of the run after which batch norms are recalibrated and frozen; 1: never")


@dataclass
class ValidationSettings:
    """Scores on whole held-out images during training."""

    every: int = option(500, "steps between two validations; one more comes after the last step", least=1)
    recalibrate: bool = option(True, "take the batch norms' statistics again over whole training images before")
    recalibrate_images: int = option(64, "training images for that", least=1)
    strips: int = option(4, "images shown in TensorBoard", least=0)


@dataclass
class Settings:
    """One training run."""

    data: DataSettings = group(DataSettings, "the pairs")
    norm: NormSettings = group(NormSettings, "the normalization")
    model: ModelSettings = group(ModelSettings, "the network")
    objective: ObjectiveSettings = group(ObjectiveSettings, "the loss")
    optimizer: OptimizerSettings = group(OptimizerSettings, "AdamW")
    schedule: ScheduleSettings = group(ScheduleSettings, "length and learning rate")
    validation: ValidationSettings = group(ValidationSettings, "scores on the way")
    batch_size: int = option(8, "crops that go through the network at once", least=1)
    accumulate: int = option(1, "batches whose gradients are averaged into one optimizer step", least=1)
    average_decay: float = share(0.999, "decay of the moving average of the weights (ema); 0: the latest weights")
    init_from: str | None = option(
        None, "run folder (its best.pt) or .pt file whose averaged weights a new run begins with", role=PLACE
    )
    init_content: str | None = option(None, "fingerprint of those weights; a run notes it, and refuses others")
    seed: int = option(0, "of weights, order, crops and noise", least=0, most=2**63 - 1)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", role=MACHINE)
    precision: Precision = option(Precision.auto, "number format of the forward pass; auto: bf16 where it is fast")
    channels_last: bool = option(True, "memory format of images and convolutions")
    checkpoint_activations: bool = option(
        False, "keep the U-Net's levels alone for backward, and compute the rest again", role=MACHINE
    )
    compile: bool = option(False, "torch.compile the step: faster after a slow first one")
    deterministic: bool = option(False, "only algorithms that repeat bit for bit, where CUDA has faster ones")
    threads: int | None = option(None, "CPU threads; null leaves torch's choice", least=1, most=1024, role=MACHINE)
    runs: str = option("runs", "folder of all run folders", role=LABEL)
    name: str | None = option(None, "run folder is <runs>/<date>-<name>; null: norm, batch, model, data", role=LABEL)
    on_full_disk: OnFullDisk = option(
        OnFullDisk.stop, "what to do where a checkpoint or a number cannot be written", role=MACHINE
    )
    sweep: str = option("sweep", "with -m: run folders are <runs>/<sweep>/<what is swept>", role=LABEL)
    results: str | None = option(None, "with -m: CSV file of results; null: <runs>/<sweep>/runs.csv", role=LABEL)
    resume: str | None = option(
        None,
        "run folder to go on with, by its own settings, or with schedule.steps=MORE; auto: the run of these settings, "
        "or a new one",
        role=LABEL,
    )

    @property
    def images_per_step(self) -> int:
        """Crops that one optimizer step sees."""
        return self.batch_size * self.accumulate


@dataclass
class EvaluationSettings:
    """One evaluation of a checkpoint, or of another method's outputs."""

    checkpoint: str | None = option(None, "run folder (its best.pt) or .pt file; null: the newest of runs")
    outputs: str | None = option(
        None, "folder of another method's images, to score instead of a checkpoint's; with data="
    )
    data: DataSettings | None = option(None, "null: the data of the run that wrote the checkpoint")
    protocol: Protocol = option(Protocol.plain, "plain: RGB, with and without GT-mean; all: 8 bits, grey, Y, LPIPS too")
    recalibrate: Recalibrate | None = option(None, "also score with batch norms recalibrated now, on which images")
    runs: str = option("runs", "folder of all run folders")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    out: str | None = option(None, "folder of the report; null: evaluation-<data>-<split> in the run folder")


def flat(settings: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Field and value of each setting below a dataclass, by its key such as `optimizer.lr`."""
    entries: dict[str, tuple[Any, Any]] = {}
    for each in fields(settings):
        value, key = getattr(settings, each.name), prefix + each.name
        if is_dataclass(value):
            entries |= flat(value, f"{key}.")
        elif isinstance(value, dict):
            for name, inner in value.items():
                entries |= flat(inner, f"{key}.{name}.")
        else:
            entries[key] = (each, value)
    return entries
