"""Section `data`: where images and labels lie and how their formats are read."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from configs.schema.settings import Settings


class DatasetSettings(Settings):
    """What all formats share."""

    carried: ClassVar[frozenset[str]] = frozenset({"path", "class_names", "max_rejected", "cache"})
    num_name_folders: ClassVar[int] = 1
    """Last folders of `path` that together are the data set's name for a person."""

    path: str
    """Root folder of the data set. A relative path is tried against the YAML that sets it, then
    $FOCALDET_DATASETS, then ./datasets."""

    class_names: tuple[str, ...] = Field(min_length=1)
    """Names of the classes, in order of class index. A mapping index: name is accepted too."""

    max_rejected: float = Field(default=0.01, ge=0, le=1)
    """Share of label rows, 0 to 1, that may be unusable before training refuses to start; every
    rejected row is listed in labels_report.csv. 1 always trains on the remaining rows."""

    cache: bool = True
    """Keep an index of the labels between runs, in the user's cache folder ($FOCALDET_CACHE, else
    ~/.cache/focaldet); never inside the data set."""

    @model_validator(mode="after")
    def _class_names_differ(self) -> "DatasetSettings":
        twice = sorted({name for name in self.class_names if self.class_names.count(name) > 1})
        if twice:
            raise ValueError(f"class_names holds {', '.join(map(repr, twice))} more than once")
        return self


class YoloDataset(DatasetSettings):
    """One .txt per image with rows `class cx cy w h` or polygons, normalised to [0, 1]."""

    format: Literal["yolo"] = "yolo"

    train: str | tuple[str, ...]
    """Training images: a folder (searched recursively), a .txt list of image paths, or several of
    them. The label of .../images/x.jpg is .../labels/x.txt."""

    val: str | tuple[str, ...] | None = None
    """Validation images, same forms as train."""

    test: str | tuple[str, ...] | None = None
    """Test images, same forms as train."""


class CocoSplit(Settings):
    """Images and annotations of one split of a COCO data set."""

    images: str
    """Folder of the images, relative to data.path."""

    annotations: str
    """Instances JSON of the split, relative to data.path."""


class CocoDataset(DatasetSettings):
    """COCO instances JSON; category ids are mapped to class indices by name."""

    format: Literal["coco"]

    train: CocoSplit
    """Training split."""

    val: CocoSplit | None = None
    """Validation split."""

    test: CocoSplit | None = None
    """Test split."""


class VocDataset(DatasetSettings):
    """Pascal VOC: one XML per image, splits as lists of image names."""

    num_name_folders: ClassVar[int] = 2  # VOCdevkit/VOC2012

    format: Literal["voc"]

    images: str = "JPEGImages"
    """Folder of the images, relative to data.path."""

    annotations: str = "Annotations"
    """Folder of the XML files, relative to data.path."""

    train: str = "ImageSets/Main/train.txt"
    """Text file with one image name per line, without extension."""

    val: str | None = "ImageSets/Main/val.txt"
    """Names of the validation images."""

    test: str | None = None
    """Names of the test images."""

    first_pixel: Literal[0, 1] = 1
    """Coordinate of the first pixel: 1 as in Pascal VOC (xmin 1 and xmax = width cover the image:
    1 is taken from xmin and ymin), 0 where xmin and xmax are edges counted from 0."""

    difficult: Literal["ignore", "keep", "reject"] = "ignore"
    """Objects flagged difficult: ignore (not trained on, neutral in evaluation), keep (as any
    other) or reject (dropped, listed in the report)."""


class SyntheticDataset(DatasetSettings):
    """Generated scenes, written once as real files in YOLO layout; the embedded data set."""

    format: Literal["synthetic"]

    path: str = "datasets/synthetic"
    """Folder the files are written to on first use, relative to the working directory."""

    class_names: tuple[str, ...] = ("disc", "ring", "box", "cross", "triangle", "star")
    """Names of the generated shapes, most frequent first; any leading part of the default list."""

    train_images: int = Field(default=800, ge=1)
    """Images in the training split."""

    val_images: int = Field(default=100, ge=1)
    """Images in the validation split."""

    test_images: int = Field(default=100, ge=0)
    """Images in the test split."""

    side: int = Field(default=256, ge=64, le=4096)
    """Longer side of the generated images, pixels."""

    data_seed: int = Field(default=0, ge=0)
    """Seed of the generator; another seed is another data set."""


Dataset = Annotated[
    YoloDataset | CocoDataset | VocDataset | SyntheticDataset, Field(discriminator="format")
]


def settings_of_format(name: str) -> type[DatasetSettings]:
    """Return the settings class whose `format` is `name`."""
    classes = get_args(get_args(Dataset)[0])
    found: type[DatasetSettings] = next(
        each for each in classes if name in get_args(each.model_fields["format"].annotation)
    )
    return found
