"""Which low image belongs to which normal one: always by name, by a rule that fits every image of both folders."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Generic, TypeVar

from enhance.data.images import list_images, shortened, tell
from enhance.errors import DataError

File = TypeVar("File")  # an image file, or the image opened from it


@dataclass(frozen=True)
class Pair(Generic[File]):
    """A dark and a bright image, named after the dark one; a photograph for the dim-light camera has no dark one."""

    name: str
    low: File | None
    normal: File


_RULE = "names are equal, or differ by one prefix and suffix a side, or begin with that of their reference"
_PATTERN = "data=pairs data.pattern=KEY_dark:KEY says how the names of both sides are made (ANY: anything)"


def match_pairs(
    low_folder: Path, normal_folder: Path, pattern: str | None = None, skip: bool = False
) -> list[Pair[Path]]:
    """Pair the files of two folders by name, suffix aside; sorted.

    The first rule that leaves no file alone: the same name, or `low00001` and `normal00001`; the same but for case;
    one prefix and one suffix a side; several dark images to a reference that their names begin with, or that is the
    only one in their folder. Any but the first is told in a line.

    Args:
        pattern: the names of both sides instead, as `data.pattern` has them.
        skip: leave images without a partner out, which is told, where others have one.

    Raises:
        DataError: a folder is missing or empty, two files of one folder differ only in their suffix, or files have
            no partner (names up to five).
    """
    lows, normals = by_stem(low_folder), by_stem(normal_folder)
    if pattern is not None:
        partners = _by_pattern(pattern, lows, normals)
    else:
        partners = {stem: stem if stem in normals else re.sub("^low", "normal", stem) for stem in lows}
        if not _is_whole(partners, normals) and (found := _by_another_rule(lows, normals)):
            partners, rule = found
            low, normal = next(iter(partners.items()))
            tell(f"{low_folder}: {rule}, such as {lows[low].name} and {normals[normal].name}")
            return [Pair(stem, path, normals[partners[stem]]) for stem, path in lows.items()]
    matched = Counter(partner for partner in partners.values() if partner in normals)
    if not matched:
        names = " and ".join(", ".join(path.name for path in list(side.values())[:3]) for side in (lows, normals))
        raise DataError(
            f"{low_folder} and {normal_folder}: no names fit: {names}\n{_RULE}, the same for all of them; {_PATTERN}"
        )
    alone = [lows[stem].name for stem in lows if partners.get(stem) not in normals]
    normals_alone = [path.name for stem, path in normals.items() if stem not in matched]
    problems = [
        f"{folder}: no partner in {other} for {len(names)} of its images: {shortened(names)}"
        for folder, other, names in ((low_folder, normal_folder, alone), (normal_folder, low_folder, normals_alone))
        if names
    ]
    if problems and not skip:
        cure = f"data.on_error=skip leaves them out; {_PATTERN}"
        raise DataError(f"{'; '.join(problems)}\n{_RULE}, the same for all of them; {cure}")
    for problem in problems:
        tell(f"{problem}; left out")
    if pattern is None and (twice := sorted(partner for partner, count in matched.items() if count > 1)):
        raise DataError(f"{low_folder}: more than one image fits {shortened(twice)} of {normal_folder}; rename them")
    return [Pair(stem, path, normals[partners[stem]]) for stem, path in lows.items() if partners.get(stem) in normals]


def by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without suffix, where there are none those of the folders in it; a
    `DataError` where two differ only in their suffix."""
    images: dict[str, Path] = {}
    for path in list_images(folder, within=True):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in images:
            raise DataError(f"{folder}: {images[stem].name} and {path.name} have one name; rename or remove one")
        images[stem] = path
    return images


def _is_whole(partners: dict[str, str], normals: Collection[str]) -> bool:
    """Whether every image has a partner."""
    return set(partners.values()) == set(normals)


def _by_another_rule(lows: Collection[str], normals: Collection[str]) -> tuple[dict[str, str], str] | None:
    """The normal stem of each low one, and the rule in words; None where no rule fits all."""
    if partners := _by_affixes(lows, normals, ("", "", "", "")):
        return partners, "names are paired but for upper and lower case"
    first = next(iter(lows))
    found = {}
    for affixes in dict.fromkeys(_affixes(first, normal) for normal in normals):
        if partners := _by_affixes(lows, normals, affixes):
            found[tuple(partners.items())] = affixes
    if len(found) == 1:  # else the names leave a choice
        (((pairs, (before, after, other_before, other_after))),) = found.items()
        return dict(pairs), f"names are paired as {before}KEY{after} and {other_before}KEY{other_after}"
    if partners := _to_references(lows, normals):
        return partners, f"{len(lows)} dark images are paired with {len(normals)} references"
    return None


def _affixes(low: str, normal: str) -> tuple[str, str, str, str]:
    """What is around the longest text that both names share: no number and no word is cut in two."""
    at, other_at, size = SequenceMatcher(None, low.lower(), normal.lower(), autojunk=False).find_longest_match()
    while size and any(_cuts(name, start) for name, start in ((low, at), (normal, other_at))):
        at, other_at, size = at + 1, other_at + 1, size - 1
    while size and any(_cuts(name[::-1], len(name) - start - size) for name, start in ((low, at), (normal, other_at))):
        size -= 1
    return low[:at], low[at + size :], normal[:other_at], normal[other_at + size :]


def _cuts(name: str, start: int) -> bool:
    """Whether a text that begins there begins within a word or a number, or with what parts them."""
    before, first = name[max(start - 1, 0) : start], name[start]
    return not first.isalnum() or (before.isdigit() and first.isdigit()) or (before.isalpha() and first.isalpha())


def _by_affixes(
    lows: Collection[str], normals: Collection[str], affixes: tuple[str, str, str, str]
) -> dict[str, str] | None:
    """One to one, by what is left without the prefix and the suffix of each side; None where that does not fit all."""
    sides = []
    for stems, before, after in ((normals, *affixes[2:]), (lows, *affixes[:2])):
        side = {}
        for stem in stems:
            key = stem[len(before) : len(stem) - len(after)].lower()
            if not key or not (stem.startswith(before) and stem.endswith(after)) or key in side:
                return None
            side[key] = stem
        sides.append(side)
    normal_of, low_of = sides
    return {low: normal_of[key] for key, low in low_of.items()} if normal_of.keys() == low_of.keys() else None


def _to_references(lows: Collection[str], normals: Collection[str]) -> dict[str, str] | None:
    """Several dark images to one normal one; None where that does not fit all."""
    in_folder: dict[str, list[str]] = {}
    for normal in normals:
        in_folder.setdefault(normal.rpartition("/")[0], []).append(normal)
    partners = {}
    for low in lows:
        ends = [match.start() for match in re.finditer(r"[\W_]", low)]
        beginnings = [low[:end] for end in [*ends, len(low)] if low[:end] in normals]
        folder = low.rpartition("/")[0]
        alone = in_folder.get(folder, []) if folder else []
        if not beginnings and len(alone) != 1:
            return None
        partners[low] = beginnings[-1] if beginnings else alone[0]
    return partners if _is_whole(partners, normals) else None


def _by_pattern(pattern: str, lows: Collection[str], normals: Collection[str]) -> dict[str, str]:
    """The normal stem of each low one that both patterns fit."""
    sides = pattern.split(":")
    if len(sides) != 2 or any(side.count("KEY") != 1 for side in sides):
        cure = "give that of the dark images and that of the others with KEY once in each, such as KEY_dark:KEY"
        raise DataError(f"data.pattern={pattern} is no pattern of two names: {cure}")
    keys = []
    for side, stems in zip(sides, (lows, normals), strict=True):
        whole = re.compile(re.escape(side).replace("KEY", "(.+)").replace("ANY", ".*?"))
        keys.append({stem: match[1] for stem in stems if (match := whole.fullmatch(stem))})
    low_keys, normal_keys = keys
    stem_of = {key: stem for stem, key in normal_keys.items()}
    if len(stem_of) < len(normal_keys):
        ((key, count),) = Counter(normal_keys.values()).most_common(1)
        raise DataError(f"data.pattern={pattern}: {count} normal images have the key {key}; make the pattern narrower")
    return {stem: stem_of[key] for stem, key in low_keys.items() if key in stem_of}
