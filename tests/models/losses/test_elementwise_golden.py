"""Values and slopes of the published implementations, element by element, in double precision."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.losses import FocalLoss
from tests.conftest import golden_files

NAME = re.compile(r"(focal|qfocal)_g([\d.]+)_a([\d.]+)_(hard|soft)")


def cases() -> list[tuple[Path, str, str]]:
    found = []
    for path in golden_files("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                if match := NAME.fullmatch(name):
                    forms = ["quality"] if match[1] == "qfocal" else ["linear"]
                    forms += ["exp", "quality"] if match.group(1, 4) == ("focal", "hard") else []
                    found += [(path, name, form) for form in forms]
    return found


CASES = cases()


@pytest.mark.parametrize(
    ("path", "name", "form"), CASES, ids=lambda part: getattr(part, "stem", part)
)
def test_every_element_agrees_within_1e_12(path: Path, name: str, form: str) -> None:
    match = NAME.fullmatch(name)
    assert match
    with np.load(path, allow_pickle=False) as arrays:
        x = torch.tensor(arrays["logits"], requires_grad=True)
        t = torch.tensor(arrays[match[4]])
        expected, expected_slope = arrays[name], arrays[f"{name}_grad"]
    loss = FocalLoss(
        nn.BCEWithLogitsLoss(reduction="none"),
        float(match[2]),
        float(match[3]),
        form=form,  # type: ignore[arg-type]
    )
    values = loss(x, t)
    (slope,) = torch.autograd.grad(values.sum(), x)
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(slope.numpy(), expected_slope, rtol=0, atol=1e-12)
