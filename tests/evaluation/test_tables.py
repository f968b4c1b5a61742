"""Scores as text, and rows as tables that Markdown and a terminal show."""

import pytest

from enhance.evaluation.tables import aligned, markdown, score_text

ROWS = [["norm", "PSNR"], ["bn", "9.50"], ["bn_ghost", "19.25"]]


@pytest.mark.parametrize(
    ("key", "values", "text"),
    [
        ("psnr", (20.125,), "20.12"),
        ("psnr_gt_mean", (19.5, 21.0), "19.50 to 21.00"),
        ("ssim", (0.87654,), "0.8765"),
        ("lpips", (0.1, 0.2), "0.1000 to 0.2000"),
        ("psnr", (float("inf"),), "inf"),
        ("psnr", (), ""),  # no interval
    ],
)
def test_a_score_has_the_digits_of_its_kind(key: str, values: tuple[float, ...], text: str) -> None:
    assert score_text(key, *values) == text


def test_markdown_has_names_left_and_numbers_right() -> None:
    assert markdown(ROWS) == "| norm | PSNR |\n| --- | ---: |\n| bn | 9.50 |\n| bn_ghost | 19.25 |\n"


def test_what_would_end_a_cell_is_escaped() -> None:
    assert markdown([["a|b"], [" c "]]) == "| a\\|b |\n| --- |\n| c |\n"


def test_a_terminal_has_columns_under_each_other() -> None:
    assert aligned(ROWS).splitlines() == [
        "norm       PSNR",
        "bn         9.50",
        "bn_ghost  19.25",
    ]


def test_an_empty_last_cell_leaves_no_spaces_behind() -> None:
    assert aligned([["norm", "PSNR", "SSIM"], ["bn", "9.50", ""]]) == "norm  PSNR  SSIM\nbn    9.50\n"
