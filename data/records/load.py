"""From the settings of a data set to the records of one split.

The reader of the format finds and parses the files, every image is looked at once, every row is
checked, and the result is kept until a label, an image or a reader option changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from configs.schema.data import (
    AutoDataset,
    DatasetSettings,
    SyntheticDataset,
)
from data.formats.box_units import in_image_pixels
from data.formats.files import Reader, SplitFiles, require_folder
from data.formats.label_report import Decision, LabelReport, decide
from data.formats.readers import READERS
from data.formats.rows import (
    BorderPolicy,
    JudgedRows,
    RawImage,
    RawSplit,
    judge,
    reject_all,
)
from data.formats.stored_frame import in_shown_frame
from data.images.facts import ImageFacts, Stamp, inspect_images, stamp_files
from data.index_cache import IndexCache, hash_files, hash_parts, reader_sources
from data.intake.class_names import with_class_names
from data.intake.recognise import recognise
from data.records.class_changes import change_classes, plan_classes, with_named_classes
from data.records.split import OUTSIDE, Split, SplitName, fingerprint, pack, unpack_whole
from data.records.split_share import cut_fold, cut_split, joined
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import collections_paused
from utils.structures.images import Record

__all__ = ["Split", "SplitName", "load_split"]

_CUT = ("val", "test")


def load_split(dataset: DatasetSettings, split: SplitName, *, may_generate: bool = True) -> Split:
    """Return the records of one split and the label report.

    Image ids are those of the file for COCO, elsewhere positions in the sorted split from 0,
    unusable images counted. `dataset.path` must be resolved already; a synthetic data set is
    written first, if `may_generate`: a file of others must not fill the disk. The caller checks
    whether too many rows were rejected: `report.require_usable`.

    Raises:
        UserError: the split is not set, a file or folder is missing, no image can be used, or the
            annotations as a whole cannot be understood.
    """
    if isinstance(dataset, SyntheticDataset):
        from data.synthetic.generate import ensure_written

        dataset = ensure_written(dataset, may_generate=may_generate)
    if isinstance(dataset, AutoDataset):
        dataset = recognise(dataset).dataset
        if split != "train" and not getattr(dataset, split):
            raise UserError(f"data.{split} is not set: this data set has no {split} split")
    dataset = with_named_classes(with_class_names(dataset))
    with collections_paused():
        found = _load_with_shares(dataset, split)
    if (depth := dataset.depth_bits) is None:
        return found
    return replace(found, records=tuple(replace(record, depth=depth) for record in found.records))


def _load_with_shares(dataset: DatasetSettings, split: SplitName) -> Split:
    if dataset.folds is not None:
        return _load_fold(dataset, split, dataset.folds)
    shares = {name: share for name in _CUT if isinstance(share := getattr(dataset, name), float)}
    if split == "train" or split in shares:
        whole = _load_whole(dataset.model_copy(update=dict.fromkeys(shares)), "train")
        return cut_split(whole, split, shares, dataset.groups, dataset.path) if shares else whole
    return _load_whole(dataset, split)


def _load_fold(dataset: DatasetSettings, split: SplitName, folds: int) -> Split:
    """Return the fold that is kept from train, or all others; a share of train is part of it."""
    shares = [name for name in _CUT if isinstance(getattr(dataset, name), float)]
    whole = dataset.model_copy(update={**dict.fromkeys(shares), "folds": None, "fold": 0})
    parts = [_load_whole(whole, "train")]
    if whole.val is not None:  # type: ignore[attr-defined]
        parts.append(_load_whole(whole, "val"))
    return cut_fold(
        joined(parts, dataset.path), split, folds, dataset.fold, dataset.groups, dataset.path
    )


def _load_whole(dataset: DatasetSettings, split: SplitName) -> Split:
    reader = open_reader(dataset, split)
    files = reader.find()
    stamps = stamp_files(files.images)
    settings = dataset.model_dump_json(exclude={"max_rejected", "cache", "groups", "folds", "fold"})
    name = hash_parts((settings, split))[:24]
    sources = hash_files(reader_sources())
    key = hash_parts((sources, _content_key(files, stamps)))
    cache = IndexCache.of_user() if dataset.cache else None
    if cache and (kept := _kept(cache, f"labels-{name}", key, stamps)):
        return kept
    raw = reader.read(files)
    facts = inspect_images(
        stamp_files(image.path for image in raw.images if not image.fault),
        cache=cache,
        name=f"images-{name}",
        title=f"{split}: checking images",
    )
    result = _assemble(dataset, split, raw, facts, files)
    if cache:
        outside = stamp_files(image.path for image in raw.images if image.path not in stamps)
        cache.save(f"labels-{name}", key, pack(result, outside))
    return result


def _kept(cache: IndexCache, name: str, key: str, stamps: Mapping[str, Stamp]) -> Split | None:
    """Return the split cached under `key` unless an image outside the listed ones changed."""
    entry = cache.load(name, key)
    split = unpack_whole(entry)
    if entry is None or split is None:
        return None
    outside = entry.facts.get(OUTSIDE, {})
    if not isinstance(outside, Mapping) or any(path in stamps for path in outside):
        return None
    now = {path: list(stamp) for path, stamp in stamp_files(outside).items()}
    return split if now == dict(outside) else None


def open_reader(dataset: DatasetSettings, split: SplitName) -> Reader:
    """Return the reader of the data set's format; raises UserError if there is no such split."""
    require_folder(Path(dataset.path), "data.path")
    if not getattr(dataset, split):
        raise UserError(f"data.{split} is not set: this data set has no {split} split")
    return READERS[type(dataset)](dataset, split)


def _content_key(files: SplitFiles, stamps: Mapping[str, Stamp]) -> str:
    # A few long parts: a part for each file would cost more than reading them. No path has a NUL.
    sizes = [f"{len(content)}" for content in files.labels.values()]
    changes = [f"{num_bytes} {mtime_ns}" for num_bytes, mtime_ns in stamps.values()]
    texts = ["\0".join(part) for part in (files.labels, sizes, stamps, changes)]
    others = map(repr, (*files.notes, *files.stray_rows))
    return hash_parts([*texts, b"".join(files.labels.values()), *others])


def _assemble(
    dataset: DatasetSettings,
    split: SplitName,
    raw: RawSplit,
    facts: Mapping[str, ImageFacts],
    files: SplitFiles,
) -> Split:
    names, num_changed = dataset.class_names, 0
    if dataset.classes is not None:
        table = plan_classes(names, dataset.classes)
        raw, num_changed = change_classes(raw, names, table, dataset.path)
        names = table.names
    images, resized = _in_shown_pixels(dataset, raw, facts)
    stray_rows = [*(decision for decision, _ in files.stray_rows), *raw.stray_rows]
    decisions = [*files.notes, *raw.notes, *stray_rows, *resized]
    num_stray = sum(count for _, count in files.stray_rows) + len(raw.stray_rows)
    num_rejected, num_dropped = num_stray, num_changed
    records: list[Record] = []
    num_unlabelled = 0
    policy = BorderPolicy(dataset.outside, dataset.min_inside)
    for image in images:
        fact = facts.get(image.path)
        fault = image.fault or (fact.fault if fact else "")
        if fact is None or fault:
            decisions.append(decide(image.path, "image", "", fault, "rejected"))
            judged = reject_all(image)
        else:
            if fact.remark and dataset.depth == "auto":
                decisions.append(decide(image.path, "image", "", fact.remark, "noted"))
            judged = judge(image, fact.size, policy)
            num_unlabelled += not image.label_file
            records.append(_record(image, fact.size, judged))
        decisions += judged.decisions
        num_rejected += judged.num_rejected
        num_dropped += judged.num_dropped
    if not records:
        raise UserError(_explain_unusable(split, decisions, len(images)))
    report = LabelReport(
        split=split,
        decisions=tuple(decisions),
        num_rows=sum(len(image.rows) for image in images) + num_stray + num_changed,
        num_rejected=num_rejected,
        num_dropped=num_dropped,
        num_ignored=sum(int(record.ignore.sum()) for record in records),
        num_images=len(records),
        num_background=sum(not len(record.boxes) for record in records),
        num_unlabelled=num_unlabelled,
        num_left_out=len(images) - len(records),
        hint=raw.hint,
        refusal=raw.refusal,
    )
    return Split(
        name=split,
        records=tuple(records),
        class_names=names,
        category_ids=raw.category_ids,
        report=report,
        fingerprint=fingerprint(records, names, dataset.path),
    )


def _in_shown_pixels(
    dataset: DatasetSettings, raw: RawSplit, facts: Mapping[str, ImageFacts]
) -> tuple[list[RawImage], list[Decision]]:
    """Return the images with boxes in pixels as a viewer shows them, and decisions about sizes."""
    sizes = {path: fact.size for path, fact in facts.items() if not fact.fault}
    images = in_shown_frame(raw.images, sizes) if dataset.frame == "stored" else raw.images
    return in_image_pixels(images, sizes)


def _record(image: RawImage, size: tuple[int, int], judged: JudgedRows) -> Record:
    return Record(
        path=image.path,
        image_id=image.image_id,
        size=size,
        boxes=judged.boxes,
        labels=judged.labels,
        ignore=judged.ignore,
        area=judged.area,
    )


def _explain_unusable(split: SplitName, decisions: Sequence[Decision], num_images: int) -> str:
    unusable = next(row for row in decisions if row.location == "image")
    return (
        f"data.{split}: none of the {num_images} images can be used, "
        f"e.g. {unusable.file}: {unusable.reason}"
    )
