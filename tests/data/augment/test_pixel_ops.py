"""A new pixel operation takes three places and changes no random number of the others."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from configs.schema import augment as schema
from configs.schema.augment import AugmentSettings
from data.augment import pixel_ops
from data.augment.operation import BatchOp, PixelOp, SampledOp, batch_ops
from data.augment.pixel_ops import PIXEL_OPS
from tests.data.augment.device.both_ways import dataset_of, drawn_both_ways, keys_of, photograph
from tests.worked_example import below_root, extended_copy, run_in

OP = f'''"""Negative colours."""

from {PixelOp.__module__} import PixelOp


class Invert(PixelOp):
    """Turns colours into their negatives, with the probability `invert`."""

    name = "invert"

    def sample(self, rng, settings):
        return () if rng.random() < settings.invert else None

    def apply_numpy(self, image, parameters):
        return 255 - image

    def apply_torch(self, images, parameters):
        return 255 - images
'''
STRENGTHS = {"mixup": 0.5, "flip_vertical": 0.5, "degrees": 5.0}
PROGRAM = f"""
import json, sys
from {AugmentSettings.__module__} import AugmentSettings
from {__name__} import digests
found = []
for invert in (0.0, 1.0):
    found.append(digests(AugmentSettings(invert=invert, **json.loads(sys.argv[1]))))
print(json.dumps(found))
"""


def digests(augment: AugmentSettings) -> list[list[str]]:
    """Return sums over images and their negatives, worker's and device's."""
    dataset = dataset_of(augment, photograph)
    return [
        [digest(images), digest(255 - images)]
        for images in (batch.images for batch in drawn_both_ways(dataset, keys_of(dataset, 64, 1)))
    ]


def digest(images: torch.Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()


@pytest.mark.slow
def test_a_worked_example_takes_three_places(tmp_path: Path) -> None:
    table = below_root(pixel_ops.__file__)
    op = table.with_name("invert.py")
    module = ".".join(op.with_suffix("").parts)
    places = extended_copy(
        tmp_path,
        {
            op: {"": OP},
            table: {
                "from data.augment.hsv": f"from {module} import Invert\nfrom data.augment.hsv",
                "    HueSaturationValue(),": "    HueSaturationValue(),\n    Invert(),",
            },
            below_root(schema.__file__): {
                "    custom: ": '    invert: float = 0.0\n    """Probability."""\n\n    custom: ',
            },
        },
        tests=True,
    )
    assert len(places) == 3
    off, on = json.loads(run_in(tmp_path, PROGRAM, json.dumps(STRENGTHS)).splitlines()[-1])
    assert off == digests(AugmentSettings(**STRENGTHS))
    assert on == [[negative, positive] for positive, negative in off]


class Constant(PixelOp):
    """Adds what was sampled."""

    name = "constant"

    def sample(self, rng, settings):  # noqa: ANN001, ANN201
        return (float(rng.integers(9)),) if rng.random() < 0.5 else None

    def apply_numpy(self, image, parameters):  # noqa: ANN001, ANN201
        return image + int(parameters[0])

    def apply_torch(self, images, parameters):  # noqa: ANN001, ANN201
        return images + parameters[:, :, None, None].to(torch.uint8)


def test_an_operation_changes_its_own_images_of_a_batch_only() -> None:
    op = Constant()
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 6, 6, 3).clone()
    for parameters in ([None, (5.0,), None, (7.0,)], [(1.0,), (2.0,), (3.0,), (4.0,)], [None] * 4):
        plans = [(sampled(op, each),) for each in parameters]
        changed = images.clone()
        for each in batch_ops(plans):
            assert isinstance(each, BatchOp)
            for start in range(0, len(each), 3):
                each.apply(changed, slice(start, start + 3))
        want = images + torch.tensor([p[0] if p else 0 for p in parameters])[:, None, None, None]
        assert torch.equal(changed, want.to(torch.uint8))
    assert batch_ops([(), ()]) == ()


def sampled(op: PixelOp, parameters: tuple[float, ...] | None) -> SampledOp:
    return SampledOp(op=op, parameters=parameters)


def test_each_operation_has_a_stream_of_its_own() -> None:
    """Whether another operation takes numbers, and how many, changes nothing."""

    class Greedy(Constant):
        name = "greedy"

        def sample(self, rng, settings):  # noqa: ANN001, ANN202
            rng.random(1000)
            return super().sample(rng, settings)

    augment = AugmentSettings(**STRENGTHS)
    plain = dataset_of(augment, photograph)
    keys = keys_of(plain, 64)
    for ops in ((Greedy(), *PIXEL_OPS), (*PIXEL_OPS[::-1], Greedy()), PIXEL_OPS[:1]):
        other = dataset_of(augment, photograph, ops=ops)
        for key in keys:
            before, after = (
                {each.op.name: each.parameters for each in dataset.plan([key]).rows[0].ops}
                for dataset in (plain, other)
            )
            assert {n: p for n, p in after.items() if n in before}.items() <= before.items()
            assert other.plan([key]).rows[0].scenes == plain.plan([key]).rows[0].scenes
