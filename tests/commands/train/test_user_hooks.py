"""Hooks that a configuration names: found, built, or refused in one line."""

from pathlib import Path

import pytest

from commands.train.user_hooks import user_hooks
from utils.runtime.errors import UserError

MODULE = """
built = []

class Plain:
    def after_epoch(self, run):
        pass

class Told:
    def __init__(self, *, every, name_of_run="x"):
        self.every, self.name_of_run = every, name_of_run
        built.append(self)

    def after_step(self, run, losses):
        pass

class Refuses:
    def __init__(self):
        raise OSError("no server\\nat all")

    def after_training(self, run):
        pass

class Nothing:
    pass

def function(run):
    pass
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_of_a_user.py").write_text(MODULE)
    package = tmp_path / "package_of_a_user"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "needs.py").write_text("import not_installed_anywhere")
    (package / "broken.py").write_text("1 +")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    for name in ("hooks_of_a_user", "package_of_a_user"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)


def test_a_class_is_built_with_the_arguments_stated_beside_its_name() -> None:
    plain, told = user_hooks(
        ["hooks_of_a_user.Plain", {"name": "hooks_of_a_user.Told", "every": 5}], is_main=True
    )
    assert type(plain).__name__ == "Plain"
    assert (told.every, told.name_of_run) == (5, "x")  # type: ignore[attr-defined]


def test_other_processes_find_the_classes_and_build_none() -> None:
    entries = [{"name": "hooks_of_a_user.Told", "every": 5}, "hooks_of_a_user.Refuses"]
    assert user_hooks(entries, is_main=False) == ()
    import hooks_of_a_user  # type: ignore[import-not-found]

    assert hooks_of_a_user.built == []
    with pytest.raises(UserError):
        user_hooks(["hooks_of_a_user.Wrong"], is_main=False)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("nowhere_at_all.Hook", r"there is no module nowhere_at_all; it must be installed"),
        ("package_of_a_user.nowhere.Hook", r"there is no module package_of_a_user\.nowhere"),
        ("package_of_a_user.needs.Hook", r"cannot be imported: .*'not_installed_anywhere'"),
        ("package_of_a_user.broken.Hook", r"cannot be imported: SyntaxError: invalid syntax"),
        ("hooks_of_a_user.Plane", r"has no Plane; did you mean 'hooks_of_a_user\.Plain'\?"),
        ("hooks_of_a_user.Nothing", r"is not a hook: it must be a class with at least one of"),
        ("hooks_of_a_user.function", r"is not a hook"),
        ("hooks_of_a_user.built", r"is not a hook"),
        ("hooks_of_a_user.Told", r"cannot be built: TypeError: .*every"),
        ({"name": "hooks_of_a_user.Plain", "every": 5}, r"cannot be built: TypeError"),
        ("hooks_of_a_user.Refuses", r"cannot be built: OSError: no server at all$"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        user_hooks([entry], is_main=True)
    name = entry if isinstance(entry, str) else entry["name"]
    assert str(caught.value).startswith(f"hooks: {name}")
    assert "\n" not in str(caught.value)
