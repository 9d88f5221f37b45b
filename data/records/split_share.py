"""Splits as a share of another one, or as folds of two, the same on every machine.

The rule depends only on file names: an image belongs to a part if the SHA-256 of the name of its
group, read as a number in [0, 1), is below the share. Adding images moves none of the old ones, and
images of one group stay together. Folds have equal numbers of groups, in the order of these
numbers.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from data.formats.label_report import Decision, LabelReport, decide
from data.records.split import Split, SplitName, fingerprint
from utils.runtime.errors import UserError
from utils.structures.images import Record

FOLD = "train and val are cut into folds by a hash of the names"
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


def joined(parts: Sequence[Split], root: str) -> Split:
    """Return the images of several splits as one, each once, numbered anew.

    Raises:
        UserError: their classes differ.
    """
    first = parts[0]
    for other in parts[1:]:
        if other.class_names != first.class_names:
            raise UserError(
                f"data.folds joins {first.name} and {other.name}, whose classes differ: "
                f"{', '.join(first.class_names)} and {', '.join(other.class_names)}"
            )
    by_path = {record.path: record for part in reversed(parts) for record in part.records}
    records = [replace(by_path[path], image_id=n) for n, path in enumerate(sorted(by_path))]
    reports = [part.report for part in parts]
    counts = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("num_rows", "num_rejected", "num_dropped", "num_left_out", "num_unlabelled")
    }
    report = replace(
        first.report,
        decisions=tuple(decision for report in reports for decision in report.decisions),
        hint=next((report.hint for report in reports if report.hint), ""),
        refusal=next((report.refusal for report in reports if report.refusal), ""),
        **counts,
    )
    return replace(
        first,
        records=tuple(records),
        report=report,
        fingerprint=fingerprint(records, first.class_names, root),
    )


def cut_fold(
    whole: Split, part: SplitName, folds: int, fold: int, groups: Groups, root: str
) -> Split:
    """Return fold number `fold` of `folds` as val or test, all others as train.

    Args:
        whole: all images.
        part: val and test are the same images.
        folds: at least 2, of equal numbers of groups.
        fold: from 0.
        groups: which images stay together.
        root: folder of the data set, which paths count from.

    Raises:
        UserError: there are fewer groups than folds.
    """
    names = sorted({group_of(r.path, groups) for r in whole.records}, key=hash_share)
    if len(names) < folds:
        raise UserError(
            f"data.folds={folds} needs as many groups of images, there are {len(names)}; set fewer "
            "folds, or another data.groups"
        )
    kept = {name for rank, name in enumerate(names) if rank * folds // len(names) == fold}
    records = [r for r in whole.records if (group_of(r.path, groups) in kept) != (part == "train")]
    value = f"{len(records)} of {len(whole.records)} images, fold {fold} of {folds}"
    return replace(
        whole,
        name=part,
        records=tuple(records),
        report=_report_of_part(whole, records, part, decide(root, "file", value, FOLD, "noted")),
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
    share = shares.get(part, 1 - sum(shares.values()))
    value = f"{len(records)} of {len(whole.records)} images for {share:g}"
    return _report_of_part(whole, records, part, decide(root, "file", value, CUT, "noted"))


def _report_of_part(
    whole: Split, records: Sequence[Record], part: SplitName, note: Decision
) -> LabelReport:
    """Return the report of a part; rejected rows are counted in the report of train."""
    num_boxes = sum(len(record.boxes) for record in records)
    elsewhere = sum(len(record.boxes) for record in whole.records) - num_boxes
    is_train = part == "train"
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
