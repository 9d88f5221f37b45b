"""The visible table of all checks: code, severity, what it means, what to do about it.

The files beside this one look for the faults, one family each; none of them decides how severe a
fault is. error: labels are lost or wrong, or scores measured on these data cannot be trusted.
warning: training is likely to suffer. note: good to know, sound data have such things too.
"""

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Check(NamedTuple):
    """What is known about a fault before any data are looked at."""

    severity: Severity
    title: str
    advice: str


CHECKS: dict[str, Check] = {
    # rows of labels, as reading them decided
    "too-many-rejected": Check(
        "error",
        "More label rows cannot be used than data.max_rejected allows",
        "Fix the rows that the other findings name; training refuses to start until then.",
    ),
    "class-out-of-range": Check(
        "error",
        "Label rows with a class id that has no name",
        "Add the missing class names, or correct the ids.",
    ),
    "ids-from-one": Check(
        "error",
        "Class ids seem to count from 1",
        "Subtract 1 from every id, or name a class 0: all boxes carry the next class's name.",
    ),
    "box-outside": Check(
        "warning",
        "Boxes that reach outside the image are not used",
        "Clip them to the image if they are objects cut by its border.",
    ),
    "box-without-area": Check(
        "warning",
        "Boxes without area are not used",
        "Delete these rows or draw the boxes anew; most are clicks without a drag.",
    ),
    "box-twice": Check(
        "note", "The same box is written more than once", "Nothing to do: one of them is used."
    ),
    "row-rejected": Check(
        "warning",
        "Label rows that cannot be used",
        "Fix them: their objects count as background.",
    ),
    "row-repaired": Check("note", "Label rows that were repaired", "Nothing to do."),
    "row-noted": Check("note", "What reading the labels noted", "Read the lines once."),
    # files
    "image-unreadable": Check(
        "error",
        "Images that cannot be read, with all their labels",
        "Restore the files, or delete them with their labels.",
    ),
    "label-without-image": Check(
        "error",
        "Label files without an image",
        "Restore the images or rename the files: these objects are lost.",
    ),
    "labels-shared": Check(
        "warning",
        "Several images share one label file",
        "Rename the images so that each has labels of its own.",
    ),
    "image-without-label-file": Check(
        "note",
        "Images without a label file count as background",
        "Make sure that they show no object; an empty label file says so.",
    ),
    "file-ignored": Check(
        "note", "Files that are neither images nor labels", "Nothing to do, or convert them."
    ),
    "listed-twice": Check("note", "Images listed more than once", "Nothing to do: used once."),
    "size-differs": Check(
        "warning",
        "Labels give another image size than the file has",
        "Make sure that the boxes were drawn on images of this size.",
    ),
    "exif-rotation": Check(
        "warning",
        "Images that EXIF data rotate",
        "Look at them here: boxes drawn by a tool that ignores EXIF lie elsewhere.",
    ),
    "suffix-differs": Check(
        "note", "Content and suffix of an image differ", "Nothing to do; other programs may fail."
    ),
    "odd-pixels": Check(
        "note",
        "Images with other pixels than 8-bit colour",
        "Look at them here: grey, 16-bit, palette, CMYK or transparent images are converted.",
    ),
    "several-frames": Check(
        "note", "Images with several frames", "Only the first frame is used; extract the others."
    ),
    "image-blank": Check(
        "warning", "Images of one colour", "Delete them, unless the camera really delivers such."
    ),
    "image-tiny": Check(
        "warning", "Images of less than 32 pixels", "Thumbnails among the images? Remove them."
    ),
    "image-elongated": Check(
        "note",
        "Images more than four times as long as wide",
        "Cut them into tiles: most of the network's input is padding.",
    ),
    # the same image more than once
    "split-shared-files": Check(
        "error",
        "The same files are in two splits",
        "Split the images; scores on images that were trained on say nothing.",
    ),
    "same-image-in-splits": Check(
        "error",
        "The same image is in two splits",
        "Remove one of them; scores on images that were trained on say nothing.",
    ),
    "copies-in-splits": Check(
        "error",
        "Augmented copies of one original are in two splits",
        "Split by original (the name before .rf.), then augment.",
    ),
    "similar-image-in-splits": Check(
        "warning",
        "Nearly the same image is in two splits",
        "Look at the pairs; put the images of one scene or video into one split.",
    ),
    "copies-in-evaluation": Check(
        "warning",
        "Augmented copies in a split for evaluation",
        "Evaluate on originals: export val and test without augmentation.",
    ),
    "same-image-twice": Check(
        "warning", "The same image is in a split more than once", "Remove the copies."
    ),
    "similar-image-twice": Check(
        "note",
        "Nearly the same image is in a split more than once",
        "Fine for frames of a video; the split is worth fewer images than it counts.",
    ),
    "copies-with-other-labels": Check(
        "error",
        "Copies of one image have different labels",
        "Decide which labels are right and remove the others.",
    ),
    # splits and classes
    "no-val-split": Check(
        "warning", "There is no val split", "Set data.val: without it nothing tells when to stop."
    ),
    "no-objects": Check("error", "A split has no objects at all", "Check where its labels lie."),
    "few-images": Check(
        "note",
        "A split for evaluation has few images",
        "Expect scores to change by several points from luck alone.",
    ),
    "background-share": Check(
        "warning",
        "Most images have no objects",
        "Make sure that the labels were found; 0 to 10 % of background is usual.",
    ),
    "background-differs": Check(
        "note",
        "Splits differ in their share of images without objects",
        "False alarms on background are only measured where there is background.",
    ),
    "class-unused": Check(
        "warning", "Classes without any object", "Remove their names, or find their labels."
    ),
    "class-missing": Check(
        "warning",
        "Classes that are missing in a split",
        "Move some of their images: without them the class is not learned or not measured.",
    ),
    "class-rare": Check(
        "note", "Classes with few objects to learn from", "Collect more, or merge classes."
    ),
    "class-imbalance": Check(
        "note",
        "Classes differ greatly in their number of objects",
        "Consider train.sampler class_balanced or a loss with class weights.",
    ),
    "class-shares-differ": Check(
        "warning",
        "Splits differ in their mix of classes",
        "Split by chance, or by groups with the same mix.",
    ),
    "class-names-alike": Check(
        "warning",
        "Class names that differ in case, spaces or signs only",
        "Merge them if they mean the same.",
    ),
    "class-names-numbers": Check(
        "note", "Class names are only numbers", "Give names, if the file with them was lost."
    ),
    "classes-swapped": Check(
        "error",
        "Two classes seem to have changed places between splits",
        "Compare the order of the class names that each split was exported with.",
    ),
    "classes-shifted": Check(
        "error",
        "The class ids of a split seem to be shifted by one",
        "Compare the order of the class names, and whether ids count from 0 or 1.",
    ),
    # boxes
    "convention-corners": Check(
        "error",
        "Boxes are read as centre and size but seem to be two corners",
        "Convert x1 y1 x2 y2 to what the format wants.",
    ),
    "convention-top-left": Check(
        "error",
        "Boxes are read by their centre but seem to give their top left corner",
        "Add half of width and height to x and y.",
    ),
    "convention-shares": Check(
        "error",
        "Boxes are read as pixels but seem to be shares of the image",
        "Multiply them by width and height of the image.",
    ),
    "convention-one-based": Check(
        "note",
        "Coordinates seem to count pixels from 1",
        "Boxes are up to one pixel off; subtract 1 from x1 and y1.",
    ),
    "boxes-in-one-part": Check(
        "warning",
        "All boxes lie in one part of the images",
        "Look at the pictures: boxes may be in the units of a smaller image.",
    ),
    "box-repeated": Check(
        "warning",
        "The very same box is in many images",
        "Look at the pictures: labels copied from frame to frame do not follow the object.",
    ),
    "box-two-classes": Check(
        "warning",
        "One object has two classes",
        "Decide for one: both boxes cover the same place.",
    ),
    "box-nearly-twice": Check(
        "warning",
        "One object has two boxes of its class",
        "Remove one: the second counts as an object that is never found.",
    ),
    "box-small": Check(
        "note",
        "Objects smaller than 8 pixels at the input size",
        "Train with a larger train.image_size, with tiles, or without them.",
    ),
    "box-mostly-small": Check(
        "warning",
        "Many objects are smaller than 8 pixels at the input size",
        "Train with a larger train.image_size or with tiles.",
    ),
    "box-sliver": Check(
        "warning",
        "Boxes less than 2 pixels wide or high",
        "Look at them: most are slips of the hand.",
    ),
    "box-elongated": Check(
        "note", "Boxes more than 20 times as long as wide", "Look at them: slips of the hand?"
    ),
    "box-whole-image": Check(
        "note",
        "Boxes that cover the whole image",
        "Look at them: a label of the whole image is not an object.",
    ),
    "box-mostly-whole-image": Check(
        "warning",
        "Many boxes cover the whole image",
        "Labels for classification, not for detection? A detector learns no places from them.",
    ),
    "crowded": Check(
        "note",
        "Images with more than 100 objects",
        "COCO's scores count 100 detections an image; eval.max_detections has to leave room.",
    ),
    "over-crowded": Check(
        "warning",
        "Images with more than 300 objects",
        "Increase eval.max_detections (300), or cut the images into tiles.",
    ),
    "object-sizes-differ": Check(
        "warning",
        "Splits differ in the size of their objects",
        "Were the splits exported at different image sizes, or taken from different distances?",
    ),
}
"""Code -> check, in the order of the report."""
