"""The settings as text: each once, with its default and what it takes, for a terminal and for the page."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from enhance.settings import describe
from enhance.settings.schema import MACHINE, EvaluationSettings, Settings, flat, group, option, share

ROOT = Path(__file__).parents[2]
Kind = StrEnum("Kind", "plain all")


@dataclass
class Inner:
    rate: float = share(0.5, "a share")


@dataclass
class Some:
    count: int = option(3, "a number", least=1)
    gain: float | None = option(None, "a gain", above=0, most=2.5, role=MACHINE)
    sides: int = option(4, "some sides", among=(4, 8))
    seed: int = option(0, "a seed", least=0, most=2**63 - 1)
    kind: Kind | None = option(Kind.all, "a kind")  # noqa: RUF009
    fast: bool = option(True, "a switch")
    name: str = option("a", "a name")
    inner: Inner = group(Inner, "a group")  # noqa: RUF009
    others: dict[str, Inner] = field(default_factory=dict, metadata={"meaning": "groups by name"})


def test_each_setting_has_its_default_its_values_and_its_meaning() -> None:
    assert list(describe.rows(Some)) == [
        ("count", "3", ">= 1", "a number"),
        ("gain*", "null", "> 0, <= 2.5", "a gain"),
        ("sides", "4", "4, 8", "some sides"),
        ("seed", "0", ">= 0", "a seed"),  # what 64 bits hold is no bound that anyone needs
        ("kind", "all", "plain, all", "a kind"),
        ("fast", "true", "true, false", "a switch"),
        ("name", "a", "", "a name"),
        ("inner.rate", "0.5", ">= 0, <= 1", "a share"),
        ("others", "{}", "", "groups by name"),
    ]


def test_a_terminal_shows_them_under_each_other() -> None:
    first, second, *_ = describe.help_text(Some).splitlines()
    assert first == "  count=3         a number (>= 1)"
    assert second == "  gain*=null      a gain (> 0, <= 2.5)"


def test_markdown_shows_them_in_a_table() -> None:
    assert describe.table(Inner) == (
        "| key | default | values | meaning |\n| --- | --- | --- | --- |\n| `rate` | 0.5 | >= 0, <= 1 | a share |\n"
    )


@pytest.mark.parametrize("kind", [Settings, EvaluationSettings])
def test_no_setting_is_left_out(kind: type) -> None:
    described = [key.rstrip("*") for key, *_ in describe.rows(kind)]
    assert len(described) == len({*described})
    assert {*flat(kind())} <= {*described}
    assert all(meaning for *_, meaning in describe.rows(kind))


def test_the_page_of_settings_is_that_of_this_version() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == describe.page(), (
        "python -m enhance.settings.describe > docs/settings.md"
    )
