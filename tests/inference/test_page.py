"""The web page: what it does with good, bad and huge files, and in a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from enhance.data.images import read_image
from enhance.errors import DataError
from enhance.inference.enhancer import Enhancer
from enhance.inference.page import MOST_MEGAPIXELS, Page, served
from enhance.models.build import build_model
from enhance.settings.schema import ModelSettings, NormSettings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def enhancer(seed: int, channels: int = 3) -> Enhancer:
    torch.manual_seed(seed)
    model = build_model(ModelSettings(width=8, depth=1, channels=channels), NormSettings("bn"))
    nn.init.normal_(model.network.unet.output.weight, std=0.1)
    return Enhancer(model, torch.device("cpu"))


@pytest.fixture
def page() -> Page:
    return Page({"first": enhancer(0), "second": enhancer(1)})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 60, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "night.png")
    return tmp_path / "night.png"


def test_strength_and_model_change_the_result(page: Page, photo: Path) -> None:
    _, image, none = page.enhance(str(photo), "first", 0)
    _, _, half = page.enhance(str(photo), "first", 0.5)
    _, _, whole = page.enhance(str(photo), "first", 1)
    assert torch.equal(none, image)
    torch.testing.assert_close(whole, page.enhancers["first"].enhance(image))
    torch.testing.assert_close(half, (image + whole) / 2)
    assert not torch.equal(page.enhance(str(photo), "second", 1)[2], whole)


def test_each_model_sees_the_channels_that_it_has_learned(tmp_path: Path, photo: Path) -> None:
    page = Page({"grey": enhancer(0, 1), "four": enhancer(0, 4)})
    _, image, result = page.enhance(str(photo), "grey", 1)
    assert image.shape == result.shape == (1, 60, 80)
    with pytest.raises(DataError, match=r"^night.png: its channels are RGB, and model.channels=4"):
        page.enhance(str(photo), "four", 1)
    Image.open(photo).convert("RGBA").save(tmp_path / "four.png")
    _, image, _ = page.enhance(str(tmp_path / "four.png"), "four", 1)
    assert image[3].eq(1).all()


def test_a_bad_file_is_told_without_its_place_on_the_server(page: Page, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:200])
    for name in ("text.png", "cut.png"):
        with pytest.raises(DataError, match=rf"^{name}: ") as caught:
            page.enhance(str(tmp_path / name), "first", 1)
        assert str(tmp_path) not in str(caught.value)


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    side = int((MOST_MEGAPIXELS * 1e6) ** 0.5) + 100
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    return tmp_path / "huge.png"


def test_a_huge_file_is_refused_by_its_head(page: Page, huge: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^huge\.png: .* px are too large"):
        page.enhance(str(huge), "first", 1)
    side = 4 * Image.open(huge).width
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"^bomb\.png: far too large"):
        page.enhance(str(tmp_path / "bomb.png"), "first", 1)


@pytest.fixture
def address(page: Page) -> Iterator[str]:
    with served(page, "127.0.0.1", None) as place:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        yield place
    assert not folder.exists()


@pytest.mark.parametrize("place", ["/etc/passwd", "../../../../etc/passwd", str(Path(__file__))])
def test_nothing_else_is_served(address: str, place: str) -> None:
    assert urlopen(address).status == 200
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}gradio_api/file={place}")
    assert refused.value.code in (403, 404)


@pytest.mark.parametrize("route", ["gradio_api/file=", "file=", "gradio_api/proxy=", "gradio_api/file=%20"])
def test_it_fetches_nothing_for_others(address: str, route: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}{route}https%3A//example.com/")
    assert (refused.value.code, refused.value.read()) == (404, b"not here")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_a_browser(address: str, page: Page, photo: Path, huge: Path, tmp_path: Path) -> None:
    from playwright.sync_api import Page as Window
    from playwright.sync_api import expect, sync_playwright

    written: dict[tuple[str, float], np.ndarray] = {}

    def choose_second(window: Window) -> None:
        window.locator("#model input").click()
        window.get_by_role("option", name="second").click()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        window = browser.new_page()
        requested: list[str] = []
        window.on("request", lambda request: requested.append(request.url))
        window.goto(address)
        upload = window.locator("#photo input[type=file]")
        expect(window.locator("#download")).to_be_disabled()
        upload.set_input_files(photo)
        expect(window.locator("#pictures img")).to_have_count(2)
        expect(window.locator("#summary")).to_contain_text("80 x 60 px")

        def download() -> np.ndarray:
            with window.expect_download() as caught:
                window.locator("#download").click()
            assert caught.value.suggested_filename == "night-enhanced.png"
            caught.value.save_as(tmp_path / "night-enhanced.png")
            return read_image(tmp_path / "night-enhanced.png").astype(int)

        def until_shown_anew(act: Callable[[], None]) -> None:
            shown = window.locator("#pictures img").last
            before = shown.get_attribute("src")
            assert before is not None
            act()
            expect(shown).not_to_have_attribute("src", before)

        written["first", 1.0] = download()
        until_shown_anew(lambda: choose_second(window))
        written["second", 1.0] = download()
        line = window.locator("#strength input[type=range]")
        until_shown_anew(lambda: line.click(position={"x": 1, "y": 5}))
        written["second", 0.0] = download()
        window.locator("#photo").get_by_label("Clear").click()
        expect(window.locator("#pictures img")).to_have_count(0)
        (tmp_path / "text.png").write_text("no image")
        upload.set_input_files(tmp_path / "text.png")
        expect(window.get_by_text("text.png: not an image file")).to_be_visible()
        window.locator("#photo").get_by_label("Clear").click()
        upload.set_input_files(huge)
        expect(window.get_by_text("px are too large for this page")).to_be_visible()
        browser.close()
    for (name, strength), pixels in written.items():
        wanted = page.enhance(str(photo), name, strength)[2]
        assert np.abs(pixels - (wanted * 255).permute(1, 2, 0).numpy()).max() <= 0.51, (name, strength)
    elsewhere = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []
