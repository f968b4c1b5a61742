"""The settings as text: `--help`, and docs/settings.md (`python -m enhance.settings.describe > docs/settings.md`)."""

import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from typing import Any

from enhance.settings.schema import EvaluationSettings, Settings

_HEAD = """# Settings

Made of the fields of `enhance/settings/schema.py` by `python -m enhance.settings.describe`. Settings are given as
`key=value`; `model=`, `norm=`, `data=` and `experiment=` choose a file of `enhance/configs/`, which sets several.
Keys marked * make no other result: they may change when a run goes on, and do not tell runs of a sweep apart.
"""
_YAML = {"None": "null", "True": "true", "False": "false"}


def rows(kind: type, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Key, default, values and meaning of each setting of a dataclass."""
    for each in fields(kind):
        key = prefix + each.name
        if is_dataclass(each.type):
            yield from rows(each.type, f"{key}.")  # type: ignore[arg-type]
            continue
        role = "*" if each.metadata.get("role") else ""
        default = str({} if each.default is MISSING else each.default)  # a dict of settings has none
        yield key + role, _YAML.get(default, default), _values(each), each.metadata["meaning"]


def choices(kind: Any) -> list[str]:
    """The values of a field's type that have names; of none where it has others."""
    base = (typing.get_args(kind) or (kind,))[0]  # of what may be None as well
    if base is bool:
        return ["true", "false"]
    return list(base) if issubclass(base, StrEnum) else []


def _values(field: Field[Any]) -> str:
    """What a setting takes, in words."""
    if names := choices(field.type):
        return ", ".join(names)
    least, most, above, among = (field.metadata.get(name) for name in ("least", "most", "above", "among"))
    if among is not None:
        return ", ".join(map(str, among))
    low = f"> {above:g}" if above is not None else f">= {least:g}" if least is not None else ""
    high = f"<= {most:g}" if most is not None and most < 2**62 else ""
    return ", ".join(part for part in (low, high) if part)


def table(kind: type) -> str:
    """Markdown, which would take <runs> for HTML."""
    lines = [
        f"| `{key}` | {default} | {values} | {meaning.replace('<', '&lt;')} |"
        for key, default, values, meaning in rows(kind)
    ]
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
