"""Typed settings: the YAML of `configs/` becomes these dataclasses once (`config`), and no dict travels on."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class CameraSettings:
    """The dim-light camera of `enhance.data.camera`."""

    exposure_min_ev: float = -6.0  # darkest exposure, in stops relative to the photograph
    exposure_max_ev: float = -2.0  # brightest exposure, in stops relative to the photograph
    white_balance_drift: float = 0.1  # standard deviation of the log gain of red and of blue
    red_gain: float = 1.0  # of the white balance itself, relative to green
    blue_gain: float = 1.0
    full_well_electrons: float = 20000.0  # electrons of a pixel that is white in the photograph
    read_noise_electrons: float = 4.0  # standard deviation of the sensor's own noise, in electrons
    seed: int = 0  # of validation: not the run's seed, so that runs with other seeds are scored on the same images


@dataclass
class DataSettings:
    """Where the pairs come from and how they are cut."""

    name: str = "demo"  # demo, photos, lol_v1, lol_v2_real, lol_v2_synthetic, pairs or shards
    root: str | None = None  # folder of the data set; of the training photographs for `photos`
    val_root: str | None = None  # photos: folder of validation photographs; else a part of root is held out
    low: str | None = None  # pairs: folder of the dark images, absolute or inside root
    normal: str | None = None  # pairs: folder of the bright images, absolute or inside root
    split: str | None = (
        None  # pairs: CSV file, name and part (training, validation, report) of each; None: by the share
    )
    crop: int = 128  # side of a training crop, in pixels
    mixup: float = 0.0  # chance that the pairs of a training batch are mixed with each other
    gamma_jitter: float = 0.0  # standard deviation of the log gamma of dark training crops
    training_images: int | None = None  # train on so many of the training images, spread over them; None: all
    validation_share: float = 0.1  # part of the training pairs held out, whole scenes at a time
    on_error: str = "fail"  # fail or skip: where an image cannot be decoded when the data are opened
    cache: str | None = None  # folder for decoded images, which all processes share and the next run finds
    cache_gib: float = 4.0  # decoded images kept in memory where no cache keeps them, in GiB; else decoded when needed
    workers: int = 0  # processes that prepare batches; 0 prepares them in the training process
    camera: CameraSettings = field(default_factory=CameraSettings)  # demo and photos
    other_cameras: dict[str, CameraSettings] = field(default_factory=dict)  # a sweep's runs are scored on them too

    @property
    def through_camera(self) -> bool:
        """Whether the simulated camera makes the dark images, and each crop has an exposure of its own."""
        return self.name in ("demo", "photos")


@dataclass
class NormSettings:
    """The switch `norm=`, and the options of the layer; an option that the layer lacks is None."""

    name: str = "bn"  # a name of `enhance.norm.registry`
    eps: float | None = None  # added to the variance
    affine: bool | None = None  # learn a scale and a shift per channel
    momentum: float | None = None  # batch norms: share of the new batch in the running statistics
    track_running_stats: bool | None = None  # batch norms: keep running statistics for evaluation
    num_groups: int | None = None  # gn: groups that the channels are parted into
    virtual_batch: int | None = None  # bn_ghost: images whose statistics are taken together
    r_max: float | None = None  # brn: largest correction of the scale, and one over the smallest
    d_max: float | None = None  # brn: largest correction of the mean, in running standard deviations
    ramp_start: float | None = None  # brn: share of the run that is plain batch norm; then the limits open
    r_ramp_end: float | None = None  # brn: share of the run at which r_max is reached
    d_ramp_end: float | None = None  # brn: share of the run at which d_max is reached
    freeze_after: float | None = None  # batch norms: share of the run after which statistics stay; 1 never freezes

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the layer: every field that the configuration sets, but for those of the trainer."""
        fields = dataclasses.asdict(self)
        del fields["name"], fields["freeze_after"]
        return {key: value for key, value in fields.items() if value is not None}


@dataclass
class ModelSettings:
    """The U-Net of `enhance.models.unet`."""

    name: str = "unet_tiny"
    width: int = 16  # channels of the first level; each level down doubles them
    depth: int = 3  # number of times the resolution is halved after the entry
    unshuffle: int = 2  # pixel-unshuffle factor at the entry: 2 works at half resolution
    activation: str = "leaky_relu"  # relu, leaky_relu, elu, gelu, silu, sigmoid or tanh
    down: str = "max_pool"  # max_pool or strided
    init: str = "kaiming"  # kaiming, xavier or torch: how the convolutions' first weights are drawn
    init_scale: float = 1.0  # a factor on them
    context: bool = False  # add what the whole image tells, by its channel means, on each way down
    exposure: bool = False  # a second, small U-Net without norms sets the overall brightness
    brightened: bool = False  # the U-Net also sees the image at one overall brightness


@dataclass
class ObjectiveSettings:
    """Weights of the parts of the loss; a part of weight 0 is not computed."""

    l1: float = 1.0  # mean absolute error
    charbonnier: float = 0.0  # sqrt(error^2 + 1e-6)
    ssim: float = 0.2  # 1 - SSIM, window 11, sigma 1.5
    ms_ssim: float = 0.0  # 1 - MS-SSIM
    edge: float = 0.0  # mean absolute difference of Sobel gradients
    colour: float = 0.0  # absolute difference of the channels' means
    perceptual: float = 0.0  # mean absolute difference of VGG-16 features
    vgg: str | None = None  # file of VGG-16 weights, for perceptual; None: torch's cache
    gt_mean: bool = False  # each part but colour also at the target's brightness (arXiv 2507.20148)


@dataclass
class OptimizerSettings:
    """AdamW (Loshchilov and Hutter 2019)."""

    lr: float = 1e-3  # peak learning rate
    lr_scaling: str = "none"  # none, sqrt or linear: how lr, then that of 8 images a step, follows their number
    weight_decay: float = 1e-4  # of weights with two or more dimensions; norms and biases have none
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 1.0  # largest norm of the gradient; 0 does not clip
    max_skipped: int = 10  # steps in a row whose gradient is not finite, after which the run ends


@dataclass
class ScheduleSettings:
    """Length of the run, and the learning rate over it: linear warm-up, then a cosine to the floor."""

    steps: int | None = 2000  # optimizer steps; give this or epochs
    epochs: float | None = None  # passes over the training images; give this or steps
    warmup: float = 0.03  # part of the run in which the learning rate rises
    floor: float = 0.01  # last learning rate, as a part of the peak
    # Passes over the training images in which the second U-Net of model.exposure learns, by a cosine of its own, and
    # after which it stays; null: 40, but no fewer than 16000 crops, and through the simulated camera the whole run.
    exposure_epochs: float | None = None


@dataclass
class ValidationSettings:
    """Scores on whole held-out images during training."""

    every: int = 500  # steps between two validations; one more comes after the last step
    recalibrate: bool = True  # take the batch norms' statistics again over whole training images before
    recalibrate_images: int = 64  # training images for that
    strips: int = 4  # images shown in TensorBoard


@dataclass
class Settings:
    """One training run."""

    data: DataSettings = field(default_factory=DataSettings)
    norm: NormSettings = field(default_factory=NormSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    batch_size: int = 8  # crops that go through the network at once
    accumulate: int = 1  # batches whose gradients are averaged into one optimizer step
    average_decay: float = 0.999  # moving average of the weights; 0 keeps none
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or cuda:N
    precision: str = "auto"  # auto (bf16 where the device is fast at it), fp32, bf16 or fp16
    channels_last: bool = True  # memory format of images and convolutions
    checkpoint_activations: bool = False  # keep the U-Net's levels alone for backward, and compute the rest again
    compile: bool = False  # torch.compile the forward and backward pass: faster steps after a slow first one
    deterministic: bool = False  # only algorithms that repeat bit for bit, where CUDA has slower ones
    threads: int | None = None  # CPU threads; None leaves torch's choice
    runs: str = "runs"  # folder of all run folders
    name: str | None = None  # run folder is <runs>/<date>-<name>; None makes one from norm, batch, model, data
    on_full_disk: str = "stop"  # stop or go_on: where a checkpoint or a number cannot be written
    sweep: str = "sweep"  # with -m: run folders are <runs>/<sweep>/<what was swept>
    results: str | None = None  # with -m: CSV file, one row per finished run; None is <runs>/<sweep>/runs.csv
    resume: str | None = None  # a run folder: go on with it, with its own settings; auto: with the run of these ones

    @property
    def images_per_step(self) -> int:
        """Crops that one optimizer step sees."""
        return self.batch_size * self.accumulate


@dataclass
class EvaluationSettings:
    """One evaluation of a checkpoint."""

    checkpoint: str | None = None  # a run folder (its best.pt) or a .pt file; None takes the newest of `runs`
    data: DataSettings | None = None  # None takes the data of the run that wrote the checkpoint
    protocol: str = "plain"  # plain (RGB, with and without GT-mean), or all: 8 bits, grey, Y and LPIPS as well
    recalibrate: str | None = None  # train or target: also score with batch norms recalibrated now, on which images
    runs: str = "runs"  # folder of all run folders
    device: str = "auto"  # auto, cpu, cuda or cuda:N
    out: str | None = None  # folder of the report; None makes evaluation-<data>-<split> in the run folder


PLACES = ("root", "val_root", "low", "normal", "split")  # of DataSettings: paths of the user
# What a run may change when it goes on: where its data lie, and how the machine works, which make no other result.
_MACHINE = ("data.workers", "data.cache_gib", "device", "threads", "on_full_disk")
MOVABLE = (*(f"data.{place}" for place in PLACES), *_MACHINE)


def move(settings: Settings, to: Settings, keys: Iterable[str] = MOVABLE) -> None:
    """Give the settings of a run those of another place or machine, in place."""
    for key in keys:
        group, _, name = key.rpartition(".")
        one, other = ((getattr(each, group) if group else each) for each in (settings, to))
        setattr(one, name, getattr(other, name))
