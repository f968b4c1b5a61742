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

from enhance.data.demo import dark_photograph
from enhance.data.images import read_image
from enhance.data.photo import write_photo
from enhance.errors import DataError
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import Enhancer
from enhance.inference.page import MOST_MEGAPIXELS, Page, served
from enhance.inference.photos import enhance_files
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
    enhanced = page.enhance(str(photo), "first")
    image = enhanced.image
    none, half, whole = (enhanced.result(0, strength) for strength in (0, 0.5, 1))
    assert torch.equal(none, image)
    torch.testing.assert_close(whole, page.enhancers["first"].enhance(image))
    torch.testing.assert_close(half, (image + whole) / 2)
    assert not torch.equal(page.enhance(str(photo), "second").result(0, 1), whole)
    assert page.enhance(str(photo), "first") is enhanced  # the network runs once


@pytest.mark.parametrize(("stops", "strength"), [(0, 0.3), (0.7, 1), (2, 0.6), (-1.3, 0.6)])
def test_the_result_is_that_of_enhance_photos(
    page: Page, photo: Path, tmp_path: Path, stops: float, strength: float
) -> None:
    wanted, got = tmp_path / "wanted.png", tmp_path / "got.png"
    enhance_files(page.enhancers["first"], [(photo, wanted)], strength, 95, Brightness.of(f"{stops:+}EV"))
    enhanced = page.enhance(str(photo), "first")
    write_photo(got, enhanced.photo, enhanced.result(stops, strength), 95)
    assert got.read_bytes() == wanted.read_bytes()
    apart = read_image(got).astype(int) - np.asarray(enhanced.preview(stops, strength))
    assert np.abs(apart).max() <= 4  # of 8 bits, of which two stops make fewer in the shadows
    assert np.abs(apart).mean() < 0.5


def test_the_picture_that_is_shown_is_small(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1200), (20, 10, 30)).save(tmp_path / "large.png")
    enhanced = page.enhance(str(tmp_path / "large.png"), "first")
    assert enhanced.before.size == enhanced.preview(1, 1).size == (1600, 800)
    assert enhanced.result(1, 1).shape == (3, 1200, 2400)


def test_each_model_sees_the_channels_that_it_has_learned(tmp_path: Path, photo: Path) -> None:
    page = Page({"grey": enhancer(0, 1), "four": enhancer(0, 4)})
    grey = page.enhance(str(photo), "grey")
    assert grey.image.shape == grey.result(1, 0.5).shape == (1, 60, 80)
    with pytest.raises(DataError, match=r"^night.png: its channels are RGB, and model.channels=4"):
        page.enhance(str(photo), "four")
    Image.open(photo).convert("RGBA").save(tmp_path / "four.png")
    four = page.enhance(str(tmp_path / "four.png"), "four")
    assert four.image[3].eq(1).all()
    assert grey.preview(1, 0.5).size == four.preview(1, 0.5).size == (80, 60)


def test_a_bad_file_is_told_without_its_place_on_the_server(page: Page, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:200])
    for name in ("text.png", "cut.png"):
        with pytest.raises(DataError, match=rf"^{name}: ") as caught:
            page.enhance(str(tmp_path / name), "first")
        assert str(tmp_path) not in str(caught.value)


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    side = int((MOST_MEGAPIXELS * 1e6) ** 0.5) + 100
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    return tmp_path / "huge.png"


def test_a_huge_file_is_refused_by_its_head(page: Page, huge: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^huge\.png: .* px are too large"):
        page.enhance(str(huge), "first")
    side = 4 * Image.open(huge).width
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"^bomb\.png: far too large"):
        page.enhance(str(tmp_path / "bomb.png"), "first")


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

    written: dict[tuple[str, float, float], bytes] = {}

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

        def download(name: str = "night-enhanced.png") -> bytes:
            with window.expect_download() as caught:
                window.locator("#download").click()
            assert caught.value.suggested_filename == name
            caught.value.save_as(tmp_path / name)
            return (tmp_path / name).read_bytes()

        def until_shown_anew(act: Callable[[], None]) -> None:
            shown = window.locator("#pictures img").last
            before = shown.get_attribute("src")
            assert before is not None
            act()
            expect(shown).not_to_have_attribute("src", before)

        written["first", 0.0, 1.0] = download()
        until_shown_anew(lambda: choose_second(window))
        written["second", 0.0, 1.0] = download()
        until_shown_anew(lambda: window.locator("#brightness input[type=number]").fill("1.5"))
        line = window.locator("#strength input[type=range]")
        line.focus()
        until_shown_anew(lambda: window.keyboard.press("ArrowLeft"))
        for _ in range(7):  # faster than files are written
            window.keyboard.press("ArrowLeft")
        expect(window.locator("#download")).to_be_disabled()
        written["second", 1.5, 0.6] = download()
        until_shown_anew(lambda: window.locator("#brightness").get_by_label("Reset").click())
        until_shown_anew(lambda: line.click(position={"x": 1, "y": 5}))
        written["second", 0.0, 0.0] = download()
        window.locator("#photo").get_by_label("Clear").click()
        expect(window.locator("#pictures img")).to_have_count(0)
        expect(window.locator("#download")).to_be_disabled()
        window.locator("#example").click()
        expect(window.locator("#summary")).to_contain_text("600 x 400 px")
        download("coffee-enhanced.png")
        window.locator("#photo").get_by_label("Clear").click()
        (tmp_path / "text.png").write_text("no image")
        upload.set_input_files(tmp_path / "text.png")
        expect(window.get_by_text("text.png: not an image file")).to_be_visible()
        window.locator("#photo").get_by_label("Clear").click()
        upload.set_input_files(huge)
        expect(window.get_by_text("px are too large for this page")).to_be_visible()
        browser.close()
    for (name, stops, strength), content in written.items():
        enhance_files(page.enhancers[name], [(photo, tmp_path / "wanted.png")], strength, 95, Brightness(stops=stops))
        assert content == (tmp_path / "wanted.png").read_bytes(), (name, stops, strength)
    np.testing.assert_array_equal(read_image(tmp_path / "coffee-enhanced.png"), dark_photograph())  # at strength 0
    elsewhere = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []
