"""Joined maps: what torch.cat gives, bit for bit, with dense gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.blocks import join as module
from models.blocks.join import dense_rows, join

WIDTHS = st.lists(st.sampled_from([1, 3, 16, 32, 64, 96]), min_size=1, max_size=4)
TYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64])
ORDERS = st.sampled_from([torch.channels_last, torch.contiguous_format])


def maps(widths: list[int], dtype: torch.dtype, order: torch.memory_format) -> list[Tensor]:
    torch.manual_seed(len(widths))
    return [
        torch.randn(2, width, 3, 4).to(dtype).contiguous(memory_format=order).requires_grad_()
        for width in widths
    ]


@given(WIDTHS, TYPES, ORDERS)
def test_values_and_gradients_are_those_of_cat(
    widths: list[int], dtype: torch.dtype, order: torch.memory_format
) -> None:
    parts = maps(widths, dtype, order)
    results, gradients = [], []
    weight = torch.randn(2, sum(widths), 3, 4).to(dtype).contiguous(memory_format=order)
    for joined in (join(*parts), torch.cat(parts, dim=1)):
        results.append(joined.detach())
        gradients.append(torch.autograd.grad(joined, parts, weight))
    assert torch.equal(*results)
    assert results[0].stride() == results[1].stride()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients, strict=True))
    if order is torch.channels_last:
        for each in gradients[0]:
            is_whole = each.shape[1] * each.element_size() % 128 == 0
            assert is_whole or each.is_contiguous(memory_format=torch.channels_last)


@given(WIDTHS, TYPES, ORDERS, st.integers(0, 3))
def test_rows_become_dense_where_that_pays(
    widths: list[int], dtype: torch.dtype, order: torch.memory_format, number: int
) -> None:
    whole = torch.cat([each.detach() for each in maps(widths, dtype, order)], dim=1)
    whole = whole.contiguous(memory_format=order)
    part = whole.split(widths, dim=1)[number % len(widths)]
    dense = dense_rows(part)
    assert torch.equal(dense, part)
    is_whole = part.shape[1] * part.element_size() % 128 == 0
    is_dense = part.is_contiguous(memory_format=torch.channels_last)
    if order is torch.channels_last and not is_whole and not is_dense:
        assert dense.is_contiguous(memory_format=torch.channels_last)
        assert dense.data_ptr() != part.data_ptr()
    else:
        assert dense is part


def test_maps_without_gradient_get_none() -> None:
    first, second = maps([16, 16], torch.float32, torch.channels_last)
    for frozen in (0, 1):
        parts = [first, second]
        parts[frozen] = parts[frozen].detach()
        join(*parts).square().sum().backward()
    assert first.grad is not None
    assert torch.equal(first.grad, 2 * first.detach())
    assert second.grad is not None
    assert torch.equal(second.grad, 2 * second.detach())


def test_types_are_promoted_under_autocast() -> None:
    """A norm in float32 beside a convolution in bf16; each gets a gradient of its own type."""
    narrow, wide = maps([16, 16], torch.float32, torch.channels_last)
    narrow = narrow.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        joined = join(narrow, wide)
    assert joined.dtype is torch.float32
    joined.sum().backward()
    assert narrow.grad is not None
    assert wide.grad is not None
    assert (narrow.grad.dtype, wide.grad.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.filterwarnings("ignore:.*jit.trace.*:FutureWarning")
@pytest.mark.parametrize("where", ["no step", "tracing", "compiling"])
def test_outside_of_a_step_it_is_plain_cat(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*parts: Tensor) -> Tensor:
        raise AssertionError("a step's join")

    monkeypatch.setattr(module._Join, "apply", refuse)
    parts = maps([16, 3], torch.float32, torch.channels_last)
    expected = torch.cat(parts, dim=1)
    if where == "no step":
        with torch.no_grad():
            assert torch.equal(join(*parts), expected)
    elif where == "tracing":
        traced = torch.jit.trace(lambda *inputs: join(*inputs), tuple(parts))
        assert torch.equal(traced(*parts), expected)
    else:
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert torch.equal(join(*parts), expected)
