"""Section `data`: where images and labels are and how their formats are read."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from configs.schema.settings import Settings

Share = Annotated[float, Field(gt=0, lt=1)]
"""Part of the images of a split, above 0 and below 1."""


class ClassChanges(Settings):
    """Changes of the classes of the label files for training."""

    leave_out: tuple[str, ...] = ()
    """Classes whose objects are not used; images that contain nothing else become background."""

    merge: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """New class: classes whose objects it takes over, as in {vehicle: [car, bus]}."""

    rename: dict[str, str] = Field(default_factory=dict)
    """Class in the files: name it gets."""

    all_as: str | None = None
    """Name of the single class that all objects count as; null keeps the classes apart."""


class DatasetSettings(Settings):
    """Common settings of all formats."""

    carried: ClassVar[frozenset[str]] = frozenset(
        {
            "path",
            "class_names",
            "max_rejected",
            "cache",
            "classes",
            "outside",
            "min_inside",
            "groups",
            "frame",
            "depth",
            "folds",
            "fold",
        }
    )

    num_name_folders: ClassVar[int] = 1
    """Last folders of `path` that together are the data set's name for a person."""

    path: str
    """Root folder of the data set. A relative path is tried against the YAML that sets it, then
    $FOCALDET_DATASETS, then ./datasets."""

    class_names: tuple[str, ...] = ()
    """Names of the classes, in order of class index. A mapping index: name is accepted too. Empty
    takes those of the data set's own files."""

    max_rejected: float = Field(default=0.01, ge=0, le=1)
    """Share of label rows, 0 to 1, that may be unusable before training refuses to start; every
    rejected row is listed in labels_report.csv. 1 always trains on the remaining rows."""

    cache: bool = True
    """Keep an index of the labels between runs, in the user's cache folder ($FOCALDET_CACHE, else
    ~/.cache/focaldet); never inside the data set."""

    classes: ClassChanges | None = None
    """Classes to leave out, merge or rename; null takes them as they are."""

    outside: Literal["clip", "ignore", "reject"] = "clip"
    """Boxes that reach more than 1 px out of the image: clip those with at least the share
    min_inside within it and reject the others; ignore clips them too and makes the others neutral;
    reject drops all of them."""

    min_inside: float = Field(default=0.3, ge=0, le=1)
    """Share of a box's area, 0 to 1, that must be within the image for it to be clipped."""

    groups: Literal["original", "prefix", "folder"] = "original"
    """Images that a share in val or test keeps together: augmented copies of one original (as
    Roboflow names them, x.rf.HASH.jpg), names that differ only in a number at the end (frames of a
    video), or all of a folder."""

    frame: Literal["shown", "stored"] = "shown"
    """Frame of the boxes of an image that is rotated by its EXIF data: shown, as in viewers and
    most tools, or stored, as in programs that ignore EXIF."""

    depth: Literal["auto"] | Annotated[int, Field(ge=8, le=16)] = "auto"
    """Bits, 8 to 16, that the values of 16-bit images fill: the upper 8 of them are used, as in 12
    for most microscopes. auto takes the 8, 10, 12, 14 or 16 that each image uses by itself."""

    folds: int | None = Field(default=None, ge=2, le=100)
    """Cut train and val together into so many equal folds, by a hash of the names and with what
    `groups` names together: val and test are then fold number `fold`, train is all others. null
    takes the splits as they are."""

    fold: int = Field(default=0, ge=0)
    """Number of the fold that is kept from train, from 0."""

    @property
    def depth_bits(self) -> int | None:
        """Return `depth` as a number, None for auto."""
        return None if self.depth == "auto" else self.depth

    @model_validator(mode="after")
    def _fold_exists(self) -> "DatasetSettings":
        if self.fold and self.fold >= (self.folds or 1):
            last = f"the last one is {self.folds - 1}" if self.folds else "it needs folds"
            raise ValueError(f"fold {self.fold} does not exist: {last}")
        return self

    @model_validator(mode="after")
    def _class_names_differ(self) -> "DatasetSettings":
        twice = sorted({name for name in self.class_names if self.class_names.count(name) > 1})
        if twice:
            raise ValueError(f"class_names contains {', '.join(map(repr, twice))} more than once")
        return self


class YoloDataset(DatasetSettings):
    """One .txt per image with rows `class cx cy w h` or polygons, normalised to [0, 1]."""

    format: Literal["yolo"] = "yolo"

    train: str | tuple[str, ...]
    """Training images: a folder (searched recursively), a .txt list of image paths, or several of
    them. The label of .../images/x.jpg is .../labels/x.txt."""

    val: str | tuple[str, ...] | Share | None = None
    """Validation images, same forms as train, or the share of train to cut off, as in 0.2."""

    test: str | tuple[str, ...] | Share | None = None
    """Test images, same forms as train, or the share of train to cut off."""

    unlabelled: Literal["refuse", "background"] = "refuse"
    """A split in which no image has a label file: error, since its labels are mostly elsewhere, or
    background for all its images."""

    first_class: Literal[0, 1] = 0
    """Smallest class id in the label files: that of the first name in class_names."""

    keypoints: tuple[int, ...] | None = None
    """Shape of the keypoints behind each box, [number, 2 or 3], as kpt_shape; they are not used. []
    reads all rows of more than six columns as polygons, null detects it."""


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

    val: CocoSplit | Share | None = None
    """Validation split, or the share of train to cut off, as in 0.2."""

    test: CocoSplit | Share | None = None
    """Test split, or the share of train to cut off."""

    boxes: Literal["auto", "xywh", "xyxy", "cxcywh"] = "auto"
    """Order of the numbers in bbox: xywh is corner and size, as COCO has it. auto is xywh, and
    stops where the boxes contradict it. Numbers that are all at most 1 are shares of the image."""


class VocDataset(DatasetSettings):
    """Pascal VOC: one XML per image, splits as lists of image names."""

    num_name_folders: ClassVar[int] = 2  # VOCdevkit/VOC2012

    format: Literal["voc"]

    images: str = "JPEGImages"
    """Folder of the images, relative to data.path."""

    annotations: str = "Annotations"
    """Folder of the XML files, relative to data.path."""

    train: str = "ImageSets/Main/train.txt"
    """Text file with one image name per line, without extension; or a folder: every XML in it."""

    val: str | Share | None = "ImageSets/Main/val.txt"
    """Names of the validation images, same forms as train, or the share of train to cut off."""

    test: str | Share | None = None
    """Names of the test images, same forms as train, or the share of train to cut off."""

    first_pixel: Literal["auto", 0, 1] = "auto"
    """Coordinate of the first pixel: 1 as in Pascal VOC (xmin 1 and xmax = width cover the image:
    1 is taken from xmin and ymin), 0 where xmin and xmax are edges counted from 0. auto is 1
    unless an xmin or ymin of 0 or decimals prove 0."""

    difficult: Literal["ignore", "keep", "reject"] = "ignore"
    """Objects flagged difficult: ignore (not trained on, neutral in evaluation), keep (as any
    other) or reject (dropped, listed in the report)."""


class ToolDataset(DatasetSettings):
    """Label files of a tool or a public data set that no other format covers."""

    format: Literal[
        "labelme",
        "cvat",
        "labelstudio",
        "createml",
        "table",
        "supervisely",
        "openimages",
        "kitti",
        "visdrone",
        "widerface",
        "crowdhuman",
        "two_columns",
    ]

    train: str | tuple[str, ...]
    """Folder with images and labels, or a label file, relative to data.path; or several."""

    val: str | tuple[str, ...] | Share | None = None
    """Same forms as train, or the share of train to cut off, as in 0.2."""

    test: str | tuple[str, ...] | Share | None = None
    """Same forms as train, or the share of train to cut off."""


class AutoDataset(DatasetSettings):
    """A data set of any supported tool; the layout is detected and logged before training."""

    format: Literal["auto"]

    path: str
    """Folder, .zip, COCO JSON, obj.data or list of images."""

    layout: str | None = None
    """Name of the layout to read it as, where several fit; null detects it."""

    val: Share | None = None
    """Share of train to cut off for validation; null takes the existing split, if any."""

    test: Share | None = None
    """Share of train to cut off for the test; null takes the existing split, if any."""

    boxes: Literal["auto", "xywh", "xyxy", "cxcywh"] = "auto"
    """As for format coco."""

    first_pixel: Literal["auto", 0, 1] = "auto"
    """As for format voc."""

    difficult: Literal["ignore", "keep", "reject"] = "ignore"
    """As for format voc."""


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
    """Seed of the generator; another seed gives another data set."""


Dataset = Annotated[
    YoloDataset | CocoDataset | VocDataset | ToolDataset | AutoDataset | SyntheticDataset,
    Field(discriminator="format"),
]


def settings_of_format(name: str) -> type[DatasetSettings]:
    """Return the settings class whose `format` is `name`."""
    classes = get_args(get_args(Dataset)[0])
    found: type[DatasetSettings] = next(
        each for each in classes if name in get_args(each.model_fields["format"].annotation)
    )
    return found
