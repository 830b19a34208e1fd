"""What several sources agree on."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from analytics.consensus import TOLERANCE, median, settle


def verdict(*values: str, needed: int = 2):
    return settle({f"s{number}": Decimal(value) for number, value in enumerate(values)}, needed=needed)


@pytest.mark.parametrize(
    ("values", "agreed", "outliers"),
    [
        (("100", "101", "102"), "101", ()),
        (("100", "101", "120"), "100.5", ("s2",)),
        (("100", "101"), "100.5", ()),
        (("100", "103"), "101.5", ()),
        (("100", "103.01"), None, ("s0", "s1")),
        (("100", "120"), None, ("s0", "s1")),
        (("100", "100", "120", "120"), None, ("s0", "s1", "s2", "s3")),
        (("100", "100.1", "120", "80"), "100.05", ("s2", "s3")),
        (("100", "120", "80"), None, ("s0", "s1", "s2")),
        (("100",), None, ()),
        ((), None, ()),
    ],
)
def test_the_median_of_those_near_it_or_nothing(values, agreed, outliers):
    found = verdict(*values)
    assert found.value == (None if agreed is None else Decimal(agreed))
    assert set(found.outliers) == set(outliers)


def test_one_is_enough_where_only_one_is_needed():
    assert verdict("100", needed=1).value == 100
    assert verdict("100", "120", needed=1).value is None


@given(st.lists(st.decimals("1", "1000000", places=2), min_size=3, max_size=9))
def test_a_price_is_never_outside_of_what_was_told_and_its_sources_are_near_it(values):
    found = settle({str(number): value for number, value in enumerate(values)})
    if found.value is not None:
        assert min(values) <= found.value <= max(values)
        middle = median(values)
        assert all(abs(values[int(name)] - middle) <= TOLERANCE * middle for name in found.agreeing)
        assert set(found.agreeing) | set(found.outliers) == {str(number) for number in range(len(values))}
