"""The lean way through norm and SiLU against torch's own two modules: equal to the last bit."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from models.blocks.conv import Conv
from models.blocks.norm_silu import can_save_memory, norm_silu


class Plain(Conv):
    """The same block as three calls of torch."""

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.act(self.bn(self.conv(features)))
        return result


def twins(frozen: str = "") -> tuple[Conv, Plain]:
    torch.manual_seed(0)
    lean = Conv(6, 8, 3)
    nn.init.uniform_(lean.bn.weight, 0.5, 1.5)  # type: ignore[arg-type]
    nn.init.uniform_(lean.bn.bias, -0.5, 0.5)  # type: ignore[arg-type]
    plain = Plain(6, 8, 3)
    plain.load_state_dict(lean.state_dict())
    for block in (lean, plain):
        if frozen:
            block.get_parameter(frozen).requires_grad_(False)
    return lean, plain


def learned(block: Conv, images: Tensor, dtype: torch.dtype | None) -> list[Tensor | None]:
    """Return output, gradients and statistics after a step."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        output = block(images)
    order = torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else None
    slopes = torch.linspace(-1, 1, output.numel()).view(output.shape)
    slopes = slopes.contiguous(memory_format=order or torch.contiguous_format)
    (output.float() * slopes).sum().backward()
    return [output, images.grad, *(p.grad for p in block.parameters()), *block.buffers()]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("frozen", ["", "bn.weight", "bn.bias", "conv.weight"])
def test_everything_is_equal_bit_by_bit(
    dtype: torch.dtype | None, order: torch.memory_format, frozen: str
) -> None:
    images = torch.rand(3, 6, 9, 7).contiguous(memory_format=order)
    lean, plain = (block.to(memory_format=order) for block in twins(frozen))
    for got, expected in zip(
        learned(lean, images, dtype), learned(plain, images, dtype), strict=True
    ):
        if expected is None:
            assert got is None
            continue
        assert got is not None
        assert torch.equal(got, expected)


def test_gradients_are_those_of_differences() -> None:
    norm = nn.BatchNorm2d(2).double()
    values = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm_silu(norm, x), (values,))


def kept_bytes(block: Conv) -> int:
    """Return the bytes that the way back needs, weights apart."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = block(block(torch.rand(1, 8, 64, 64)))
    output.sum().backward()
    own = {tensor.untyped_storage().data_ptr() for tensor in block.state_dict().values()}
    return sum(size for place, size in kept.items() if place not in own)


def test_a_third_less_is_kept() -> None:
    ratio = kept_bytes(Conv(8, 8, 1)) / kept_bytes(Plain(8, 8, 1))
    assert ratio == pytest.approx(4 / 6, abs=0.02)


def test_it_is_for_plain_modules_in_training_on_a_cpu() -> None:
    block, values = Conv(4, 4), torch.rand(1, 4, 8, 8)

    def is_for(norm: nn.Module = block.bn, activation: nn.Module = block.act) -> bool:
        return can_save_memory(norm, activation, values)

    assert is_for()
    assert not is_for(activation=nn.ReLU())
    assert not is_for(norm=nn.Identity())
    assert not is_for(norm=nn.BatchNorm2d(4, affine=False))
    assert not is_for(norm=nn.BatchNorm2d(4, track_running_stats=False))
    assert not is_for(norm=nn.BatchNorm2d(4).eval())
    assert not is_for(norm=nn.BatchNorm2d(4, momentum=None))
    assert not can_save_memory(block.bn, block.act, values.to("meta"))
    with torch.no_grad():
        assert not is_for()


@pytest.mark.parametrize("place", ["bn", "act"])
def test_who_watches_a_module_sees_it_called(place: str) -> None:
    block, seen = Conv(4, 4), []
    block.get_submodule(place).register_forward_hook(lambda *call: seen.append(call))
    block(torch.rand(2, 4, 8, 8))
    assert len(seen) == 1


def test_a_copy_learns_alike() -> None:
    block = Conv(4, 4)
    images = torch.rand(2, 4, 8, 8)
    block(images).sum().backward()
    copied = deepcopy(block)
    copied.zero_grad()
    copied(images).sum().backward()
    assert torch.equal(copied.conv.weight.grad, block.conv.weight.grad)  # type: ignore[arg-type]
