"""The setting `hooks`: names of classes, alone or with their arguments."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import load_experiment

BASE = "data: {format: synthetic, path: %s}\n"


def experiment(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(BASE % (tmp_path / "images") + text)
    return path


def test_hooks_are_kept_as_stated_and_change_no_identity(tmp_path: Path) -> None:
    plain = load_experiment(experiment(tmp_path, ""))
    assert plain.experiment.hooks == ()
    stated = "hooks: [my_package.MyHook, {name: a.b.C, every: 5, where: {url: 'http://x'}}]"
    loaded = load_experiment(experiment(tmp_path, stated))
    with_arguments = {"name": "a.b.C", "every": 5, "where": {"url": "http://x"}}
    assert loaded.experiment.hooks == ("my_package.MyHook", with_arguments)
    assert loaded.hash == plain.hash
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(loaded.to_yaml())
    assert load_experiment(resolved).experiment == loaded.experiment
    other = load_experiment(experiment(tmp_path, stated), ["hooks=[my.Other]"])
    assert other.experiment.hooks == ("my.Other",)


@pytest.mark.parametrize(
    "entry", ["MyHook", "my_package.", "my package.Hook", "{every: 5}", "{name: 5}", "../my.Hook"]
)
def test_what_names_no_class_is_refused_with_its_line(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigError, match=r"hooks \(.*experiment\.yaml:3\): .* names no hook") as e:
        load_experiment(experiment(tmp_path, f"train: {{epochs: 3}}\nhooks: [my.Hook, {entry!s}]"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("value", ["my.Hook", "[5]", "[[my.Hook]]", "{name: my.Hook}"])
def test_what_is_no_list_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"hooks is .* must be a list of"):
        load_experiment(experiment(tmp_path, f"hooks: {value}"))
