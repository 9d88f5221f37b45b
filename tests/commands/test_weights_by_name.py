"""Weights that are not there: what is said is where they come from."""

from pathlib import Path

import pytest

from commands.build.detector import load_detector
from commands.weights_by_name import require_weights
from configs.origins import Source
from configs.reading.locate import find_weights
from utils.runtime.errors import UserError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "best.safetensors").touch()
    return folder


def test_a_run_stands_for_its_best_weights() -> None:
    run = make(Path("runs/a"))
    assert require_weights("runs/a") == run / "best.safetensors"
    assert require_weights("runs/a/best.safetensors") == run / "best.safetensors"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("yolov5n.pt", "cannot read yolov5n.pt: no such file or run; convert.py --list names"),
        ("x/y.safetensors", "cannot read x/y.safetensors: no such file or run; convert.py --list"),
        ("a", "cannot read a: no such file or run; did you mean runs/a?"),
        ("yolov5n", "yolov5n: the name of a network, not of weights; train it with "
         "model.graph=yolov5n, or see convert.py --list"),
        ("yolox-tinny", "did you mean 'yolox-tiny'?"),
        ("yolox-tiny", "convert.py --get yolox-tiny fetches it"),
    ],
)  # fmt: skip
def test_what_is_not_there(stated: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCALDET_WEIGHTS", "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.cwd() / "cache"))
    make(Path("runs/a"))
    with pytest.raises(UserError) as caught:
        require_weights(stated)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_no_weights() -> None:
    Path("data.yaml").write_text("train: images\n")
    with pytest.raises(UserError, match=r"data\.yaml holds settings, not weights"):
        load_detector(Path("data.yaml"))


def test_a_file_in_a_folder_of_weights_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, cache = tmp_path / "site", tmp_path / "cache"
    monkeypatch.setenv("FOCALDET_WEIGHTS", str(site))
    monkeypatch.setenv("FOCALDET_CACHE", str(cache))
    for place in (site / "a.pt", cache / "weights" / "a.pt", cache / "weights" / "b.pt"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert require_weights("a.pt") == site / "a.pt"
    assert require_weights("b.pt") == cache / "weights" / "b.pt"
    source = Source("x.yaml", tmp_path)
    assert find_weights("a.pt", source) == str(site / "a.pt")
    assert find_weights("sub/a.pt", source) == "sub/a.pt"
    Path("a.pt").touch()
    assert require_weights("a.pt") == Path("a.pt")
    assert find_weights("a.pt", source) == str(tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"cannot read sub/a\.pt"):
        require_weights("sub/a.pt")
