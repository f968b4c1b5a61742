"""Scores as text, and rows of text as a table: for Markdown, and for a terminal."""

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]  # the first one is the head


def score_text(key: str, *values: float) -> str:
    """A score, or both ends of its interval: of `psnr...` with 2 digits, of others with 4."""
    return " to ".join(f"{value:.{2 if key.startswith('psnr') else 4}f}" for value in values)


def markdown(rows: Rows) -> str:
    """The first column is left-aligned, the others right-aligned."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    cells = [[cell.strip().replace("|", "\\|") for cell in row] for row in (rows[0], rule, *rows[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def aligned(rows: Rows) -> str:
    """The same for a terminal, in columns as wide as what they hold."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = ("  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
