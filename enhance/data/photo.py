"""A photograph with its metadata: depth, alpha, EXIF, colour profile, resolution."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import ExifTags, Image
from torch import Tensor

from enhance.data.images import check_channels, decoding, grey, image_format, to_rgb, visible
from enhance.data.kinds import develop, is_raw
from enhance.errors import DataError
from enhance.files import replacing

_WITHOUT_ALPHA = ("JPEG", "MPO", "EPS", "PCX")
_FOUR_AS_THEY_ARE = ("PNG", "TIFF", "WEBP")
_ABOUT = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright", "ExifOffset", "GPSInfo")


@dataclass
class Photo:
    """One photograph, turned as its EXIF orientation says."""

    pixels: np.ndarray  # uint8 or uint16 (H, W, C), as the file stores them; of three, grey has equal ones
    alpha: np.ndarray | None = None  # (H, W), of the same type; None of four channels, whose last one it is
    grey: bool = False
    exif: bytes = b""  # without the orientation
    profile: bytes | None = None  # ICC
    more: dict[str, Any] = field(default_factory=dict)  # what Pillow's save takes besides, such as dpi

    def tensor(self) -> Tensor:
        """float32 (C, H, W) in [0, 1]."""
        most = np.iinfo(self.pixels.dtype).max
        return torch.from_numpy(np.ascontiguousarray(self.pixels.transpose(2, 0, 1), np.float32)).div_(most)


def read_photo(path: Path, channels: int = 3) -> Photo:
    """Read an image file of any kind that Pillow can decode, or a camera's raw one, without its metadata. Channels and
    errors are those of `images.read_image`."""
    if is_raw(path):
        check_channels(path, None, channels)
        photo = Photo(develop(path))
    else:
        photo = _read(path, channels)
    if channels != 1:
        return photo
    profile = photo.profile if photo.grey else None  # one of colours fits no grey file
    return replace(photo, pixels=grey(photo.pixels), grey=True, profile=profile)


def _read(path: Path, channels: int) -> Photo:
    with decoding(path) as file:
        check_channels(path, file, channels)
        exif = file.getexif()
        stored = exif.get(ExifTags.Base.Orientation, 1)
        if file.format == "TIFF":  # whose other tags say how its pixels lie
            for tag in set(exif) - {ExifTags.Base[name] for name in (*_ABOUT, "Orientation")}:
                del exif[tag]
        exif.bigtiff = False  # EXIF is of the classic kind, whatever TIFF it was read from
        about = _loaded(exif.tobytes())  # a copy, for Pillow closes a TIFF that it has loaded, and reads no more of it
        about.pop(ExifTags.Base.Orientation, 1)
        file.load()  # turns a TIFF
        left = file.getexif().get(ExifTags.Base.Orientation, 1)
        profile = None if file.mode == "CMYK" else file.info.get("icc_profile")  # that of CMYK describes inks
        more = {"dpi": file.info["dpi"]} if "dpi" in file.info else {}
        is_grey = file.mode in ("1", "L", "LA", "La") or file.mode.startswith("I")
        deep = _sixteen_bits(path, file)
        pixels = _turned(_eight_bits(file, channels), left) if deep is None else _turned(deep, stored)
        encoded = about.tobytes() if len(about) else b""
        if channels == 4:
            return Photo(pixels, None, is_grey, encoded, profile, more)
        colours, alpha = (pixels[..., :-1], pixels[..., -1]) if pixels.shape[2] in (2, 4) else (pixels, None)
        return Photo(np.broadcast_to(colours, (*pixels.shape[:2], 3)), alpha, is_grey, encoded, profile, more)


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as an EXIF orientation, of 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _eight_bits(file: Image.Image, channels: int) -> np.ndarray:
    """uint8 (H, W, 3), or 4 with alpha."""
    if channels == 4:
        return np.asarray(file)
    if not file.has_transparency_data:
        return np.asarray(to_rgb(file))
    return np.concatenate((np.asarray(to_rgb(file)), np.asarray(file.convert("RGBA"))[..., 3:]), 2)


def _sixteen_bits(path: Path, file: Image.Image) -> np.ndarray | None:
    """uint16 (H, W, 1 to 4) of a file that holds as much, of which Pillow keeps 8 bits; else None."""
    if file.format == "PNG":
        encoded = np.fromfile(path, np.uint8)
        if encoded[24] == 16:  # the bit depth, in the first chunk
            pixels = imagecodecs.png_decode(encoded.tobytes())
            return pixels.reshape(*pixels.shape[:2], -1)
    elif file.format == "TIFF":
        page = tifffile.TiffFile(path).pages.first
        if page.dtype == np.uint16 and page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK):
            pixels = page.asarray()
            if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
                pixels = np.moveaxis(pixels, 0, 2)
            return pixels.reshape(*pixels.shape[:2], -1)
    return None


def write_photo(path: Path, photo: Photo, enhanced: Tensor, quality: int) -> None:
    """Write the enhanced colours with all that `photo` says besides, as far as the format of `path` can hold it; 16
    bits go into PNG and TIFF. `path`, whose folder is made where it is missing, holds, at every moment, either the old
    file or the new one, whole.

    Args:
        enhanced: (C, H, W) in [0, 1].
        quality: of JPEG, WebP, AVIF and HEIC, 1 to 100.

    Raises:
        DataError: the suffix names no format that can be written, or the format does not hold such an image.
        OSError: the file cannot be written.
    """
    kind = image_format(path)
    deep = photo.pixels.dtype == np.uint16 and kind in ("PNG", "TIFF")
    most = 65535 if deep else 255
    if enhanced.shape[0] == 4 and kind not in _FOUR_AS_THEY_ARE:
        raise DataError(f"{path}: {kind} does not keep four channels as they are; choose .png, .tif or .webp")
    if photo.grey:
        # Others hold alpha beside colours alone, and so do TIFFs of 16 bits that Pillow can read.
        holds = photo.alpha is None or kind == "PNG" or (kind == "TIFF" and not deep)
        holds |= enhanced.shape[0] == 1 and kind in _WITHOUT_ALPHA
        enhanced = enhanced.mean(0, keepdim=True) if holds else visible(enhanced)
    pixels = (enhanced * most).round_().permute(1, 2, 0).numpy().astype(np.uint16 if deep else np.uint8)
    if photo.alpha is not None and kind not in _WITHOUT_ALPHA:
        alpha = photo.alpha if deep or photo.alpha.dtype == np.uint8 else (photo.alpha // 257).astype(np.uint8)
        pixels = np.concatenate((pixels, alpha[..., None].astype(pixels.dtype)), 2)
    try:
        if deep:
            encoded = _deep_png(pixels, photo) if kind == "PNG" else _deep_tiff(pixels, photo)
        else:
            encoded = _encoded(kind, pixels, photo, quality)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds, for as many limits of the formats
        raise DataError(f"{path}: {kind} does not hold this image ({error}); choose .png") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def _encoded(kind: str, pixels: np.ndarray, photo: Photo, quality: int) -> bytes:
    """The file's content, of uint8 (H, W, 1 to 4) as it is to be stored. Pillow itself would not report a full
    disk: it leaves a JPEG cut off."""
    lossy = {"quality": quality} if kind in ("JPEG", "WEBP", "AVIF", "HEIF") else {}
    if kind == "WEBP" and pixels.shape[2] == 4 and photo.alpha is None:
        lossy["exact"] = True  # keep colours where the fourth channel is 0
    metadata = {"exif": _loaded(photo.exif) if kind == "TIFF" else photo.exif, "icc_profile": photo.profile}
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    file = io.BytesIO()
    picture.save(file, kind, **lossy, **{key: value for key, value in metadata.items() if value}, **photo.more)
    return file.getvalue()


def _loaded(encoded: bytes) -> Image.Exif:
    """EXIF with the directory that lies within the camera's in place of its offset, which Pillow copies into a TIFF."""
    exif = Image.Exif()
    exif.load(encoded)
    if ExifTags.IFD.Exif in exif and ExifTags.IFD.Interop in exif.get_ifd(ExifTags.IFD.Exif):
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
    return exif


def _deep_png(pixels: np.ndarray, photo: Photo) -> bytes:
    """16 bits a channel, which Pillow does not write in colour. What it writes before the pixels of a smaller file goes
    behind the head (PNG specification, ISO/IEC 15948: 8 bytes of signature, 25 of IHDR)."""
    encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    small = _encoded("PNG", np.zeros((1, 1, 3), np.uint8), photo, 0)
    return encoded[:33] + small[33 : small.rindex(b"IDAT") - 4] + encoded[33:]


def _deep_tiff(pixels: np.ndarray, photo: Photo) -> bytes:
    """16 bits a channel, which Pillow does not write in colour. EXIF is a TIFF without pixels: here they follow it, in
    one strip (TIFF 6.0)."""
    height, width, channels = pixels.shape
    differences = np.diff(pixels, axis=1, prepend=np.zeros((height, 1, channels), np.uint16))  # modulo 2^16
    strip = imagecodecs.zlib_encode(differences.astype("<u2").tobytes())
    exif = _loaded(photo.exif)
    for tag, value in list(exif.items()):
        if not isinstance(value, str) and tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            del exif[tag]
    tags: dict[str, Any] = {
        "ImageWidth": width,
        "ImageLength": height,
        "BitsPerSample": (16,) * channels,
        "Compression": 8,  # zlib
        "PhotometricInterpretation": 1 if channels < 3 else 2,  # grey, with black at 0, or RGB
        "StripOffsets": 0,  # counted by Pillow from where EXIF ends
        "SamplesPerPixel": channels,
        "RowsPerStrip": height,
        "StripByteCounts": len(strip),
        "Predictor": 2,  # horizontal differences
        "ResolutionUnit": 2 if "dpi" in photo.more else 1,  # inch, or none
    }
    if channels in (2, 4):
        tags["ExtraSamples"] = 2  # alpha by which the colours are not multiplied
    if photo.profile:
        tags["InterColorProfile"] = photo.profile
    if "dpi" in photo.more:
        tags["XResolution"], tags["YResolution"] = photo.more["dpi"]
    exif.update({ExifTags.Base[name]: value for name, value in tags.items()})
    exif.endian = "<"
    return exif.tobytes().removeprefix(b"Exif\0\0") + strip
