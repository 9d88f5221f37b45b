import pytest
import torch
from torch import Tensor, nn

from models.blocks import BLOCKS
from models.blocks.conv import (
    Add,
    AvgConv,
    AvgMaxConv,
    Concat,
    Conv,
    DWConv,
    Focus,
    SeparableConv,
)
from models.blocks.csp import (
    C3,
    C3DW,
    C3SPP,
    C3SPPF,
    Bottleneck,
    BottleneckCSP,
    ChannelAttention,
    CSPNeXt,
    SplitConcat,
)
from models.blocks.elan import ELAN, GELAN, RepConv
from models.blocks.ghost import C3Ghost, GhostBottleneck, GhostConv
from models.blocks.pooling import SPP, SPPF
from models.blocks.resnet import BasicStage, BottleneckStage, ResNetStem
from models.blocks.transformer import C3TR, TransformerBlock


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def features(channels: int, height: int = 8, width: int = 12) -> Tensor:
    return torch.randn(2, channels, height, width)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_keeps_the_size_at_stride_one(kernel: int, dilation: int) -> None:
    conv = Conv(3, 4, kernel, dilation=dilation)
    assert conv(features(3)).shape == (2, 4, 8, 12)


def test_conv_is_convolution_norm_activation() -> None:
    conv = Conv(3, 4, 3).eval()
    conv.bn.running_mean.normal_()
    x = features(3)
    plain = nn.functional.conv2d(x, conv.conv.weight, padding=1)
    mean = conv.bn.running_mean.view(1, -1, 1, 1)
    normed = (plain - mean) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(conv(x), normed * normed.sigmoid())
    assert conv.bn.momentum == 0.03


def test_conv_without_activation_may_be_negative() -> None:
    assert Conv(3, 4, activation=False)(features(3)).min() < -0.5


def test_depthwise_has_as_many_groups_as_fit() -> None:
    assert DWConv(12, 8, 3).conv.groups == 4


def test_focus_moves_patches_into_channels() -> None:
    focus = Focus(1, 4)
    patches: list[Tensor] = []
    focus.conv.register_forward_hook(lambda module, args, output: patches.append(args[0]))
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert focus(image).shape == (1, 4, 2, 2)
    assert patches[0][0, :, 0, 0].tolist() == [0, 4, 1, 5]


def test_concat_joins_channels() -> None:
    assert Concat(1)(features(2), features(3)).shape == (2, 5, 8, 12)


@pytest.mark.parametrize(("shortcut", "out_channels"), [(True, 4), (False, 4), (True, 6)])
def test_bottleneck_adds_its_input_only_where_it_can(shortcut: bool, out_channels: int) -> None:
    block = Bottleneck(4, out_channels, shortcut)
    x = features(4)
    inner = block.cv2(block.cv1(x))
    expected = x + inner if shortcut and out_channels == 4 else inner
    torch.testing.assert_close(block(x), expected)


def test_c3_joins_deep_branch_before_short_one() -> None:
    block = C3(4, 8, repeats=2).eval()
    x = features(4)
    expected = block.cv3(torch.cat((block.m(block.cv1(x)), block.cv2(x)), dim=1))
    torch.testing.assert_close(block(x), expected)
    assert len(block.m) == 2


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("attention", [True, False])
def test_split_concat_joins_both_halves_and_every_step(shortcut: bool, attention: bool) -> None:
    block = SplitConcat(4, 8, 2, shortcut, attention=attention).eval()
    x = features(4)
    first, second = block.cv1(x)[:, :4], block.cv1(x)[:, 4:]
    third = block.m[0](second) + (second if shortcut else 0)
    fourth = block.m[1](third) + (third if shortcut else 0)
    joined = torch.cat((first, second, third, fourth), dim=1)
    expected = block.cv2(block.attention(joined))
    torch.testing.assert_close(block(x), expected)
    assert block(x).shape == (2, 8, 8, 12)
    # 1 x 1: c_in 2 h, two 3 x 3 of h a step, 1 x 1 of (2 + n) h to c; norms twice their channels.
    weights = 4 * 8 + 2 * 18 * 4 * 4 + 4 * 4 * 8 + 2 * (8 + 4 * 4 + 8)
    own = sum(p.numel() for name, p in block.named_parameters() if "attention" not in name)
    assert own == weights


def test_channel_attention_scales_channels_by_their_means() -> None:
    block, x = ChannelAttention(3), features(3)
    means = x.mean(dim=(2, 3))
    weight, bias = block.fc.weight[:, :, 0, 0], block.fc.bias
    factors = ((means @ weight.T + bias + 3) / 6).clamp(0, 1)
    torch.testing.assert_close(block(x), x * factors[:, :, None, None])


def test_averaged_convolution_halves_the_map() -> None:
    block, x = AvgConv(3, 5).eval(), features(3)
    mean = (x[..., :-1, :-1] + x[..., 1:, :-1] + x[..., :-1, 1:] + x[..., 1:, 1:]) / 4
    torch.testing.assert_close(block(x), block.conv(mean))
    assert block(x).shape == (2, 5, 4, 6)


def test_half_of_the_channels_take_the_largest_mean() -> None:
    block, x = AvgMaxConv(4, 6).eval(), features(4)
    mean = (x[..., :-1, :-1] + x[..., 1:, :-1] + x[..., :-1, 1:] + x[..., 1:, 1:]) / 4
    padded = nn.functional.pad(mean[:, 2:], (1, 1, 1, 1), value=-float("inf"))
    largest = padded.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))
    expected = torch.cat((block.cv1(mean[:, :2]), block.cv2(largest)), dim=1)
    torch.testing.assert_close(block(x), expected)
    assert expected.shape == (2, 6, 4, 6)


def test_separable_convolution_is_two() -> None:
    block, x = SeparableConv(4, 6, 5, 2).eval(), features(4)
    torch.testing.assert_close(block(x), block.pconv(block.dconv(x)))
    assert block(x).shape == (2, 6, 4, 6)
    assert block.dconv.conv.weight.shape == (4, 1, 5, 5)
    assert block.pconv.conv.weight.shape == (6, 4, 1, 1)


@pytest.mark.parametrize("attention", [True, False])
def test_cspnext_is_c3_of_large_kernels_with_attention_before_the_join(attention: bool) -> None:
    block, x = CSPNeXt(4, 8, 2, True, attention).eval(), features(4)
    deep = block.cv1(x)
    for step in block.m:
        deep = deep + step.cv2(step.cv1(deep))
    joined = torch.cat((deep, block.cv2(x)), dim=1)
    torch.testing.assert_close(block(x), block.cv3(block.attention(joined)))
    assert isinstance(block.attention, ChannelAttention) == attention
    assert block.m[0].cv1.conv.kernel_size == (3, 3)
    assert block.m[0].cv2.dconv.conv.kernel_size == (5, 5)


def test_depthwise_c3_has_separable_bottlenecks() -> None:
    block = C3DW(4, 8, 2)
    assert all(isinstance(step.cv2, SeparableConv) for step in block.m)
    assert block.m[0].cv1.conv.kernel_size == (1, 1)
    assert block.m[0].has_shortcut
    assert not C3DW(4, 8, 2, False).m[0].has_shortcut


@pytest.mark.parametrize("kind", [ELAN, GELAN])
def test_elan_joins_both_halves_and_both_steps(kind: type[ELAN]) -> None:
    block, x = kind(4, 6, 2, 8).eval(), features(4)
    first, second = block.cv1(x).chunk(2, dim=1)
    third = block.m[0](second)
    fourth = block.m[1](third)
    expected = block.cv2(torch.cat((first, second, third, fourth), dim=1))
    torch.testing.assert_close(block(x), expected)
    assert expected.shape == (2, 6, 8, 12)
    assert first.shape[1] == 4
    if kind is GELAN:
        assert [len(step[0].m) for step in block.m] == [2, 2]
        assert isinstance(block.m[0][0].m[0].cv1, RepConv)


def test_convolutions_side_by_side_are_added_before_the_activation() -> None:
    block, x = RepConv(4, 6).eval(), features(4)
    assert block.cv2 is not None
    total = block.cv1(x) + block.cv2(x)
    torch.testing.assert_close(block(x), total * total.sigmoid())
    assert float(block.cv1(x).detach().min()) < -0.3


def test_pyramid_in_one_branch_only() -> None:
    block, x = C3SPPF(4, 8).eval(), features(4)
    expected = block.cv3(torch.cat((block.m(block.cv1(x)), block.cv2(x)), dim=1))
    torch.testing.assert_close(block(x), expected)
    assert isinstance(block.m, SPPF)


def test_fast_pyramid_equals_the_plain_one() -> None:
    fast, plain = SPPF(8, 6, 5).eval(), SPP(8, 6, (5, 9, 13)).eval()
    plain.load_state_dict(fast.state_dict())
    x = features(8, 20, 24)
    torch.testing.assert_close(fast(x), plain(x), rtol=0, atol=0)


def test_ghost_convolution_keeps_its_primary_half() -> None:
    block = GhostConv(4, 8, 3, 2)
    x = features(4)
    result = block(x)
    torch.testing.assert_close(result[:, :4], block.cv1(x))
    assert result.shape == (2, 8, 4, 6)
    assert block.cv2.conv.groups == 4


@pytest.mark.parametrize("stride", [1, 2])
def test_ghost_bottleneck_strides(stride: int) -> None:
    block = GhostBottleneck(8, 8, 3, stride)
    x = features(8)
    result = block(x)
    assert result.shape == (2, 8, 8 // stride, 12 // stride)
    torch.testing.assert_close(result, block.conv(x) + block.shortcut(x))


def test_transformer_attends_across_all_cells() -> None:
    block = TransformerBlock(8, 8, num_heads=4, num_layers=1).eval()
    x = features(8).requires_grad_()
    block(x)[0, :, 0, 0].sum().backward()
    assert bool((x.grad[0].abs().sum(0) > 0).all())
    assert not x.grad[1].any()


def test_transformer_adds_to_its_input() -> None:
    block = TransformerBlock(8, 8, num_heads=4, num_layers=2)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = features(8)
    assert torch.equal(block(x), x)


def test_transformer_treats_cells_alike() -> None:
    block = TransformerBlock(8, 8, num_heads=4, num_layers=2).eval()
    x = features(8)
    torch.testing.assert_close(block(x.flip(3)), block(x).flip(3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [BottleneckCSP, C3, C3Ghost, C3TR])
def test_csp_blocks_repeat_their_branch_and_keep_the_size(block: type[nn.Module]) -> None:
    assert block(8, 16, 2)(features(8)).shape == (2, 16, 8, 12)
    few, many = (sum(p.numel() for p in block(8, 16, n).parameters()) for n in (1, 2))
    assert many > few


def test_c3spp_pools_in_its_branch() -> None:
    block = C3SPP(8, 16, (3, 5))
    assert block(features(8)).shape == (2, 16, 8, 12)
    assert isinstance(block.m, SPP)


def test_every_listed_block_is_named_as_published() -> None:
    required = {
        "Conv", "DWConv", "Focus", "Bottleneck", "BottleneckCSP", "C3", "C3Ghost", "C3TR", "C3SPP",
        "GhostConv", "GhostBottleneck", "SPP", "SPPF", "Concat", "nn.Upsample", "nn.MaxPool2d",
        "nn.ZeroPad2d", "nn.ConvTranspose2d", "nn.BatchNorm2d",
    }  # fmt: skip
    assert required <= set(BLOCKS)


def test_add_sums_maps_of_equal_shape() -> None:
    first, second, third = (features(4) for _ in range(3))
    before = first.clone()
    assert torch.equal(Add()(first, second, third), first + second + third)
    assert torch.equal(first, before)


@pytest.mark.parametrize("other", [(1, 8, 12), (4, 1, 1)])
def test_add_does_not_stretch(other: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        Add()(features(4), torch.zeros(2, *other))


@pytest.mark.parametrize(("stage", "weights"), [(BasicStage, 2), (BottleneckStage, 3)])
def test_a_stage_strides_once_and_repeats(stage: type[BasicStage], weights: int) -> None:
    module = stage(8, 16, 3, 2)
    assert module(features(8)).shape == (2, 16, 4, 6)
    kernels = [m.kernel_size[0] for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert len(kernels) == 3 * weights + 1  # one shortcut changes size and channels


def test_a_stage_that_changes_nothing_has_no_shortcut_convolution() -> None:
    assert BasicStage(8, 8)[0].downsample is None


def test_bottleneck_channels_must_divide() -> None:
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        BottleneckStage(8, 6)


def test_the_stem_quarters_the_size() -> None:
    assert ResNetStem(3, 16)(features(3, 32, 64)).shape == (2, 16, 8, 16)
