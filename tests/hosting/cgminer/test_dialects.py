"""What each make's fields mean, to the digit."""

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from hosting.catalogue import CATALOGUE, find_model
from hosting.cgminer.dialects import identify
from hosting.cgminer.dialects.sections import device_time
from hosting.cgminer.reading import PowerSource, Reading, estimate_power_w, estimate_where_missing
from tests.hosting.cgminer.device import antminer_stats, antminer_summary, envelope, whatsminer_summary


def read(**replies):
    return identify(replies).parse(replies)


def test_a_stock_antminer_reads_exactly():
    assert read(stats=antminer_stats(), summary=antminer_summary()) == Reading(
        make="Antminer",
        model="Antminer S19 Pro",
        firmware="49.0.1.3",
        hashrate_ths=108.25,
        hashrate_avg_ths=109.0,
        temperature_c=74.0,
        fan_rpm=[5400, 5280],
        uptime_s=3600,
        accepted=312,
        rejected=2,
        hardware_errors=7,
    )


def test_a_whatsminer_reads_exactly_from_its_summary():
    assert read(summary=whatsminer_summary()) == Reading(
        make="Whatsminer",
        firmware="20230911.12.REL",
        hashrate_ths=113.25,
        hashrate_avg_ths=111.5,
        power_w=3480.0,
        power_source=PowerSource.MINER,
        temperature_c=91.25,
        fan_rpm=[5010, 5040],
        uptime_s=7260,
        accepted=900,
        rejected=4,
        hardware_errors=31,
    )


def test_an_unknown_make_gives_hashrate_temperature_and_uptime():
    summary = envelope("SUMMARY", {"Elapsed": 60, "MHS 5s": 90_100_000.0, "MHS av": 89_000_000.0, "Accepted": 5})
    devs = envelope("DEVS", {"Temperature": 71.5}, {"Temperature": 73.25}, {"Temperature": -273.0})
    assert read(summary=summary, devs=devs) == Reading(
        hashrate_ths=90.1, hashrate_avg_ths=89.0, temperature_c=73.25, uptime_s=60, accepted=5
    )


def test_a_stopped_machine_reads_zero_not_unknown():
    stats = antminer_stats(**{"GHS 5s": 0, "fan1": 0, "fan2": 0})
    stopped = read(stats=stats, summary=antminer_summary(**{"GHS 5s": 0}))
    assert (stopped.hashrate_ths, stopped.fan_rpm) == (0.0, [0, 0])
    assert read(summary=whatsminer_summary(**{"MHS 5s": 0})).hashrate_ths == 0.0


def test_a_window_that_is_missing_gives_way_to_the_next_longer_one():
    reply = whatsminer_summary()
    del reply["SUMMARY"][0]["MHS 5s"]
    assert read(summary=reply).hashrate_ths == 112.0


def test_numbers_may_come_as_text_with_or_without_a_unit():
    stats = antminer_stats(**{"GHS 5s": "95000.04", "chain_power": "3250 W", "fan1": "5100"})
    reading = read(stats=stats)
    assert (reading.hashrate_ths, reading.power_w, reading.fan_rpm) == (95.0, 3250.0, [5100, 5280])
    assert reading.power_source is PowerSource.MINER


def test_power_per_chain_is_added_up():
    assert read(stats=antminer_stats(chain_consumption1=861, chain_consumption2=860)).power_w == 1721


def test_fan_slots_without_a_fan_are_no_fans_and_a_standing_fan_is_one():
    slots = {f"fan{number}": 0 for number in range(1, 9)} | {"fan3": 4200, "fan6": 4260}
    assert read(stats=antminer_stats(fan_num=2, **slots)).fan_rpm == [4200, 4260]
    assert read(stats=antminer_stats(fan1=0)).fan_rpm == [0, 5280]


def test_a_chip_is_a_chip_and_a_board_never_stands_in_for_one():
    reply = whatsminer_summary(**{"Chip Temp Max": 60.5, "Temperature": 75.5})
    assert read(summary=reply).temperature_c == 60.5
    del reply["SUMMARY"][0]["Chip Temp Max"]
    assert read(summary=reply).temperature_c is None
    boards_only = antminer_stats(temp2_1=0, temp_chip1="0-0-0-0")
    assert read(stats=boards_only).temperature_c is None


@pytest.mark.parametrize("placeholder", [-273, -273.0, -1, 0, 0.0])
def test_a_placeholder_temperature_is_unknown(placeholder):
    reply = whatsminer_summary(**{"Chip Temp Max": placeholder, "Temperature": placeholder})
    assert read(summary=reply).temperature_c is None


def test_a_power_of_minus_one_is_unknown():
    reading = read(summary=whatsminer_summary(Power=-1))
    assert (reading.power_w, reading.power_source, reading.rejected_values) == (None, None, {})


UNBELIEVABLE = [
    ("MHS 5s", 5.1e9, "hashrate_ths", "out_of_range"),
    ("MHS 5s", -5, "hashrate_ths", "out_of_range"),
    ("Power", 20_001, "power_w", "out_of_range"),
    ("Power", "nan", "power_w", "nan"),
    ("Power", "-inf", "power_w", "infinite"),
    ("Power", True, "power_w", "not_a_number"),
    ("Power", [3], "power_w", "not_a_number"),
    ("Power", "a lot", "power_w", "not_a_number"),
    ("Chip Temp Max", 201, "temperature_c", "out_of_range"),
    ("Fan Speed In", 20_001, "fan_rpm", "out_of_range"),
    ("Accepted", -3, "accepted", "out_of_range"),
    ("Uptime", 1e300, "uptime_s", "out_of_range"),
]


@pytest.mark.parametrize(("field", "value", "metric", "reason"), UNBELIEVABLE)
def test_a_value_that_cannot_be_believed_is_counted_and_the_reading_is_kept(field, value, metric, reason):
    reading = read(summary=whatsminer_summary(**{field: value}))
    assert reading.rejected_values == {metric: reason}
    assert (reading.make, reading.hashrate_avg_ths) == ("Whatsminer", 111.5)
    if metric in {"power_w", "accepted", "uptime_s"}:
        assert getattr(reading, metric) is None


def test_one_absurd_sensor_does_not_hide_the_others():
    reading = read(stats=antminer_stats(temp_chip1="52-255-70-74"))
    assert (reading.temperature_c, reading.rejected_values) == (74.0, {"temperature_c": "out_of_range"})


def test_a_text_of_a_device_is_made_fit_to_show():
    reply = whatsminer_summary(**{"Firmware Version": "'2023\x00\x1b[31m\u202eREL'"})
    assert read(summary=reply).firmware == "2023[31mREL"


def test_the_device_clock_is_read_but_not_believed():
    assert device_time({"summary": envelope("SUMMARY", {}, when=12)}) == 12
    assert device_time({"summary": {"STATUS": "S", "When": 99}}) == 99
    assert device_time({"summary": {"STATUS": [{"When": -4}]}}) is None


def test_missing_power_is_estimated_from_the_model_and_marked_so():
    reading = estimate_where_missing(Reading(model="Antminer S21", hashrate_ths=200.0))
    assert (reading.power_w, reading.power_source) == (3500.0, PowerSource.ESTIMATE)
    assert estimate_where_missing(Reading(model="Antminer S9", hashrate_ths=14.0)).power_w is None
    assert estimate_where_missing(Reading(model="Antminer S19 Pro")).power_w is None
    told = Reading(model="Antminer S19 Pro", hashrate_ths=110.0, power_w=9.0, power_source=PowerSource.MINER)
    assert estimate_where_missing(told).power_w == 9.0


def test_an_estimate_stays_between_idle_and_115_percent_of_the_nameplate():
    assert estimate_power_w(0.0, 30.0, 3000.0) == 25.0
    assert estimate_power_w(50.0, 30.0, 3000.0) == 1500.0
    assert estimate_power_w(500.0, 30.0, 3000.0) == 3450.0


NAMES = {
    "Antminer S19 Pro": "S19 Pro",
    "antminer s19": "S19",
    "Antminer S19j Pro": "S19j Pro",
    "Antminer S21 Pro (Vnish 1.2.6)": "S21 Pro",
    "WhatsMiner M30S++_VG40": "M30S++",
    "M50S_VE30": "M50S",
    "M50_VE30": "M50",
    "AvalonMiner A1246": "A1246",
    "Antminer S19 Pro+ Hyd.": None,
    "Antminer S19j Pro+": None,
    "Antminer S21 Hyd": None,
    "M30S+_VE40": None,
    "Antminer S9": None,
    "": None,
}


@pytest.mark.parametrize("reported", NAMES)
def test_a_reported_name_means_its_catalogue_model_or_none(reported):
    spec = find_model(reported)
    assert (spec and spec.name) == NAMES[reported]


def test_the_catalogue_holds_every_model_once_with_its_efficiency():
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE) == 19
    assert {str(spec.efficiency_j_th) for spec in CATALOGUE if spec.name in {"S19 Pro", "S21"}} == {
        "29.5455",
        "17.5000",
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
NUMBERS = [
    "GHS 5s",
    "MHS av",
    "temp2_1",
    "temp_chip1",
    "temp1",
    "fan1",
    "fan_num",
    "Power",
    "HS RT",
    "Elapsed",
    "Uptime",
]
TEXTS = ["Type", "BMMiner", "Miner", "Model", "chain_consumption1"]
NAMES_OF_FIELDS = [*NUMBERS, *TEXTS, "Accepted", "Temperature", "Chip Temp Max", "Fan Speed In"]
FIELDS = st.dictionaries(st.sampled_from(NAMES_OF_FIELDS), VALUES, max_size=8)
REPLY = st.builds(
    lambda section, data, status: {section: data, "STATUS": status, "Msg": data},
    st.sampled_from(["SUMMARY", "STATS", "DEVS", "VERSION", "DEVDETAILS"]),
    VALUES | FIELDS | st.lists(FIELDS, max_size=3),
    VALUES,
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["summary", "stats", "devs", "version", "devdetails"]), REPLY))
def test_no_reply_makes_a_dialect_raise_or_leave_its_ranges(replies):
    reading = estimate_where_missing(identify(replies).parse(replies))
    device_time(replies)
    assert reading.hashrate_ths is None or 0 <= reading.hashrate_ths <= 5000
    assert reading.temperature_c is None or -40 <= reading.temperature_c <= 200
    assert reading.power_w is None or 0 <= reading.power_w <= 20_000
    assert all(0 <= rpm <= 20_000 for rpm in reading.fan_rpm)
