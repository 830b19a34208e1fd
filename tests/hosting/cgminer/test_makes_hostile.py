"""Nothing that a device sends makes any dialect raise, or gives values that cannot be."""

from hypothesis import given, settings as hypothesis_settings, strategies as st

from hosting.cgminer.dialects import DIALECTS, identify, whatsminer_v3

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "MM ID0",
        "MM ID1:Summary",
        "PROD",
        "MODEL",
        "Chip",
        "Board",
        "TopLeft",
        "ID",
        "RPM",
        "Watts",
        "METADATA",
        "LUXminer",
        "BOSer",
        "CurtailMode",
        "Type",
        "state",
        "chain",
        "fan",
        "rate_5s",
        "rate_unit",
        "chain_acn1",
        "chain_acs1",
        "temp_chip1",
        "chain_consumption1",
        "total_power",
        "MHS 5s",
        "MHS av",
        "Temperature",
        "Chip Temp Max",
        "TunerChainStatus",
        "ApproximateMinerPowerConsumption",
        "BoardTemp",
        "ChipTemp",
        "Name",
        "Speed",
        "PowerIn",
        "Stratum Active",
        "URL",
        "Error Code 0",
        "Env Temp",
        "HS RT",
        "Factory GHS",
        "Effective Chips",
        "Slot",
        "Status",
        "GHS 5s",
        "build_version",
        "index",
        "temp_pcb",
        "asic_num",
    ]
)
MODULE_TEXT = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Ver",
                "Elapsed",
                "GHSspd",
                "PS",
                "TMax",
                "MTmax",
                "Fan1",
                "SoftOFF",
                "MGHS",
                "TA",
                "ECHU",
                "PVT_T0",
                "SYSTEMSTATU",
                "WALLPOWER",
            ]
        ),
        st.text(max_size=9),
    ),
    max_size=6,
).map(lambda pairs: " ".join(f"{name}[{value}]" for name, value in pairs))
ROW = st.dictionaries(
    NAMES, JUNK | MODULE_TEXT | st.lists(st.dictionaries(NAMES, JUNK, max_size=3), max_size=2), max_size=8
)
COMMANDS = [
    "summary",
    "stats",
    "estats",
    "litestats",
    "devs",
    "edevs",
    "version",
    "devdetails",
    "temps",
    "fans",
    "power",
    "tunerstatus",
    "config",
    "pools",
]
SECTION = st.sampled_from(
    ["SUMMARY", "STATS", "DEVS", "VERSION", "DEVDETAILS", "TEMPS", "FANS", "POWER", "TUNERSTATUS", "POOLS"]
)
DESCRIPTION = st.sampled_from(["LUXminer 1", "BOSminer 2", "BOSer 3", "GCMiner-1", "cgminer 4.11.1"])
REPLY = st.builds(
    lambda section, rows, words, message: {
        section: rows,
        "STATUS": [{"Description": words}],
        "Msg": message,
        "INFO": message,
    },
    SECTION,
    JUNK | ROW | st.lists(ROW, max_size=3),
    DESCRIPTION | JUNK,
    JUNK | ROW,
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*COMMANDS, "get_error_code", "temperature", "fan", "psu"]), REPLY))
def test_no_reply_makes_any_dialect_raise_or_leave_its_ranges(replies):
    for dialect in {identify(replies), *DIALECTS}:
        reading = dialect.parse(replies)
        dialect.detail(reading, replies)
        heats = [reading.temperature_c, reading.board_temperature_c, reading.inlet_temperature_c]
        heats += [heat for board in reading.boards for heat in (board.chip_c, board.board_c)]
        assert all(heat is None or -40 <= heat <= 200 for heat in heats)
        rates = [reading.hashrate_ths, reading.hashrate_avg_ths, *(board.rate_ths for board in reading.boards)]
        assert all(rate is None or 0 <= rate <= 5000 for rate in rates)
        assert reading.power_w is None or 0 <= reading.power_w <= 20_000
        assert all(0 <= rpm <= 20_000 for rpm in reading.fan_rpm)


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["msg", "when", "code"]),
        JUNK
        | st.dictionaries(
            st.sampled_from(["summary", "edevs", "pools", "miner", "system", "error-code"]),
            JUNK | ROW | st.lists(ROW, max_size=2),
        ),
    ),
    JUNK,
)
def test_no_reply_of_the_third_api_makes_the_reader_raise(status, message):
    for about in (status, {"msg": message}):
        reading = whatsminer_v3.parse(status, about)
        if reading is not None:
            whatsminer_v3.detail(reading, status, about)
