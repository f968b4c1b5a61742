"""Figures show the numbers of the tables: which are drawn, and what each of them holds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from PIL import Image

from enhance.studies.figures import draw_all

Drawn = dict[str, Figure]
Draw = Callable[..., Drawn]


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Draw all figures of runs; those that were saved, by name."""
    saved: Drawn = {}
    save = Figure.savefig

    def noted(figure: Figure, file: Path, **options: object) -> None:
        save(figure, file, **options)
        saved[file.name] = figure

    def draw(runs: list[dict[str, object]], key: str = "batch_size") -> Drawn:
        saved.clear()
        files = draw_all(pd.DataFrame({"batch_size": "8", "seed": "0"} | run for run in runs), key, tmp_path)
        assert [file.name for file in files] == list(saved)
        assert {file.name for file in tmp_path.iterdir()} >= saved.keys()
        return dict(saved)

    monkeypatch.setattr(Figure, "savefig", noted)
    return draw


def scored(norm: str, psnr: float, **others: object) -> dict[str, object]:
    return {"norm": norm, "psnr": psnr, "psnr_gt_mean": psnr + 1, "ssim": 0.5} | others


def panel(figure: Figure, title: str = "") -> Axes:
    (axes,) = [axes for axes in figure.axes if axes.get_visible() and axes.get_title() == title]
    return axes


def lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """The points of each line with its intervals, by its label."""
    found = {}
    for container in axes.containers:
        x, y = container.lines[0].get_data()
        found[str(container.get_label())] = (list(map(float, x)), list(map(float, y)))
    return found


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_only_what_the_runs_have_is_drawn(draw: Draw, tmp_path: Path) -> None:
    always = {"psnr_against_width.png", "gt_mean_against_width.png"}
    runs = [scored("bn", 20.0, **{"model.width": width}) for width in ("8", "16")]
    assert draw(runs, "model.width").keys() == always
    for name in always:
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 400
            assert len(image.convert("RGB").getcolors(2**24) or []) > 10
    validated = [run | {"psnr_validation": 19.0} for run in runs]
    assert draw(validated, "model.width").keys() == always | {"validation_against_width.png"}
    assert draw([run | {"kept_mib": 3.0} for run in runs]).keys() >= {"psnr_against_memory.png"}


def test_points_are_means_over_seeds_with_their_intervals(draw: Draw) -> None:
    runs = [scored("bn", 20.0 + int(seed), batch_size="16", seed=seed) for seed in "012"]
    axes = panel(draw([*runs, scored("bn", 18.0, batch_size="2")])["psnr_against_batch_size.png"])
    assert ticks(axes) == ["2", "16"]
    assert axes.get_xscale() == "log"
    (line,) = axes.containers
    assert list(line.lines[0].get_ydata()) == [18.0, 21.0]
    (bars,) = line.lines[2]
    heights = [float(np.ptp(bar[:, 1])) for bar in bars.get_segments()]
    assert heights == pytest.approx([0, 2 * 2.484], abs=1e-3)  # 4.303 * 1 / sqrt(3)


def test_points_of_several_norms_stand_side_by_side_at_their_value(draw: Draw) -> None:
    values = ("2", "4", "64")
    runs = [scored(norm, 20.0, batch_size=value) for norm in ("bn", "gn", "in") for value in values]
    places = [x for x, _ in lines(panel(draw(runs)["psnr_against_batch_size.png"])).values()]
    for of_norms, value in zip(zip(*places, strict=True), (2, 4, 64), strict=True):
        assert sorted(set(of_norms)) == list(of_norms)
        assert all(abs(np.log2(x / value)) < 0.5 for x in of_norms)  # none is nearer to another value


def test_names_are_not_numbers(draw: Draw) -> None:
    runs = [scored("gn", 20.0 + n, **{"model.activation": name}) for n, name in enumerate(("tanh", "relu", "elu"))]
    axes = panel(draw(runs, "model.activation")["psnr_against_activation.png"])
    assert ticks(axes) == ["tanh", "relu", "elu"]
    assert axes.get_xscale() == "linear"
    assert axes.get_xlabel() == "model.activation"
    assert lines(axes)["gn"][1] == [20.0, 21.0, 22.0]


def test_a_norm_looks_the_same_whatever_stands_beside_it(draw: Draw) -> None:
    def look(*norms: str) -> tuple[str, str]:
        axes = panel(draw([scored(norm, 20.0) for norm in norms])["psnr_against_batch_size.png"])
        (line,) = [container.lines[0] for container in axes.containers if container.get_label() == "gn"]
        return line.get_color(), line.get_marker()

    (colour, marker), (alone, alone_marker) = look("bn", "gn", "in"), look("gn")
    assert same_color(colour, alone)
    assert marker == alone_marker


def test_many_lines_are_drawn(draw: Draw) -> None:
    runs = [scored("gn", 20.0, **{"model.width": f"{width}"}) for width in range(8, 32)]
    assert len(lines(panel(draw(runs)["psnr_against_batch_size.png"]))) == 24


def test_learning_curves_are_means_over_seeds(draw: Draw) -> None:
    runs = [scored("bn", 20.0, seed=seed, psnr_at_400=10.0 + int(seed), psnr_at_80=8.0) for seed in "02"]
    runs.append(scored("gn", 20.0, psnr_at_400=15.0, psnr_at_800=16.0))
    runs.append(scored("in", 20.0, psnr_at_400=15.0))  # once at its end
    axes = panel(draw(runs)["learning_curves.png"])
    assert {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines} == {
        "bn": ([80, 400], [8.0, 11.0]),
        "gn": ([400, 800], [15.0, 16.0]),
    }


def test_the_parts_of_a_batch_norms_loss_have_a_panel_each(draw: Draw) -> None:
    by_statistics = {"psnr_running": 15.0, "psnr_crops": 16.0, "psnr_own": 14.0}
    runs = [scored(norm, 17.0, **by_statistics) for norm in ("bn", "brn", "bn_ghost", "bn_act", "sync_bn")]
    figure = draw([*runs, scored("gn", 20.0)])["split_of_the_loss.png"]
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == sorted(run["norm"] for run in runs)
    assert {name: y for name, (_, y) in lines(panel(figure, "brn")).items()} == {
        "running statistics": [15.0],
        "recalibrated on crops": [16.0],
        "recalibrated on whole images": [17.0],
        "each image's own": [14.0],
    }


def test_training_and_new_images_stand_beside_each_other(draw: Draw) -> None:
    runs = [scored("bn", 20.0, psnr_train=25.0), scored("gn", 21.0)]
    figure = draw(runs)["training_and_new_images.png"]
    assert {name: y for name, (_, y) in lines(panel(figure, "bn")).items()} == {
        "training images": [25.0],
        "new images": [20.0],
    }


def test_runs_without_a_score_of_the_others_keep_their_names(draw: Draw) -> None:
    """As run folders of one batch size have no `psnr_train`, and a sweep of another one has it."""
    runs = [
        scored("bn", 20.0, batch_size="4", psnr_train=25.0, psnr_running=15.0, **{"model.width": "8"}),
        scored("bn", 21.0, batch_size="8", **{"model.width": "8"}),
    ]
    figure = draw(runs, "model.width")["training_and_new_images.png"]
    assert {name: y for name, (_, y) in lines(panel(figure, "bn batch_size=4")).items()} == {
        "training images": [25.0],
        "new images": [20.0],
    }


def test_scores_stand_over_what_a_step_costs(draw: Draw) -> None:
    costs = {"2": (10.0, 30.0), "8": (40.0, 90.0)}
    runs = [
        scored("bn", 20.0 + int(size), batch_size=size, kept_mib=mib, images_per_second=speed)
        for size, (mib, speed) in costs.items()
    ]
    runs.append(scored("gn", 30.0))  # which nobody has measured
    drawn = draw(runs)
    for name, number in (("psnr_against_memory.png", 0), ("psnr_against_time.png", 1)):
        axes = panel(drawn[name])
        (line,) = axes.lines
        assert line.get_label() == "bn"
        assert list(line.get_xdata()) == [cost[number] for cost in costs.values()]
        assert list(line.get_ydata()) == [22.0, 28.0]
        assert [text.get_text() for text in axes.texts] == ["2", "8"]


def test_other_cameras_stand_beside_the_one_of_the_training(draw: Draw) -> None:
    runs = [scored("bn", 20.0, psnr_on_darker=15.0, psnr_adapted_on_darker=17.0), scored("gn", 19.0)]
    axes = panel(draw(runs)["other_cameras.png"])
    assert ticks(axes) == ["trained on", "darker"]
    assert {name: y for name, (_, y) in lines(axes).items()} == {"bn": [20.0, 15.0], "bn, adapted": [17.0]}
