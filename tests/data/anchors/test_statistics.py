import numpy as np
import pytest

from data.anchors import LabelStatistics, label_statistics
from data.anchors.statistics import trained_sizes_wh
from tests.data.anchors.records import record


def test_counts_by_hand() -> None:
    records = [
        record([(5, 5), (6, 6), (7, 7)], labels=[0, 2, 2], ignore=[False, False, True]),
        record([]),
        record([(5, 5)], labels=[2]),
        record([(5, 5)], labels=[1], ignore=[True]),
    ]
    assert label_statistics(records, 4) == LabelStatistics(
        images=4, objects_per_image=0.75, class_counts=(1, 0, 2, 0)
    )


def test_nothing_at_all() -> None:
    assert label_statistics([], 2) == LabelStatistics(
        images=0, objects_per_image=0.0, class_counts=(0, 0)
    )
    assert label_statistics([record([])], 1).class_counts == (0,)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_beyond_the_classes_are_a_programming_error(label: int) -> None:
    with pytest.raises(ValueError, match=r"but there are 3 classes"):
        label_statistics([record([(5, 5)], labels=[label])], 3)


def test_sizes_keep_the_order_and_take_each_image_s_scale() -> None:
    records = [
        record([(10, 20), (30, 40)], size=(100, 50), ignore=[False, True]),
        record([(10, 20)], size=(200, 400)),
    ]
    np.testing.assert_allclose(trained_sizes_wh(records, 200), [(20, 40), (5, 10)])
    assert trained_sizes_wh([], 200).shape == (0, 2)
