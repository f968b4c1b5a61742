"""A web page for one photograph: drop it, see it before and after, choose brightness and strength, take the result
home.

Gradio is an extra of the package and imported by this file alone.
"""

import functools
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import torch
from PIL import Image
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from torch import Tensor

from enhance.data.demo import dark_photograph
from enhance.data.images import image_format, to_pixels
from enhance.data.kinds import SUFFIXES, result_suffix, stored_size
from enhance.data.photo import Photo, read_photo, write_photo
from enhance.device import out_of_memory_hint
from enhance.errors import DataError, UserError
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import Enhancer

MOST_MEGAPIXELS = 50
MOST_BYTES = 100 * 2**20
PREVIEW = 1600  # px of the longer side as the page shows it; the download has all of them
QUALITY = 95
REST = 0.3  # s without a new choice, before the download is written
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
#pictures label { background: var(--block-background-fill); }
footer { display: none !important; }
"""


@dataclass(frozen=True)
class Enhanced:
    """A photograph and what a model makes of it. Brightness and strength, which follow, take no network."""

    photo: Photo
    image: Tensor  # of the photograph: float32 (C, H, W) in [0, 1]
    detail: Tensor  # the model's result, of the same shape
    seconds: float  # that it took
    before: Image.Image  # both as the page shows them, at most PREVIEW wide and high
    after: Image.Image

    def result(self, stops: float, strength: float) -> Tensor:
        """All pixels, as `enhance_files` makes them: (C, H, W) in [0, 1]."""
        return self.image.lerp(Brightness(stops=stops).set(self.detail.clone()), strength)

    def preview(self, stops: float, strength: float) -> Image.Image:
        """The same of `after`, in milliseconds: brightness is a curve, of 8 bits a table."""
        levels = torch.arange(256).view(1, 1, 256) / 255
        table = (Brightness(stops=stops).set(levels) * 255).round().int().flatten().tolist()
        return Image.blend(self.before, self.after.point(table * 3), strength)


class Page:
    """What the page does, without the page: with enhancers by the names that it shows."""

    def __init__(self, enhancers: dict[str, Enhancer]) -> None:
        self.enhancers = enhancers
        self._recent = functools.lru_cache(maxsize=2)(self._enhance)  # for sliders, which move on and on
        self._one_at_a_time = threading.Lock()

    def enhance(self, file: str, name: str) -> Enhanced:
        """Raises `DataError` where the file is no photograph that can be read, or too large; says its name without its
        place on the server."""
        with self._one_at_a_time:
            return self._recent(file, name)

    def _enhance(self, file: str, name: str) -> Enhanced:
        start = time.perf_counter()
        path = Path(file)
        try:
            _check_size(path)
            image_format(path.with_suffix(result_suffix(path)))  # of the result
            photo = read_photo(path, self.enhancers[name].model.channels)
        except DataError as error:
            raise DataError(str(error).replace(str(path), path.name)) from error
        image, enhancer = photo.tensor(), self.enhancers[name]
        with out_of_memory_hint(enhancer.device, "other work takes it; try again, or start with --device cpu"):
            detail = enhancer.enhance(image)
        seconds = time.perf_counter() - start
        return Enhanced(photo, image, detail, seconds, _preview(image), _preview(detail))


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

    def show(latest: list, *chosen):  # type: ignore[no-untyped-def]
        latest[:] = chosen
        file, name, stops, strength = chosen
        if file is None:
            return None, gr.DownloadButton(interactive=False), ""
        with _told():
            enhanced = page.enhance(file, name)
        height, width = enhanced.image.shape[1:]
        pictures = enhanced.before, enhanced.preview(stops, strength)
        return pictures, gr.DownloadButton(interactive=False), f"{width} x {height} px, {enhanced.seconds:.1f} s"

    def write(latest: list, *chosen):  # type: ignore[no-untyped-def]
        time.sleep(REST)
        if latest != [*chosen] or chosen[0] is None:
            return gr.skip()
        file, name, stops, strength = chosen
        path = Path(file)
        with _told():
            folder = tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])
            target = Path(folder) / f"{path.stem}-enhanced{result_suffix(path)}"
            enhanced = page.enhance(file, name)
            write_photo(target, enhanced.photo, enhanced.result(stops, strength), QUALITY)
        return gr.DownloadButton(value=str(target), interactive=True) if latest == [*chosen] else gr.skip()

    def example() -> str:
        file = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / "coffee.png"
        Image.fromarray(dark_photograph()).save(file)
        return str(file)

    with gr.Blocks(title="enhance: dark photographs made bright", analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown("# enhance\nDrop a dark photograph, and draw the line to compare.", elem_id="title")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(
                    label="Photograph", file_types=["image", *SUFFIXES], type="filepath", height=170, elem_id="photo"
                )
                example_button = gr.Button("Try an example", size="sm", elem_id="example")
                brightness = gr.Slider(
                    -2, 2, 0, step=0.1, label="Brightness", info="stops more or less", elem_id="brightness"
                )
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", elem_id="strength")
                model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1, elem_id="model")
                download = gr.DownloadButton("Download", interactive=False, variant="primary", elem_id="download")
                summary = gr.Markdown(elem_id="summary")
            with gr.Column(scale=3):
                pictures = gr.ImageSlider(
                    label="Before and after", format="jpeg", interactive=False, max_height=640, elem_id="pictures"
                )
        # Of each visitor. A slider moves on while the file is written, which then is of no use.
        chosen = [gr.State([]), file, model, brightness, strength]
        for events, of_slides in (([file.change, model.input], False), ([brightness.change, strength.change], True)):
            shown = gr.on(
                events,
                show,
                chosen,
                [pictures, download, summary],
                show_progress="hidden" if of_slides else "full",
                queue=not of_slides,  # which takes longer than the picture
                trigger_mode="always_last",
                concurrency_limit=1,
                api_visibility="private",
            )
            shown.success(
                write,
                chosen,
                download,
                show_progress="hidden",
                trigger_mode="always_last",
                api_visibility="private",
            )
        example_button.click(example, None, file, api_visibility="private")
    return blocks


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong within is shown on the page."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except OSError as error:
        raise gr.Error(f"the result cannot be written ({error.strerror})", print_exception=False) from error


def _preview(image: Tensor) -> Image.Image:
    picture = Image.fromarray(to_pixels(image))
    picture.thumbnail((PREVIEW, PREVIEW))
    return picture


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
