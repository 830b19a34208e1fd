"""Our COPY encoder against PostgreSQL itself."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import given, settings as hypothesis_settings, strategies as st

from hosting.telemetry import binary


def through_postgresql(declared: str, fields: list[bytes]) -> list[object]:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS encoded")
        cursor.execute(f"CREATE TEMPORARY TABLE encoded (id integer, value {declared})")
        rows = [binary.int4(number) + field for number, field in enumerate(fields)]
        with cursor.cursor.copy("COPY encoded FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(binary.copy_stream(2, rows))
        cursor.execute("SELECT value FROM encoded ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db
@hypothesis_settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=50))
def test_any_number_of_hundredths_arrives_as_the_same_decimal(centis):
    expected = [Decimal(centi).scaleb(-2) for centi in centis]
    assert through_postgresql("numeric(18, 2)", [binary.numeric(centi) for centi in centis]) == expected


@pytest.mark.django_db
def test_the_edges_of_numeric_arrive_exactly():
    centis = [0, 1, 99, 100, 9_999, 10_000, 999_999, 1_000_000, 100_000_000, -1, -27_300, 11_057]
    stored = through_postgresql("numeric(18, 2)", [binary.numeric(centi) for centi in centis])
    assert [str(value) for value in stored] == [
        str(Decimal(centi).scaleb(-2).quantize(Decimal("0.01"))) for centi in centis
    ]


@pytest.mark.django_db
def test_times_are_exact_to_the_microsecond():
    moments = [datetime(2026, 11, 23, 12, 34, tzinfo=UTC), datetime(1999, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]
    assert through_postgresql("timestamptz", [binary.timestamptz(moment) for moment in moments]) == moments


@pytest.mark.django_db
def test_arrays_texts_and_nulls_arrive():
    assert through_postgresql("integer[]", [binary.int4_array([6000, 5880]), binary.int4_array([])]) == [
        [6000, 5880],
        [],
    ]
    assert through_postgresql("text", [binary.text_or_null("grüß"), binary.text_or_null(None)]) == ["grüß", None]
    assert through_postgresql("bigint", [binary.int8_or_null(2**63 - 1), binary.int8_or_null(None)]) == [
        2**63 - 1,
        None,
    ]
    assert through_postgresql("numeric(10,2)", [binary.numeric_or_null(None)]) == [None]
