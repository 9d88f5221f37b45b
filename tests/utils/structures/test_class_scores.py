import torch

from models.heads.detect import CellDecoder
from utils.structures.predictions import Predictions


def _predictions(raw: torch.Tensor, **changes: object) -> Predictions:
    return Predictions(
        levels=(raw,),
        anchors=torch.full((1, 1, 2), 16.0),
        strides=(8,),
        decoder=CellDecoder(),
        **changes,  # type: ignore[arg-type]
    )


def test_a_softmax_shares_one_probability_among_the_classes() -> None:
    raw = torch.randn(2, 1, 3, 4, 5 + 6, generator=torch.Generator().manual_seed(0))
    shared = _predictions(raw, class_scores="softmax").decode()
    apart = _predictions(raw).decode()
    torch.testing.assert_close(shared.class_scores.sum(dim=-1), torch.ones(2, 12))
    logits = raw[..., 5:].flatten(1, 3)
    expected = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)
    torch.testing.assert_close(shared.class_scores, expected)
    torch.testing.assert_close(apart.class_scores, logits.sigmoid())
    assert torch.equal(shared.boxes, apart.boxes)
    assert torch.equal(shared.objectness, apart.objectness)


def test_chosen_cells_have_the_scores_of_the_whole() -> None:
    raw = torch.randn(1, 1, 3, 4, 5 + 3, generator=torch.Generator().manual_seed(1))
    predictions = _predictions(raw, class_scores="softmax")
    cells = torch.tensor([1, 11])
    _, _, scores = predictions.decode_cells(0, 0, cells)
    torch.testing.assert_close(scores, predictions.decode().class_scores[0][[1, 11]])
