import pytest
import torch

from tests.utils.engine.toy import toy_settings
from utils.engine.compiled import CPU_COMPILE_S, CPU_SAVED_S, batches_to_earn, require_earned
from utils.runtime.errors import UserError

CPU = torch.device("cpu")


def test_as_many_batches_save_what_compiling_takes() -> None:
    settings = toy_settings(batch_size=10, image_size=320)  # 1.024 million pixels
    needed = batches_to_earn(settings)
    assert needed * 1.024 * CPU_SAVED_S >= CPU_COMPILE_S
    assert (needed - 1) * 1.024 * CPU_SAVED_S < CPU_COMPILE_S


def test_twice_the_side_needs_a_quarter_of_the_batches() -> None:
    small, large = (batches_to_earn(toy_settings(image_size=side)) for side in (64, 128))
    assert large == pytest.approx(small / 4, abs=1)


def test_a_training_too_short_is_refused_with_the_numbers() -> None:
    settings = toy_settings(compile="network", epochs=10, batch_size=10, image_size=320)
    needed = batches_to_earn(settings)
    short = (needed - 1) // 10
    with pytest.raises(UserError) as caught:
        require_earned(settings, CPU, short)
    text = str(caught.value)
    assert f"pays from {needed} whole batches on; this training has {10 * short}, 10 epochs" in text
    assert "\n" not in text
    assert "train.compile=off" in text


def test_as_many_batches_as_are_needed_are_enough() -> None:
    settings = toy_settings(compile="network", epochs=1, batch_size=10, image_size=320)
    needed = batches_to_earn(settings)
    require_earned(settings, CPU, needed)
    with pytest.raises(UserError):
        require_earned(settings, CPU, needed - 1)


def test_a_gpu_is_not_judged_by_figures_of_a_cpu() -> None:
    require_earned(toy_settings(compile="network", epochs=1), torch.device("cuda"), 1)
