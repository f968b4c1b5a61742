"""Results files grow by rows and columns, are whole at every moment, and may be written by several at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enhance.run.results import append_row, median_speed, read_metrics, read_rows


def test_where_there_is_no_file_there_are_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "runs.csv") == []


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "sweep" / "runs.csv"  # whose folder is made
    row = {"run": 'batch_size=8,name="a, b"', "psnr": "20.5", "note": "two\nlines, é"}
    append_row(file, row)
    append_row(file, row | {"psnr": 21})
    assert read_rows(file) == [row, row | {"psnr": "21"}]


def test_a_new_key_makes_a_column(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    append_row(file, {"run": "a", "psnr": 20})
    append_row(file, {"run": "b", "ssim": 0.5})
    append_row(file, {"psnr": 22, "run": "c"})
    assert file.read_text().splitlines() == ["run,psnr,ssim", "a,20,", "b,,0.5", "c,22,"]


def test_a_row_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    class Full:
        def __str__(self) -> str:
            raise OSError("the disk is full")

    file = tmp_path / "runs.csv"
    append_row(file, {"run": "a"})
    with pytest.raises(OSError, match="full"):
        append_row(file, {"run": Full()})
    assert read_rows(file) == [{"run": "a"}]
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["runs.csv"]
    append_row(file, {"run": "b"})  # nor is it locked
    assert len(read_rows(file)) == 2


def test_several_may_add_rows_at_once(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: append_row(file, {"run": number, f"psnr_{number}": 20}), range(12)))
    rows = read_rows(file)
    assert sorted(int(row["run"]) for row in rows) == list(range(12))
    assert all(row[f"psnr_{row['run']}"] == "20" for row in rows)


def test_the_speed_is_the_median_of_the_lines_that_have_one(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        "".join(
            f'{{"step": {step}, "system/images_per_second": {speed}}}\n' for step, speed in ((1, 2), (2, 90), (3, 100))
        )
        + '{"step": 3, "validation/psnr": 20.5}\n'
    )
    metrics = read_metrics(tmp_path)
    assert metrics[-1] == {"step": 3, "validation/psnr": 20.5}
    assert median_speed(metrics) == 90
