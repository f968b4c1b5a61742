"""A web page for one photograph: drop it, see it before and after, choose the strength, take the result home.

Gradio is an extra of the package and imported by this file alone.
"""

import functools
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from torch import Tensor

from enhance.data.images import image_format, to_pixels
from enhance.data.kinds import SUFFIXES, result_suffix, stored_size
from enhance.data.photo import Photo, read_photo, write_photo
from enhance.device import out_of_memory_hint
from enhance.errors import DataError, UserError
from enhance.inference.enhancer import Enhancer

MOST_MEGAPIXELS = 50
MOST_BYTES = 100 * 2**20
PREVIEW = 1600  # px of the longer side as the page shows it; the download has all of them
QUALITY = 95
THEME = gr.themes.Soft(primary_hue="amber", neutral_hue="stone", font=["system-ui", "sans-serif"]).set(
    body_background_fill="*neutral_100",
    block_label_background_fill="transparent",
    block_label_text_color="*neutral_500",
    block_label_shadow="none",
    block_title_background_fill="transparent",
    block_title_text_color="*neutral_500",
    block_title_padding="0",
)
CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
#title h1 { font-weight: 650; letter-spacing: -0.02em; margin-bottom: 0; }
#title p, #summary p { opacity: 0.7; margin-top: 0.2em; }
#pictures { min-height: 420px; }
footer { display: none !important; }
"""


class Page:
    """What the page does, without the page: with enhancers by the names that it shows."""

    def __init__(self, enhancers: dict[str, Enhancer]) -> None:
        self.enhancers = enhancers
        self._recent = functools.lru_cache(maxsize=2)(self._enhanced)  # for another strength of the same photograph

    def enhance(self, file: str, name: str, strength: float) -> tuple[Photo, Tensor, Tensor]:
        """The photograph, as float (C, H, W) in [0, 1], and its enhanced version. Raises `DataError` where it is no
        photograph that can be read, or too large; says its name without its place on the server."""
        photo, image, enhanced = self._recent(file, name)
        return photo, image, image.lerp(enhanced, strength)

    def _enhanced(self, file: str, name: str) -> tuple[Photo, Tensor, Tensor]:
        path = Path(file)
        try:
            _check_size(path)
            image_format(path.with_suffix(result_suffix(path)))  # of the result
            photo = read_photo(path, self.enhancers[name].model.channels)
        except DataError as error:
            raise DataError(str(error).replace(str(path), path.name)) from error
        image, enhancer = photo.tensor(), self.enhancers[name]
        with out_of_memory_hint(enhancer.device, "other work takes it; try again, or start with --device cpu"):
            return photo, image, enhancer.enhance(image)


def _check_size(path: Path) -> None:
    """By the head of the file alone, before its pixels take memory."""
    try:
        width, height = stored_size(path)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: far too large; make it smaller than {MOST_MEGAPIXELS} megapixels") from error
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds, for as many kinds of damage
        raise DataError(f"{path}: not an image file that can be read; give a JPEG, PNG, TIFF or WebP") from error
    if width * height > MOST_MEGAPIXELS * 1e6:
        cure = f"make it smaller than {MOST_MEGAPIXELS} megapixels, or use scripts/enhance_photos.py"
        raise DataError(f"{path}: {width}x{height} px are too large for this page; {cure}")


def build(page: Page) -> gr.Blocks:
    """The page's layout and events."""
    names = list(page.enhancers)

    def run(file: str | None, name: str, strength: float):  # type: ignore[no-untyped-def]
        if file is None:
            return None, gr.DownloadButton(interactive=False), ""
        start = time.perf_counter()
        try:
            photo, image, result = page.enhance(file, name, strength)
            path = Path(file)
            folder = tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])
            target = Path(folder) / f"{path.stem}-enhanced{result_suffix(path)}"
            write_photo(target, photo, result, QUALITY)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except OSError as error:
            raise gr.Error(f"the result cannot be written ({error.strerror})", print_exception=False) from error
        height, width = image.shape[1:]
        summary = f"{width} x {height} px, {time.perf_counter() - start:.1f} s"
        return (_preview(image), _preview(result)), gr.DownloadButton(value=str(target), interactive=True), summary

    with gr.Blocks(title="enhance: dark photographs made bright", analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown("# enhance\nDrop a dark photograph, and draw the line to compare.", elem_id="title")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(
                    label="Photograph", file_types=["image", *SUFFIXES], type="filepath", height=170, elem_id="photo"
                )
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", elem_id="strength")
                model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1, elem_id="model")
                download = gr.DownloadButton("Download", interactive=False, variant="primary", elem_id="download")
                summary = gr.Markdown(elem_id="summary")
            with gr.Column(scale=3):
                pictures = gr.ImageSlider(
                    label="Before and after", format="jpeg", interactive=False, max_height=640, elem_id="pictures"
                )
        outputs = [pictures, download, summary]
        for event in (file.change, strength.release, model.input):
            event(run, [file, model, strength], outputs, concurrency_limit=1, api_visibility="private")
    return blocks


def _preview(image: Tensor) -> np.ndarray:
    """uint8 (h, w, 3), at most PREVIEW wide and high."""
    picture = Image.fromarray(to_pixels(image))
    picture.thumbnail((PREVIEW, PREVIEW))
    return np.asarray(picture)


def _own_files_only(app: ASGIApp) -> ASGIApp:
    """Gradio fetches public addresses for whoever asks it to, `/gradio_api/file=https://...`: not here."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        elsewhere = scope["type"] == "http" and re.search(r"/(file|proxy)[=/]\s*https?:", scope["path"], re.IGNORECASE)
        await (PlainTextResponse("not here", 404) if elsewhere else app)(scope, receive, send)

    return guarded


@contextmanager
def served(page: Page, host: str, port: int | None) -> Iterator[str]:
    """Within, the page is served; gives its address.

    What is uploaded lies in a folder of its own, which goes away at the end; nothing else is served. Raises `OSError`
    where the host is none of this computer's IPv4 addresses, or the port is taken."""
    with socket.socket() as probe:  # Gradio tries a wrong host over and over
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port or 0))
    with tempfile.TemporaryDirectory(prefix="enhance-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = build(page)
        try:
            _, address, _ = blocks.queue(max_size=16).launch(
                server_name=host,
                server_port=port,
                max_file_size=MOST_BYTES,
                theme=THEME,
                css=CSS,
                quiet=True,
                share=False,
                ssr_mode=False,
                prevent_thread_lock=True,
                app_kwargs={"middleware": [Middleware(_own_files_only)]},
            )
            yield address
        finally:
            blocks.close(verbose=False)
