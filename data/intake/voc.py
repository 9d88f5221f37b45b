"""Pascal VOC: XML beside the images or in Annotations, with or without lists of names."""

import re
from collections.abc import Mapping
from typing import Any

from data.intake.tree import Candidate, SplitName, Tree, by_split, folder_of, split_of
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
    """Return the reading by the lists of one ImageSets/Main; None where there is none, or several
    data sets have theirs.
    """
    lists = {path: match for path in tree.files if (match := _LIST.search(path))}
    filled = {path: match for path, match in lists.items() if tree.head(path).strip()}
    roots = {path[: match.start()].rstrip("/") or "." for path, match in filled.items()}
    named = _by_name({match.group(1).lower(): path for path, match in filled.items()})
    if len(roots) != 1 or not named:
        return None
    (root,) = roots
    sources: dict[SplitName, list[str]] = {
        split: [_below(path, root)] for split, path in named.items()
    }
    folders = {_below(path, root).partition("/")[0] for path in tree.files}
    settings: dict[str, Any] = {
        "format": "voc",
        "path": str(tree.path(root)),
        "val": None,
        "images": "JPEGImages" if "JPEGImages" in folders else ".",
        "annotations": "Annotations" if "Annotations" in folders else ".",
    }
    names = ", ".join(sorted(source[0] for source in sources.values()))
    return Candidate(title=f"Pascal VOC data set ({names})", settings=settings | by_split(sources))


def _by_name(lists: Mapping[str, str]) -> dict[SplitName, str]:
    """Return the list of each split, by the names of the lists; a single other list is train.

    Lists like aeroplane_train.txt flag the images of one class and make no split.
    """
    by_split: dict[SplitName, str] = {}
    for name in ("trainval", "train", "val", "valid", "test"):  # train goes before trainval
        split = split_of(name)[0]
        if name in lists and split is not None:
            by_split[split] = lists[name]
    others = [path for name, path in lists.items() if "_" not in name]
    return by_split or ({"train": others[0]} if len(others) == 1 else {})


def _below(path: str, root: str) -> str:
    return path if root == "." else path.removeprefix(root + "/")
