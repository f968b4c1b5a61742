"""A fixed split of pairs into training, validation and test parts, as a CSV file that can be committed."""

import csv
from pathlib import Path

from enhance.data.images import shortened
from enhance.errors import DataError

PARTS = ("training", "validation", "test")
_OLDER = {"report": "test"}  # what split files of this project called the test part before


def read_split(path: Path, names: list[str]) -> dict[str, str]:
    """The part of each pair.

    Args:
        path: a CSV file with the columns `name` and `part`.
        names: of the pairs that are at hand; the file names each of them.

    Raises:
        DataError: the file is missing or not of this form, a pair is not in it, or nothing is left for training or
            validation.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["name"], _OLDER.get(row["part"], row["part"])) for row in csv.DictReader(file)]
    except OSError as error:
        raise DataError(
            f"data.split={path}: cannot be read ({error.strerror}); give a CSV file of name,part"
        ) from error
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.split={path}: not a CSV file with the columns name and part") from error
    parts = dict(rows)
    if wrong := [f"{name},{part}" for name, part in rows if part not in PARTS]:
        raise DataError(f"data.split={path}: {shortened(wrong)}: a part is one of {', '.join(PARTS)}")
    if absent := [name for name in names if name not in parts]:
        raise DataError(f"data.split={path}: names no part for {shortened(absent)}; add them, or leave data.split out")
    for part in ("training", "validation"):
        if not any(parts[name] == part for name in names):
            raise DataError(f"data.split={path}: none of the {len(names)} pairs here is for {part}; add some")
    return parts
