import pytest

from scripts.stats import paired_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [  # R: prop.test(x, n, correct = FALSE)$conf.int
        (85, 100, 0.7672, 0.9069),
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_the_wilson_interval_has_the_published_values(
    successes: int, episodes: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=1e-4)


def test_no_episodes_say_nothing_about_the_rate() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_more_successes_than_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match="successes = 11"):
        wilson_interval(11, 10)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((54, 0, 0, 0), -0.0664, 0.0664),
        ((0, 30, 0, 0), 0.8395, 1.0),
    ],
)
def test_the_interval_of_a_paired_difference_has_the_published_values(
    pairs: tuple[int, int, int, int], low: float, high: float
) -> None:
    assert paired_interval(*pairs) == pytest.approx((low, high), abs=1e-4)
