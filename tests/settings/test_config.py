"""Settings from YAML and back."""

import re
from pathlib import Path

import pytest
import yaml

from enhance.errors import SettingsError
from enhance.settings.config import from_dict, from_yaml, to_yaml
from enhance.settings.schema import Activation, Settings


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = Settings()
    settings.model.activation = Activation.tanh
    settings.schedule.steps, settings.schedule.epochs = None, 2.5
    (tmp_path / "config.yaml").write_text(to_yaml(settings))
    assert from_yaml(tmp_path / "config.yaml") == settings
    assert yaml.safe_load(to_yaml(settings))["model"]["activation"] == "tanh"


@pytest.mark.parametrize("text", ["a: [", "- a list", "just words", ""])
def test_a_file_of_something_else_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=rf"^{re.escape(str(file))}: .*no configuration that train\.py wrote$"):
        from_yaml(file)


def test_a_file_reaches_nothing_outside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    with pytest.raises(SettingsError, match=r"^\$\{oc\.env:SECRET\}: refers to something outside the file$"):
        from_dict({"name": "${oc.env:SECRET}"})
