from __future__ import annotations

import pytest

from crossrec.serving.limits import RateError, RateLimits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_may_ask_as_often_as_its_rate_says():
    clock = Clock()
    limits = RateLimits(clock)
    for _ in range(5):
        limits.take("a", 5)
    with pytest.raises(RateError, match="may ask 5 times a second; try again in 1 s") as refused:
        limits.take("a", 5)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 1)
    clock.now += 0.2
    limits.take("a", 5)
    with pytest.raises(RateError):
        limits.take("a", 5)
    clock.now += 60  # rest is made up for once, not sixty times
    for _ in range(5):
        limits.take("a", 5)
    with pytest.raises(RateError):
        limits.take("a", 5)


def test_a_slow_rate_says_how_long_to_wait():
    clock = Clock()
    limits = RateLimits(clock)
    limits.take("a", 0.1)
    with pytest.raises(RateError) as refused:
        limits.take("a", 0.1)
    assert refused.value.retry_after_s == 10
    clock.now += 10
    limits.take("a", 0.1)


def test_keys_do_not_count_for_each_other_and_some_have_no_limit():
    limits = RateLimits(Clock())
    limits.take("a", 1)
    limits.take("b", 1)
    for _ in range(100):
        limits.take("c", None)
    with pytest.raises(RateError):
        limits.take("a", 1)
