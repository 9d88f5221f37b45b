"""Pascal VOC: XML beside the images or in Annotations, with or without lists of names."""

import re
from typing import Any

from data.intake.candidate import Candidate, by_split
from data.intake.tree import SplitName, Tree, folder_of, split_of
from utils.runtime.errors import UserError

_VOC_ROOT = re.compile(r"<annotation[\s>]")
_LIST = re.compile(r"(?:^|/)ImageSets/Main/([^/]+)\.txt$")


def read_voc(tree: Tree) -> Candidate | None:
    """Return the reading of XML files with objects.

    Lists in ImageSets/Main make the splits; without them folders do, each XML once.
    """
    files = tree.ending(".xml")
    folders = [
        folder_of(path) for path in tree.samples(files) if _VOC_ROOT.search(tree.head(path)[:2000])
    ]
    if not folders:
        return None
    if not tree.images:
        raise UserError(
            f"data: {tree.root} holds VOC annotations but no images; put them beside the XML files"
        )
    return _with_lists(tree) or Candidate(
        title=f"Pascal VOC annotations without lists ({len(files)} XML files)",
        settings={
            "format": "voc",
            "path": str(tree.root),
            "images": ".",
            "annotations": ".",
            "val": None,
            **by_split(tree.sources(folders)),
        },
    )


def _with_lists(tree: Tree) -> Candidate | None:
    lists: dict[SplitName, str] = {}
    roots = set()
    others = []
    for path in tree.files:
        match = _LIST.search(path)
        if not match or not tree.head(path).strip():
            continue
        roots.add(path[: match.start()].rstrip("/") or ".")
        name = match.group(1).lower()
        split = split_of(name)[0]
        if name in ("train", "val", "valid", "test", "trainval"):
            if split is not None and not (name == "trainval" and "train" in lists):
                lists[split] = path
        elif "_" not in name:  # aeroplane_train.txt and its like flag one class
            others.append(path)
    if len(roots) != 1 or not (lists or others):
        return None
    root = roots.pop()
    sources: dict[SplitName, list[str]] = {
        name: [_below(path, root)] for name, path in lists.items()
    }
    if not sources and len(others) == 1:
        sources = {"train": [_below(others[0], root)]}
    if not sources:
        return None
    settings: dict[str, Any] = {"format": "voc", "path": str(tree.path(root)), "val": None}
    folders = {path.split("/")[0] for path in (_below(p, root) for p in tree.files) if "/" in path}
    settings["images"] = "JPEGImages" if "JPEGImages" in folders else "."
    settings["annotations"] = "Annotations" if "Annotations" in folders else "."
    names = ", ".join(sorted(source[0] for source in sources.values()))
    return Candidate(title=f"Pascal VOC data set ({names})", settings=settings | by_split(sources))


def _below(path: str, root: str) -> str:
    return path if root == "." else path.removeprefix(root + "/")
