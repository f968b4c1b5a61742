"""Enhance photographs on disk: one, or a folder of them."""

import mimetypes
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from enhance.data.images import image_format, list_images, shortened
from enhance.data.kinds import is_raw, result_suffix
from enhance.data.photo import read_photo, write_photo
from enhance.device import out_of_memory_hint
from enhance.errors import DataError, SettingsError
from enhance.files import writing
from enhance.inference.brightness import AUTO, Brightness
from enhance.inference.enhancer import Enhancer


def pair_with_targets(photos: Path, out: Path, overwrite: bool) -> list[tuple[Path, Path]]:
    """Each photograph with the file that its result goes to; names stay, but camera raw becomes PNG.

    Args:
        photos: one photograph, or a folder of them.
        out: a folder; for one photograph also a file name.

    Raises:
        DataError: no photographs, a result would replace a photograph itself, or its type cannot be written.
        SettingsError: results exist and `overwrite` is off, or `out` is a file where a folder is needed.
    """
    if not photos.exists():
        raise DataError(f"{photos}: no such photograph, folder or run")
    if photos.is_file():
        if (mimetypes.guess_type(out.name)[0] or "").startswith("image/") and not out.is_dir():
            image_format(out)  # a file of a kind that cannot be written would be taken for a folder
        if is_raw(out):
            image_format(out)
        named = out.suffix.lower() in Image.registered_extensions() and not out.is_dir()
        pairs = [(photos, out if named else out / _result_name(photos))]
    else:
        images = list_images(photos, within=True)
        pairs = [(path, out / path.relative_to(photos).with_name(_result_name(path))) for path in images]
    one_of: dict[Path, Path] = {}
    for photo, target in pairs:
        if (other := one_of.setdefault(target, photo)) != photo:
            raise DataError(f"{other} and {photo.name} would both become {target}; enhance one of them by itself")
    for photo, target in pairs:
        if target.parent.exists() and not target.parent.is_dir():
            raise SettingsError(f"{target.parent}: a file, where the results need a folder; give another OUT")
        image_format(target)
        if target.exists() and target.samefile(photo):
            raise DataError(f"{target}: the result would replace the photograph itself; give another OUT")
    if not overwrite and (existing := [str(target) for _, target in pairs if target.exists()]):
        raise SettingsError(f"{shortened(existing)}: already there; give another OUT, or --overwrite")
    return pairs


def _result_name(photo: Path) -> str:
    return photo.stem + result_suffix(photo)


def enhance_files(
    enhancer: Enhancer,
    pairs: list[tuple[Path, Path]],
    strength: float,
    quality: int,
    brightness: Brightness = AUTO,
) -> list[str]:
    """Enhance each photograph into its target file; returns why those that failed did, and goes on with the rest.
    Raises `SettingsError` where a target cannot be written.

    Args:
        strength: between 0, which leaves the photograph as it is, and 1.
        quality: of JPEG, WebP, AVIF and HEIC, 1 to 100.
        brightness: of the whole result, before `strength`.
    """
    failures = []
    for photo, target in tqdm(pairs, "enhancing", unit="photo", disable=None):
        too_large = f"{photo} is too large for it; lower --max-memory, or --device cpu"
        try:
            photograph = read_photo(photo, enhancer.model.channels)
            with out_of_memory_hint(enhancer.device, too_large):
                image = photograph.tensor()
                enhanced = image.lerp_(enhancer.enhance(image, brightness), strength)
            with writing(target, "give another OUT"):
                write_photo(target, photograph, enhanced, quality)
        except DataError as error:
            failures.append(str(error))
    return failures
