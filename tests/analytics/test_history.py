"""Histories from files: streamed, repeatable, bad rows named; and the made-up one."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from analytics.calculation import calculate_indicators
from analytics.generated import BEGIN, STEP, history, made_up
from analytics.history import seed_generated, store_history
from analytics.models import MarketSnapshot, Origin, TechnicalIndicator

pytestmark = pytest.mark.django_db
START = datetime(2025, 1, 1, tzinfo=UTC)
PRICE_OF_START, DIFFICULTY_OF_START = Decimal("82636.08"), Decimal("92330749414435.84")


def rows(count: int, price: float = 90_000) -> str:
    lines = (f"{(START + STEP * n).isoformat()},{price + n},1e14,880000,0.05" for n in range(count))
    return "time,btc_price,network_difficulty,block_height,fees_btc\n" + "\n".join(lines) + "\n"


@pytest.fixture
def imported(tmp_path, capsys):
    def run(text: str | bytes) -> dict:
        file = tmp_path / "history.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        capsys.readouterr()
        code = 0
        try:
            call_command("import_market_history", str(file), "--json")
        except SystemExit as end:
            code = end.code
        return {**json.loads(capsys.readouterr().out), "code": code}

    return run


def counts(document: dict) -> tuple[int, int, int, int]:
    return document["inserted"], document["updated"], document["unchanged"], document["bad_rows"]


def test_a_history_is_stored_with_what_follows_from_it_and_again_changes_nothing(imported):
    assert imported(rows(100)) == {"inserted": 100, "updated": 0, "unchanged": 0, "bad_rows": 0, "bad": [], "code": 0}
    row = MarketSnapshot.objects.order_by("bucket").last()
    assert (row.bucket, row.created_at, row.origin) == (START + 99 * STEP, START + 99 * STEP, "imported")
    assert (row.btc_price, row.block_reward, row.network_hashrate) == (90_099, Decimal("3.125"), Decimal("715.83"))
    # 1e15 * 86,400 / (1e14 * 2^32) * 3.175
    assert row.hashprice_sat_per_th_day == Decimal("63.870102")
    before = list(MarketSnapshot.objects.values_list("pk", "created_at"))
    assert counts(imported(rows(100))) == (0, 0, 100, 0)
    assert list(MarketSnapshot.objects.values_list("pk", "created_at")) == before


def test_bad_rows_are_named_and_left_out(imported):
    good = rows(3)
    bad = [
        "yesterday,1,1e14,1,0",
        "2025-02-01T00:00:00Z,,1e14,1,0",
        "2025-02-01T00:00:00Z,0,1e14,1,0",
        "2025-02-01T00:00:00Z,0.001,1e14,1,0",
        "2025-02-01T00:00:00Z,NaN,1e14,1,0",
        "2025-02-01T00:00:00Z,1e30,1e14,1,0",
        "2025-02-01T00:00:00Z,1,-1,1,0",
        "2025-02-01T00:00:00Z,1,1e14,1.5,0",
        "2025-02-01T00:00:00Z,1",
        "1999-01-01T00:00:00Z,1,1e14,1,0",
    ]
    document = imported(good + "\n".join(bad) + "\n")
    assert (document["code"], *counts(document)) == (1, 3, 0, 0, 10)
    assert [row["line"] for row in document["bad"]] == list(range(5, 15))
    reasons = [row["reason"] for row in document["bad"]]
    assert reasons[0] == "time 'yesterday' is not like 2026-11-23T10:00:00Z"
    assert reasons[1] == "btc_price is empty"
    assert reasons[3] == "btc_price is less than a cent"
    assert reasons[8] == "2 fields where the first line has 5"


def test_a_reward_that_is_not_that_of_its_block_is_bad(imported):
    document = imported("time,btc_price,height,block_reward\n2025-01-01,1,840000,3.125\n2025-01-02,1,840000,6.25\n")
    assert document["bad"] == [{"line": 3, "reason": "block_reward 6.25 is not that of block 840000"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks btc_price and time"),
        ("time,price,colour\n", "no column 'colour'"),
        ("time,price,btc_price\n", "a column twice"),
        (b"time,price\n\xff\xfe\n", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_nothing_stored(imported, text, told):
    with pytest.raises(CommandError, match=told):
        imported(text)
    assert not MarketSnapshot.objects.exists()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_market_history", str(tmp_path / "none.csv"))


def test_times_with_offsets_and_epochs_and_the_last_of_a_quarter_counts(imported):
    document = imported(
        "time,price\n2025-01-01T05:00:00+05:00,1\n1735689660,2\n2025-01-01T00:14:59.9Z,3\n2025-01-01 00:07,4\n"
    )
    assert counts(document) == (1, 0, 0, 0)
    assert MarketSnapshot.objects.get().btc_price == 3


def test_an_imported_price_gives_way_to_a_better_file_but_a_collected_one_stays(imported):
    imported(rows(50))
    calculate_indicators()
    MarketSnapshot.objects.filter(bucket=START + STEP).update(origin=Origin.LIVE)
    changed = rows(50).replace("90001,", "1,").replace("90010,", "95000,")
    assert counts(imported(changed)) == (0, 1, 49, 0)
    assert MarketSnapshot.objects.get(bucket=START + STEP).btc_price == 90_001
    assert MarketSnapshot.objects.get(bucket=START + 10 * STEP).btc_price == 95_000
    # The indicators from there on are due again.
    assert calculate_indicators().computed == 40


def test_the_made_up_history_can_be_made_again_and_is_marked(imported):
    assert list(history(START, START + timedelta(days=1))) == [made_up(START + STEP * n) for n in range(96)]
    assert made_up(START + timedelta(minutes=14)) == made_up(START)
    # Pinned: another machine and another year must make the same market.
    assert (made_up(START).price_usd, made_up(START).difficulty) == (PRICE_OF_START, DIFFICULTY_OF_START)
    with pytest.raises(ValueError, match="begins in April 2024"):
        made_up(BEGIN - STEP)
    seed_generated(START + timedelta(minutes=1), days=2)
    assert MarketSnapshot.objects.count() == 2 * 96 + 1
    assert set(MarketSnapshot.objects.values_list("origin", flat=True)) == {"generated"}
    assert seed_generated(START + timedelta(minutes=1), days=2).unchanged == 193
    # Real prices take its place.
    assert counts(imported(rows(1))) == (0, 1, 0, 0)
    with pytest.raises(ValueError, match="collect_market"):
        store_history([], Origin.LIVE)


def test_a_made_up_price_moves_and_stays_within_reason():
    prices = [row.price_usd for row in history(START, START + timedelta(days=60))]
    assert len(set(prices)) > 5000
    assert 40_000 < min(prices) < max(prices) < 160_000
    steps = [abs(after / before - 1) for before, after in pairwise(prices)]
    assert max(steps) < Decimal("0.02")


def test_no_indicators_of_rows_without_a_price():
    MarketSnapshot.objects.create(bucket=START, network_difficulty=10**14)
    assert calculate_indicators().computed == 0
    assert not TechnicalIndicator.objects.exists()
