"""From the settings of a data set to the records of one split.

The reader of the format finds and parses the files, every image is looked at once, every row is
judged, and the result is kept until a label, an image or a reader option changes.
"""

from collections.abc import Mapping
from pathlib import Path

from configs.schema.data import DatasetSettings, SyntheticDataset
from data.formats.files import Reader, SplitFiles, require_folder
from data.formats.readers import READERS
from data.formats.rows import RawImage, RawSplit, judge, reject_all
from data.image_facts import ImageFacts, Stamp, inspect_images, stamp_files
from data.index_cache import IndexCache, hash_files, hash_parts
from data.label_report import Decision, LabelReport, decide
from data.split import OUTSIDE, Split, SplitName, fingerprint, pack, unpack_whole
from utils.runtime.errors import UserError
from utils.structures.images import Record

__all__ = ["Split", "SplitName", "load_split"]

SIZE_DIFFERS = "image has another size than its labels state"


def load_split(dataset: DatasetSettings, split: SplitName, *, may_generate: bool = True) -> Split:
    """Return the records of one split and the report on what could not be taken as it is.

    Image ids are those of the file for COCO, elsewhere positions in the sorted split from 0,
    unusable images counted. `dataset.path` must be resolved already; a synthetic data set is
    written first, if `may_generate`: what a file of others names must not fill the disk.
    Whether too many rows were rejected is the caller's question: `report.require_usable`.

    Raises:
        UserError: the split is not set, a file or folder is missing, no image can be used, or the
            annotations as a whole cannot be understood.
    """
    if isinstance(dataset, SyntheticDataset):
        from data.synthetic import ensure_written

        dataset = ensure_written(dataset, may_generate=may_generate)
    reader = open_reader(dataset, split)
    files = reader.find()
    stamps = stamp_files(files.images)
    settings = dataset.model_dump_json(exclude={"max_rejected", "cache"})
    name = hash_parts((settings, split))[:24]
    sources = hash_files(_reader_sources())
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
    result = _assemble(dataset, split, raw, facts, files.notes)
    if cache:
        outside = stamp_files(image.path for image in raw.images if image.path not in stamps)
        cache.save(f"labels-{name}", key, pack(result, outside))
    return result


def _kept(cache: IndexCache, name: str, key: str, stamps: Mapping[str, Stamp]) -> Split | None:
    """Return the split kept under `key` unless an image outside of the listed ones changed."""
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


def _reader_sources() -> list[Path]:
    here = Path(__file__).parent
    return [*sorted(here.glob("formats/*.py")), *sorted(here.glob("*.py"))]


def _content_key(files: SplitFiles, stamps: Mapping[str, Stamp]) -> str:
    parts: list[bytes | str] = []
    for path, content in files.labels.items():
        parts += [path, content]
    for path, stamp in stamps.items():
        parts += [path, repr(stamp)]
    return hash_parts([*parts, *map(repr, files.notes)])


def _assemble(
    dataset: DatasetSettings,
    split: SplitName,
    raw: RawSplit,
    facts: Mapping[str, ImageFacts],
    notes: tuple[Decision, ...],
) -> Split:
    records: list[Record] = []
    decisions = [*notes, *raw.notes, *raw.stray_rows]
    num_rejected = len(raw.stray_rows)
    num_unlabelled = 0
    for image in raw.images:
        fact = facts.get(image.path)
        fault = image.fault or (fact.fault if fact else "")
        if fact is None or fault:
            decisions.append(decide(image.path, "image", "", fault, "rejected"))
            judged = reject_all(image)
        else:
            decisions += _compare_sizes(image, fact.size)
            judged = judge(image, fact.size)
            num_unlabelled += not image.label_file
            records.append(
                Record(
                    path=image.path,
                    image_id=image.image_id,
                    size=fact.size,
                    boxes=judged.boxes,
                    labels=judged.labels,
                    ignore=judged.ignore,
                    area=judged.area,
                )
            )
        decisions += judged.decisions
        num_rejected += judged.num_rejected
    if not records:
        unusable = next(row for row in decisions if row.location == "image")
        raise UserError(
            f"data.{split}: none of the {len(raw.images)} images can be used, "
            f"e.g. {unusable.file}: {unusable.reason}"
        )
    report = LabelReport(
        split=split,
        decisions=tuple(decisions),
        num_rows=sum(len(image.rows) for image in raw.images) + len(raw.stray_rows),
        num_rejected=num_rejected,
        num_ignored=sum(int(record.ignore.sum()) for record in records),
        num_images=len(records),
        num_background=sum(not len(record.boxes) for record in records),
        num_unlabelled=num_unlabelled,
        num_left_out=len(raw.images) - len(records),
    )
    return Split(
        name=split,
        records=tuple(records),
        class_names=dataset.class_names,
        category_ids=raw.category_ids,
        report=report,
        fingerprint=fingerprint(records, dataset.class_names, dataset.path),
    )


def _compare_sizes(image: RawImage, size: tuple[int, int]) -> list[Decision]:
    if image.stated_size in (None, size):
        return []
    height, width = image.stated_size or size
    value = f"stated {width}x{height}, is {size[1]}x{size[0]}"
    return [decide(image.path, "image", value, SIZE_DIFFERS, "noted")]
