"""The settings as text: `--help`, and docs/settings.md (`python -m enhance.settings.describe > docs/settings.md`)."""

import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from enhance.settings.schema import LABEL, MACHINE, PLACE, EvaluationSettings, Settings

_HEAD = """# Settings

Made of the fields of `enhance/settings/schema.py` by `python -m enhance.settings.describe`. Settings are given as
`key=value`; `model=`, `norm=`, `data=` and `experiment=` choose a file of `configs/`, which sets several.
Keys marked * make no other result: they may change when a run goes on, and do not tell runs of a sweep apart.
"""


def rows(kind: type, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Key, default, values and meaning of each setting of a dataclass."""
    types = typing.get_type_hints(kind)
    for each in fields(kind):
        key, meaning = prefix + each.name, each.metadata["meaning"]
        inner = _dataclass_of(types[each.name])
        if inner is not None and each.default is not None:
            yield from rows(inner, f"{key}.")
            continue
        role = "*" if each.metadata.get("role") in (MACHINE, PLACE, LABEL) else ""
        default = "{}" if key.endswith("other_cameras") else _plain(each.default)
        yield key + role, default, _values(types[each.name], each.metadata), meaning


def _dataclass_of(kind: Any) -> type | None:
    return kind if is_dataclass(kind) and isinstance(kind, type) else None


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(kind: Any, bounds: Any) -> str:
    """What a setting takes, in words."""
    choices = [each for each in typing.get_args(kind) or (kind,) if each is not type(None)]
    base = choices[0]
    if isinstance(base, type) and issubclass(base, StrEnum):
        return ", ".join(base)
    if base is bool:
        return "true, false"
    least, most, above = (bounds.get(name) for name in ("least", "most", "above"))
    low = f"> {above:g}" if above is not None else f">= {least:g}" if least is not None else ""
    high = f"<= {most:g}" if most is not None and most < 2**62 else ""
    return ", ".join(part for part in (low, high) if part)


def table(kind: type) -> str:
    """Markdown."""
    lines = [f"| `{key}` | {default} | {values} | {meaning} |" for key, default, values, meaning in rows(kind)]
    return "\n".join(["| key | default | values | meaning |", "| --- | --- | --- | --- |", *lines, ""])


def help_text(kind: type) -> str:
    """Lines for a terminal."""
    entries = list(rows(kind))
    width = max(len(key) + len(default) for key, default, _, _ in entries) + 1
    return "\n".join(
        f"  {f'{key}={default}':{width}}  {meaning}{f' ({values})' if values else ''}"
        for key, default, values, meaning in entries
    )


def page() -> str:
    """docs/settings.md."""
    evaluation = table(EvaluationSettings).replace("*`", "`")
    return f"{_HEAD}\n## train.py\n\n{table(Settings)}\n## evaluate.py\n\n{evaluation}"


if __name__ == "__main__":
    print(page(), end="")
