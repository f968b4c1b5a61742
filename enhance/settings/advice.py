"""What to write in place of a word that is not understood: it passes the shell and Hydra's grammar."""

import re
import shlex


def assignment(name: str, value: str) -> str:
    """`name=value` as a shell takes it, with the quotes that Hydra needs around this value, which is a text."""
    if value[:1] in ("'", '"') and value.endswith(value[0]) and len(value) > 1:
        value = value[1:-1]  # quotes that did not reach Hydra as they were meant
    if re.fullmatch(r"[\w./:+-]+", value):
        return f"{name}={value}"
    word = f"{name}={hydra_text(value)}"
    return shlex.quote(word) if re.search(r'[$`"!]|\\\\', word) else f'"{word}"'


def hydra_text(value: str) -> str:
    """In quotes, as Hydra reads it back: a backslash counts only before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", r"\'"), value) + "'"


def spaced(words: list[str]) -> tuple[str, str] | None:
    """Name and value, where words begin with an assignment that spaces, or a missing =, take apart."""
    name, *after = words
    if "=" in name.removesuffix("="):
        return None
    if after[:1] == ["="]:
        after = after[1:]
    if not after or "=" in after[0].removeprefix("=") or after[0].startswith("-"):
        return None
    return name.removesuffix("="), after[0].removeprefix("=")
