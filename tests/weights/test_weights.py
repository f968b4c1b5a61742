"""The weights in the box: what their card says of them, and what they make of photographs that they never saw."""

import hashlib

import numpy as np
import pytest
import skimage.data
import torch

from enhance import weights
from enhance.data.camera import darken
from enhance.data.images import to_tensor
from enhance.evaluation.metrics import match_mean, psnr
from enhance.inference import Enhancer
from enhance.models.exposure import expose, stops_to
from enhance.settings.command import compose

NAMES = sorted(file.stem for file in weights.FOLDER.glob("*.safetensors"))


@pytest.fixture(params=NAMES)
def enhancer(request: pytest.FixtureRequest) -> Enhancer:
    return Enhancer.load(request.param, "cpu")


def bright() -> np.ndarray:
    return skimage.data.chelsea()[:256, :384]


def test_the_card_names_each_file_with_its_hash_and_they_are_small() -> None:
    card = (weights.FOLDER / "README.md").read_text(encoding="utf-8")
    assert weights.DEFAULT in NAMES
    for name in NAMES:
        content = (weights.FOLDER / f"{name}.safetensors").read_bytes()
        assert f"`{name}`" in card
        assert hashlib.sha256(content).hexdigest() in card
        assert len(content) < (2e6 if "small" in name else 6e6)


@pytest.mark.parametrize("name", ["", "nothing", "../weights/any_photo", "README.md"])
def test_other_names_are_none(name: str) -> None:
    assert weights.find(name) is None


def test_a_dark_photograph_becomes_what_it_was_better_than_by_a_curve(enhancer: Enhancer) -> None:
    camera = compose(["experiment=any_photo"]).data.camera
    camera.exposure_max_ev, camera.right_share = -3.0, 0.0
    gains = []
    for seed in range(6):
        dark, normal = (to_tensor(each) for each in darken(bright(), camera, np.random.default_rng(seed)))
        result = enhancer.enhance(dark)[None]
        curve = expose(dark[None], stops_to(dark[None], 0.45))
        by_network, by_curve = (psnr(match_mean(each, normal[None]), normal[None]) for each in (result, curve))
        gains.append((by_network - by_curve).item())
    assert np.mean(gains) > 1, gains


def test_black_stays_black_and_what_is_right_stays(enhancer: Enhancer) -> None:
    assert enhancer.enhance(torch.zeros(3, 64, 80)).eq(0).all()
    right = to_tensor(bright())
    assert psnr(enhancer.enhance(right)[None], right[None]) > 35
