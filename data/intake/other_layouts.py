"""Layouts of tools and public data sets with label files of their own."""

from collections.abc import Iterable
from typing import Any

from data.formats.tools.csv_table import has_columns
from data.formats.tools.labelstudio import LABELS
from data.intake.tree import (
    Candidate,
    SplitName,
    Tree,
    by_split,
    folder_of,
    json_keys,
    outermost,
    split_of,
)


def read_labelme(tree: Tree) -> Candidate | None:
    """labelme: JSON files with shapes beside the images."""
    files = tree.ending(".json")
    folders = [folder_of(path) for path in tree.samples(files) if _is_labelme(tree.head(path))]
    if not folders:
        return None
    return _candidate("labelme annotations", "labelme", tree, tree.sources(folders))


def read_cvat(tree: Tree) -> Candidate | None:
    """CVAT for images: annotations.xml, whose root is `annotations`."""
    files = [path for path in tree.ending(".xml") if "<annotations" in tree.head(path)[:2000]]
    return _of_files("CVAT for images", "cvat", tree, files)


def read_labelstudio(tree: Tree) -> Candidate | None:
    """Label Studio: a JSON of tasks with results."""
    files = [
        path
        for path in tree.samples(tree.ending(".json"))
        if json_keys(tree.head(path)) & set(LABELS)
    ]
    return _of_files("Label Studio tasks", "labelstudio", tree, files)


def read_createml(tree: Tree) -> Candidate | None:
    """CreateML: a JSON list of images with annotations and their coordinates."""
    files = [
        path
        for path in tree.samples(tree.ending(".json"))
        if {"annotations", "coordinates", "label"} <= json_keys(tree.head(path))
    ]
    return _of_files("CreateML annotations", "createml", tree, files)


def read_csv_table(tree: Tree) -> Candidate | None:
    """CSV files with columns for file, class and corners."""
    files = [
        path for path in tree.ending(".csv") if has_columns(tree.head(path).partition("\n")[0])
    ]
    return _of_files("table of boxes", "table", tree, files)


def read_supervisely(tree: Tree) -> Candidate | None:
    """Supervisely: folders ann and img per data set, meta.json on top."""
    folders = {
        folder_of(path) for path in tree.ending(".json") if folder_of(path).split("/")[-1] == "ann"
    }
    datasets = [folder_of(folder) for folder in sorted(folders)]
    if not datasets or not any(path.rpartition("/")[2] == "meta.json" for path in tree.files):
        return None
    return _candidate("Supervisely project", "supervisely", tree, tree.sources(datasets))


def read_openimages(tree: Tree) -> Candidate | None:
    """Open Images: CSV files with a column LabelName."""
    files = [
        path
        for path in tree.ending(".csv")
        if {"ImageID", "LabelName", "XMin"} <= set(tree.head(path).split("\n")[0].split(","))
    ]
    return _of_files("Open Images boxes", "openimages", tree, files)


def read_kitti(tree: Tree) -> Candidate | None:
    """KITTI: texts that begin with the name of a class, in label_2."""
    folders = [
        folder
        for folder, kind in tree.text_kinds.items()
        if kind == "kitti" and folder.split("/")[-1].startswith("label")
    ]
    if not folders:
        return None
    return _candidate("KITTI labels", "kitti", tree, tree.sources(map(folder_of, folders)))


def read_visdrone(tree: Tree) -> Candidate | None:
    """VisDrone: texts of comma-separated numbers in annotations."""
    folders = [
        folder
        for folder, kind in tree.text_kinds.items()
        if kind == "visdrone" and folder.split("/")[-1].startswith(("annotation", "label"))
    ]
    if not folders:
        return None
    return _candidate(
        "VisDrone annotations", "visdrone", tree, tree.sources(map(folder_of, folders))
    )


def read_widerface(tree: Tree) -> Candidate | None:
    """WIDER FACE: wider_face_train_bbx_gt.txt."""
    return _of_files("WIDER FACE boxes", "widerface", tree, tree.ending("bbx_gt.txt"))


def read_crowdhuman(tree: Tree) -> Candidate | None:
    """CrowdHuman: annotation_train.odgt."""
    return _of_files("CrowdHuman boxes", "crowdhuman", tree, tree.ending(".odgt"))


def read_two_columns(tree: Tree) -> Candidate | None:
    """DeepPCB: lists of an image and a label file in each line."""
    folders = [folder for folder, kind in tree.text_kinds.items() if kind == "two_columns"]
    files = [
        path
        for path in tree.ending(".txt")
        if folder_of(path) in folders and split_of(path.removesuffix(".txt"))[0]
    ]
    return _of_files("lists of images with their label files", "two_columns", tree, files)


def _is_labelme(head: str) -> bool:
    return {"shapes", "imagePath"} <= json_keys(head)


def _of_files(title: str, format_name: str, tree: Tree, files: Iterable[str]) -> Candidate | None:
    splits: dict[SplitName, list[str]] = {}
    for path in files:
        splits.setdefault(split_of(path)[0] or "train", []).append(path)
    return _candidate(title, format_name, tree, splits) if splits else None


def _candidate(
    title: str, format_name: str, tree: Tree, splits: dict[SplitName, list[str]]
) -> Candidate:
    settings: dict[str, Any] = {"format": format_name, "path": str(tree.root), **by_split(splits)}
    places = outermost([source for sources in splits.values() for source in sources])
    return Candidate(title=f"{title} ({', '.join(places[:3])})", settings=settings)
