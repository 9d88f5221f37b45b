import numpy as np
import pytest

from data.records.split import RecordTable
from utils.structures.images import Record


def record(index: int, n: int) -> Record:
    rng = np.random.default_rng(index)
    return Record(
        path=f"bilder/{index} \u00e4\udcff.jpg",
        image_id=index * 10**10,
        size=(10 + index, 20),
        boxes=rng.random((n, 4), dtype=np.float32),
        labels=rng.integers(0, 9, n),
        ignore=rng.random(n) < 0.5,
        area=rng.random(n, dtype=np.float32),
    )


def same(a: Record, b: Record) -> bool:
    scalars = (a.path, a.image_id, a.size) == (b.path, b.image_id, b.size)
    arrays = ((a.boxes, b.boxes), (a.labels, b.labels), (a.ignore, b.ignore), (a.area, b.area))
    return scalars and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in arrays)


def test_gives_back_what_it_was_given() -> None:
    records = [record(index, n) for index, n in enumerate([2, 0, 5, 0])]
    table = RecordTable(records)
    assert len(table) == 4
    assert all(same(a, b) for a, b in zip(records, table, strict=True))
    assert same(table[-1], records[3])
    assert [r.image_id for r in table[1:3]] == [10**10, 2 * 10**10]
    assert [table.size(i) for i in range(4)] == [r.size for r in records]
    for outside in (4, -5):
        with pytest.raises(IndexError, match="of 4"):
            table[outside]


@pytest.mark.parametrize("records", [[], [record(0, 0)]])
def test_without_boxes(records: list[Record]) -> None:
    table = RecordTable(records)
    assert len(table) == len(records)
    assert all(same(a, b) for a, b in zip(records, table, strict=True))
