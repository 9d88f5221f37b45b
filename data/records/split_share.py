"""Splits as a share of another one, the same on every machine.

The rule depends only on file names: an image belongs to a part if the SHA-256 of the name of its
group, read as a number in [0, 1), is below the share. Adding images moves none of the old ones, and
images of one group stay together.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from data.formats.label_report import LabelReport, decide
from data.records.split import Split, SplitName, fingerprint
from utils.runtime.errors import UserError
from utils.structures.images import Record

CUT = "split is cut off train by a share of its images"
_ROBOFLOW_COPY = re.compile(r"[._]rf[._][0-9A-Za-z]{8,}(?=\.[^.]*$|$)")
_NUMBER_AT_END = re.compile(r"[-_. ]?\(?\d+\)?$")

Groups = Literal["original", "prefix", "folder"]


def hash_share(name: str) -> float:
    """Return the SHA-256 of a name as a number in [0, 1)."""
    return (
        int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:13], 16) / 16**13
    )


def group_of(path: str, groups: Groups) -> str:
    """Return the name of the group that an image belongs to, from its path alone."""
    folder, name = os.path.split(path)
    if groups == "folder":
        return os.path.basename(folder)
    original = _ROBOFLOW_COPY.sub("", name)
    if groups == "prefix":
        return _NUMBER_AT_END.sub("", os.path.splitext(original)[0])
    return original


def cut_split(
    whole: Split, part: SplitName, shares: Mapping[str, float], groups: Groups, root: str
) -> Split:
    """Return one part of a split.

    Args:
        whole: all images.
        part: train, or one of `shares`.
        shares: share of each part that is cut off, below 1 together.
        groups: which images stay together.
        root: folder of the data set, which paths count from.

    Raises:
        UserError: there are not enough groups for the parts.
    """
    part_of = _assign(sorted({group_of(r.path, groups) for r in whole.records}), shares)
    records = [r for r in whole.records if part_of[group_of(r.path, groups)] == part]
    return replace(
        whole,
        name=part,
        records=tuple(records),
        report=_report(whole, records, part, shares, root),
        fingerprint=fingerprint(records, whole.class_names, root),
    )


def _assign(names: Sequence[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Return the part of each group; every part gets one, those with the smallest numbers first."""
    if sum(shares.values()) >= 1:
        raise UserError(f"data.val and data.test take {sum(shares.values()):g} of train: no rest")
    if len(names) <= len(shares):
        raise UserError(
            f"data.val as a share needs more than {len(names)} groups of images; set another "
            "data.groups, or name the images of each split"
        )
    ordered = sorted(names, key=hash_share)
    parts: dict[str, str] = {}
    start, limit = 0, 0.0
    for part, share in sorted(shares.items()):
        limit += share
        end = start
        while end < len(ordered) and hash_share(ordered[end]) < limit:
            end += 1
        end = max(end, start + 1)
        parts |= dict.fromkeys(ordered[start:end], part)
        start = end
    if start >= len(ordered):
        parts[ordered[-1]] = "train"
    return {name: parts.get(name, "train") for name in names}


def _report(
    whole: Split, records: Sequence[Record], part: SplitName, shares: Mapping[str, float], root: str
) -> LabelReport:
    """Return the report of a part; rejected rows are counted in the report of train."""
    num_boxes = sum(len(record.boxes) for record in records)
    elsewhere = sum(len(record.boxes) for record in whole.records) - num_boxes
    is_train = part == "train"
    share = shares.get(part, 1 - sum(shares.values()))
    value = f"{len(records)} of {len(whole.records)} images for {share:g}"
    note = decide(root, "file", value, CUT, "noted")
    report = whole.report
    return replace(
        report,
        split=part,
        decisions=(*report.decisions, note) if is_train else (note,),
        num_rows=report.num_rows - elsewhere if is_train else num_boxes,
        num_rejected=report.num_rejected if is_train else 0,
        num_dropped=report.num_dropped if is_train else 0,
        num_ignored=sum(int(record.ignore.sum()) for record in records),
        num_images=len(records),
        num_background=sum(not len(record.boxes) for record in records),
        num_left_out=report.num_left_out if is_train else 0,
        num_unlabelled=report.num_unlabelled if is_train else 0,
    )
