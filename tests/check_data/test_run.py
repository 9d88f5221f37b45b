"""What check_data.py writes: exit codes, JSON, page, labelled images, a repaired copy."""

import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from commands.check_data.cli import CheckCommand
from commands.check_data.pictures import finding_figures
from commands.check_data.run import FINDINGS, SOUND, check_data
from configs.reading.load import load_dataset
from data.doctor.examine import examine
from data.doctor.finding import by_code
from data.records.load import load_split
from tests.data.doctor.planted import Planted, plant_local
from tests.run_programs import run
from utils.runtime.errors import UserError

NAMES = "class_names: [bolt, cable, mast, sign]\n"


@pytest.fixture
def data(tmp_path: Path) -> Planted:
    planted = Planted(tmp_path / "set")
    text = f"train: images/train\nval: images/val\n{NAMES}"
    (planted.root / "data.yaml").write_text(text)
    return planted


def command(data: Planted, **options: object) -> CheckCommand:
    own = {"data": str(data.root / "data.yaml"), "overrides": ("data.cache=false",)}
    return CheckCommand(**{**own, "image_size": 400, **options})  # type: ignore[arg-type]


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


class Page(HTMLParser):
    """Counts what matters and collects addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                self.sources.append(value or "")
        if tag not in ("img", "meta", "link", "rect", "line", "circle", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle"):
            assert self.open.pop() == tag


def test_sound_data_give_0_and_say_so(data: Planted) -> None:
    checked = check_data(command(data))
    assert checked.code == SOUND
    assert checked.lines[-1] == "set is sound"


@pytest.mark.slow
def test_findings_give_1_and_stand_in_json_and_on_the_page(data: Planted, tmp_path: Path) -> None:
    planted = plant_local(data)
    before = digests(data.root)
    checked = check_data(command(data, json=tmp_path / "j.json", page=tmp_path / "sub" / "p.html"))
    assert checked.code == FINDINGS
    assert digests(data.root) == before
    content = json.loads((tmp_path / "j.json").read_text())
    assert not content["sound"]
    assert set(planted) <= {finding["code"] for finding in content["findings"]}
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    text = (tmp_path / "sub" / "p.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    # Offline: every picture is in the page, nothing is loaded from elsewhere.
    assert all(source.startswith("data:") for source in page.sources)
    assert "http://" not in text
    assert "https://" not in text
    for code in planted:
        assert f">{code}<" in text
    assert len([source for source in page.sources if "image/jpeg" in source]) > 40


def test_the_page_shows_the_numbers_of_the_data(data: Planted, tmp_path: Path) -> None:
    check_data(command(data, page=tmp_path / "p.html"))
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Nothing was found." in text
    assert re.search(r">images</th><td>60</td><td>54</td>", text)
    assert re.search(r">objects</th><td>300</td><td>270</td>", text)
    assert re.search(r">bolt</th><td>120</td><td>108</td>", text)


def test_names_are_escaped_on_the_page(data: Planted, tmp_path: Path) -> None:
    yaml = data.root / "data.yaml"
    yaml.write_text(yaml.read_text().replace("bolt", "'<b>x&y</b>'"))
    check_data(command(data, page=tmp_path / "p.html"))
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<b>x" not in text
    assert "&lt;b&gt;x&amp;y" in text


def test_labelled_images_are_drawn_evenly_spread(data: Planted, tmp_path: Path) -> None:
    check_data(command(data, show=tmp_path / "s", show_images=4, labels_only=True))
    assert len(list((tmp_path / "s" / "train").iterdir())) == 4
    assert len(list((tmp_path / "s" / "val").iterdir())) == 4


@pytest.mark.slow
def test_the_repaired_copy_has_only_what_a_person_must_decide(
    data: Planted, tmp_path: Path
) -> None:
    plant_local(data)
    before = digests(data.root)
    check_data(command(data, fix=tmp_path / "fixed"))
    assert digests(data.root) == before
    settings = load_dataset(tmp_path / "fixed" / "data.yaml", ["data.cache=false"])
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    found = {finding.code for finding in examine(splits, image_size=400).findings}
    repaired = {
        "class-out-of-range", "box-outside", "box-without-area", "box-twice", "row-rejected",
        "row-repaired", "image-unreadable", "label-without-image", "labels-shared",
        "file-ignored", "same-image-in-splits", "same-image-twice", "copies-with-other-labels",
        "box-nearly-twice", "image-without-label-file", "too-many-rejected",
    }  # fmt: skip
    assert not found & repaired
    assert {"image-blank", "similar-image-in-splits", "box-two-classes"} <= found
    with (tmp_path / "fixed" / "changes.csv").open() as file:
        changes = list(csv.DictReader(file))
    reasons = {change["reason"] for change in changes}
    assert len(reasons) >= 8
    left_out = [change for change in changes if change["location"] == "image"]
    assert {Path(change["file"]).name for change in left_out} >= {"6.jpg", "15.jpg"}
    # Of a shared image the split for evaluation keeps its copy.
    kept = {Path(record.path).name for record in splits[1].records}
    assert "15.jpg" in kept


@pytest.mark.slow
def test_no_box_is_lost_by_the_repair_without_a_line(data: Planted, tmp_path: Path) -> None:
    plant_local(data)
    check_data(command(data, fix=tmp_path / "fixed"))
    settings = load_dataset(data.root / "data.yaml", ["data.cache=false"])
    fixed = load_dataset(tmp_path / "fixed" / "data.yaml", ["data.cache=false"])
    with (tmp_path / "fixed" / "changes.csv").open() as file:
        changes = list(csv.DictReader(file))
    for name in ("train", "val"):
        old, new = load_split(settings, name), load_split(fixed, name)  # type: ignore[arg-type]
        images = {
            change["file"]
            for change in changes
            if change["split"] == name and change["reason"].startswith("the same image")
        }
        boxes = sum(
            change["split"] == name and change["reason"].startswith("nearly the same box")
            for change in changes
        )
        in_images = sum(len(r.boxes) for r in old.records if r.path in images)
        before = sum(len(record.boxes) for record in old.records)
        after = sum(len(record.boxes) for record in new.records)
        assert before - in_images - boxes == after


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(
    data: Planted, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        check_data(CheckCommand(data="does not exist", fix=tmp_path / "full"))
    assert (tmp_path / "full" / "x").read_text() == "mine"


@pytest.mark.slow
def test_exit_codes_of_the_program(data: Planted, tmp_path: Path) -> None:
    sound = run("check_data.py", data.root / "data.yaml", fresh=True)
    assert (sound.returncode, sound.stdout.splitlines()[-1]) == (0, "set is sound")
    plant_local(data)
    assert run("check_data.py", data.root / "data.yaml").returncode == 1
    missing = run("check_data.py", tmp_path / "nothing.yaml")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: ")
    assert "Traceback" not in missing.stderr
    out = tmp_path / "converted"
    conversion = ("--data", data.root / "data.yaml", "--to", "coco", "--out", out)
    converted = run("convert.py", *conversion, fresh=True)
    assert converted.returncode == 0, converted.stderr
    again = run("convert.py", *conversion)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert run("check_data.py", "--list").stdout.count("\n") == 4


def test_pictures_show_the_image_of_their_own_split(data: Planted) -> None:
    """Names repeat from split to split; a damaged image has no picture, not another's."""
    for split in ("train", "val"):
        data.add_row(3, "9 0.5 0.5 0.1 0.1", split)
    path = data.image("train", 6)
    path.write_bytes(path.read_bytes()[:700])
    settings = data.settings()
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    groups = by_code(examine(splits, image_size=400).findings)
    shown = dict(
        zip((group[0].code for group in groups), finding_figures(groups, splits), strict=True)
    )
    assert shown["image-unreadable"] == []
    assert len({figure.source for figure in shown["class-out-of-range"]}) == 2
