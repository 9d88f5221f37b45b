import os
from pathlib import Path

import pytest

from data.images import io as image_io
from data.images.facts import ImageFacts, Stamp, inspect_images, stamp_files
from data.index_cache import IndexCache
from tests.data.formats.tiny import write_image


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that were decoded."""
    names: list[str] = []
    inspect = image_io.inspect_image

    def spy(path: str) -> tuple[tuple[int, int], str | None]:
        names.append(Path(path).name)
        return inspect(path)

    monkeypatch.setattr(image_io, "inspect_image", spy)
    return names


def look(paths: list[Path], cache: IndexCache | None) -> dict[str, ImageFacts]:
    stamps = stamp_files(map(str, paths))
    return inspect_images(stamps, cache=cache, name="images", title="test")


def test_sizes_and_faults(tmp_path: Path) -> None:
    good = write_image(tmp_path / "good.jpg", 30, 40)
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    facts = look([good, bad, tmp_path / "gone.jpg"], None)
    assert facts[str(good)].size == (30, 40)
    assert facts[str(good)].fault == ""
    assert "not an image" in facts[str(bad)].fault
    assert facts[str(tmp_path / "gone.jpg")] == ImageFacts(Stamp(-1, -1), (0, 0), "no such file")


def test_only_new_and_changed_images_are_decoded_again(tmp_path: Path, decoded: list[str]) -> None:
    cache = IndexCache(tmp_path / "cache")
    paths = [write_image(tmp_path / f"{name}.jpg") for name in "abc"]
    first = look(paths, cache)
    assert decoded == ["a.jpg", "b.jpg", "c.jpg"]
    decoded.clear()
    assert look(paths, cache) == first
    assert decoded == []
    os.utime(paths[1], ns=(1, 1))
    paths.append(write_image(tmp_path / "d.jpg", 10, 20))
    assert look(paths, cache)[str(paths[3])].size == (10, 20)
    assert decoded == ["b.jpg", "d.jpg"]
    decoded.clear()
    look(paths, cache)
    assert decoded == []


def test_nothing_to_look_at(tmp_path: Path) -> None:
    assert look([], IndexCache(tmp_path)) == {}
