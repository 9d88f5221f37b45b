import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.losses.criterion.build import effective_number_weights
from tests.models.losses.slow_losses import effective_number


@pytest.mark.parametrize(
    ("beta", "expected"), [(0.99, (0.23015, 0.36301, 2.40684)), (0.999, (0.04216, 0.28, 2.67784))]
)
def test_published_weights(beta: float, expected: tuple[float, ...]) -> None:
    got = effective_number_weights([1000, 100, 10], beta=beta)
    assert got == pytest.approx(expected, abs=5.1e-6)


@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    beta=st.sampled_from([0.5, 0.9, 0.99, 0.999, 0.9999]),
)
def test_weights_are_inverse_to_the_effective_number_and_of_sum_c(
    counts: list[int], beta: float
) -> None:
    got = effective_number_weights(counts, beta=beta)
    inverse = [1 / effective_number(count, beta) for count in counts]
    expected = [weight * len(counts) / sum(inverse) for weight in inverse]
    assert got == pytest.approx(expected, rel=1e-9)
    assert sum(got) == pytest.approx(len(counts))


def test_a_class_without_objects_counts_as_one() -> None:
    assert effective_number_weights([0, 50], beta=0.9) == effective_number_weights(
        [1, 50], beta=0.9
    )


def test_huge_counts_stay_finite() -> None:
    assert effective_number_weights([10**9, 10**9], beta=0.9999) == pytest.approx((1, 1))
