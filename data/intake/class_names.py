"""The class names of a data set that states none: those of its own files."""

from pathlib import Path

from configs.schema.data import CocoDataset, DatasetSettings, SyntheticDataset, YoloDataset
from data.formats.class_names import check_class_names, coco_files, find_class_names
from data.formats.files import require_folder
from data.images.facts import stamp_file
from data.index_cache import CacheEntry, IndexCache, hash_files, hash_parts, reader_sources


def with_class_names(dataset: DatasetSettings) -> DatasetSettings:
    """Return the settings with the class names of the data set's files where none are stated.

    Raises:
        UserError: there are none either, or stated ones contradict the files.
    """
    if isinstance(dataset, SyntheticDataset):
        return dataset
    if dataset.class_names:
        if isinstance(dataset, YoloDataset):
            check_class_names(dataset)
        return dataset
    require_folder(Path(dataset.path), "data.path")
    return dataset.model_copy(update={"class_names": _found_class_names(dataset)})


def _found_class_names(dataset: DatasetSettings) -> tuple[str, ...]:
    """Return the class names of the files; those of COCO, whose files are large, from the cache."""
    if not (isinstance(dataset, CocoDataset) and dataset.cache):
        return find_class_names(dataset)
    paths = coco_files(dataset)
    name = f"names-{hash_parts(paths)[:24]}"
    stamps = [repr(stamp_file(path)) for path in paths]
    key = hash_parts((hash_files(reader_sources()), *stamps))
    cache = IndexCache.of_user()
    if (entry := cache.load(name, key)) and isinstance(entry.facts.get("class_names"), list):
        return tuple(map(str, entry.facts["class_names"]))
    names = find_class_names(dataset)
    cache.save(name, key, CacheEntry(arrays={}, facts={"class_names": names}))
    return names
