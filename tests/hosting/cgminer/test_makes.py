"""What other makes and firmwares report, in their own shapes: rates, chips, boards, air, fans and watts at the wall."""

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from hosting.cgminer.dialects import DIALECTS, identify, whatsminer_v3
from hosting.cgminer.reading import PowerSource
from tests.hosting.cgminer.device import antminer_stats, antminer_summary, envelope, whatsminer_summary


def read(**replies):
    """The reading with its details."""
    dialect = identify(replies)
    reading = dialect.parse(replies)
    dialect.detail(reading, replies)
    return reading


def described(description, section, *objects):
    return envelope(section, *objects) | {
        "STATUS": [{"STATUS": "S", "When": 1, "Code": 11, "Description": description}]
    }


# Avalon


AVALON = (
    "Ver[1366-118-23061401_1b7d9a2_4a1e3f0] DNA[02010000c1d2e3f4] MEMFREE[1392832.1381104] NETFAIL[0 0 0 0 0 0 0 0]"
    " SYSTEMSTATU[Work: In Work, Hash Board: 3 ] Elapsed[43210] BOOTBY[0x04.00000000] LW[914031] MH[12 0 7] DHW[0] HW[19]"
    " DH[1.401%] Temp[27] TMax[81] TAvg[70] Fan1[5120] Fan2[5090] Fan3[5101] Fan4[5083] FanR[68%] Vo[296]"
    " PS[0 1211 1296 231 3001 1300 3208] GHSspd[119876.54] DHspd[1.401%] GHSmm[121500.42] GHSavg[118200.31] WU[1651234.05]"
    " Freq[445.94] Led[0] MGHS[39400.10 39100.20 39700.01] MTmax[79 81 80] MTavg[69 71 70] TA[378] Core[A3197S] PING[31]"
    " POWS[0] SoftOFF[0] ECHU[0 512 0] ECMM[0] PVT_T0[ 66  65  63] PVT_T1[ 66 -1 65] PVT_T2[ 71  70  72] MPO[3200] WORKMODE[1]"
)
ASLEEP = (
    AVALON.replace("In Work", "In Idle")
    .replace("SoftOFF[0]", "SoftOFF[5]")
    .replace("GHSspd[119876.54]", "GHSspd[0.00]")
    .replace("GHSavg[118200.31]", "GHSavg[44123.45]")
    .replace("PS[0 1211 1296 231 3001 1300 3208]", "PS[0 1211 4 0 0 2245 132]")
    .replace("TMax[81]", "TMax[0]")
    .replace("MTmax[79 81 80]", "MTmax[0 0 0]")
    .replace("PVT_T0[ 66  65  63] PVT_T1[ 66 -1 65] PVT_T2[ 71  70  72] ", "")
)


def avalon_stats(text=AVALON, key="MM ID0"):
    return envelope("STATS", {"STATS": 0, "ID": "AVA100", key: text, "MM Count": 1}, {"STATS": 1, "ID": "POOL0"})


def avalon_summary(**values):
    return envelope("SUMMARY", {"Elapsed": 43200, "MHS av": 118_200_310.0, "Accepted": 77, "Rejected": 1} | values)


def test_an_avalon_reads_from_its_bracketed_text():
    reading = read(summary=avalon_summary(**{"MHS 30s": 117_000_000.0}), stats=avalon_stats())
    assert (reading.make, reading.model, reading.firmware) == ("Avalon", "A1366", "23061401_1b7d9a2_4a1e3f0")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (119.88, 118.2)
    assert (reading.power_w, reading.power_source) == (3208.0, PowerSource.MINER)
    assert (reading.temperature_c, reading.inlet_temperature_c) == (81.0, 27.0)
    assert reading.fan_rpm == [5120, 5090, 5101, 5083]
    assert (reading.uptime_s, reading.accepted) == (43200, 77)
    assert [
        (board.rate_ths, board.chip_c, board.chips, board.chips_expected, board.errors) for board in reading.boards
    ] == [
        (39.4001, 79.0, 3, 126, 12),
        (39.1002, 81.0, 2, 126, 0),
        (39.7, 80.0, 3, 126, 7),
    ]
    assert reading.errors == ["ECHU1:512"]


def test_an_avalon_that_sleeps_does_not_hash_whatever_its_averages_say():
    summary = avalon_summary(**{"MHS av": 44_123_450.0, "MHS 5s": 31_000_000.0, "MHS 1m": 39_000_000.0})
    reading = read(summary=summary, stats=avalon_stats(ASLEEP))
    assert (reading.hashrate_ths, reading.hashrate_avg_ths, reading.power_w) == (0.0, 44.12, 132.0)
    assert (reading.temperature_c, reading.uptime_s) == (None, 43200)
    assert [board.rate_ths for board in reading.boards] == [0.0, 0.0, 0.0]
    alone = read(summary=envelope("SUMMARY", {"MHS av": 44_123_450.0}), stats=avalon_stats(ASLEEP))
    assert alone.hashrate_ths == 0.0


def test_an_avalons_average_is_no_rate_even_where_its_text_is_missing():
    version = envelope("VERSION", {"CGMiner": "4.11.1", "PROD": "AvalonMiner 1366", "MODEL": "1366"})
    reading = read(summary=envelope("SUMMARY", {"Elapsed": 9, "MHS av": 44_123_450.0}), version=version)
    assert (reading.make, reading.model) == ("Avalon", "A1366")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (None, 44.12)


@pytest.mark.parametrize(
    ("supply", "watts"),
    [
        ("PS[0 1209 1187 297 3526 1188 3731] WALLPOWER[3744]", 3744.0),
        ("PS[0 1209 1187 297 3526 1188 3731]", 3731.0),
        ("PS[0 1228 1299 238 3086 1296]", None),  # an older supply tells its output only
        ("PS[0 1221 4 0 0 2245 146]", 146.0),
        ("PS[]", None),
        ("", None),
    ],
)
def test_the_wall_of_an_avalon_is_neither_output_nor_set_point(supply, watts):
    reading = read(stats=avalon_stats(AVALON.replace("PS[0 1211 1296 231 3001 1300 3208]", supply)))
    assert reading.power_w == watts


def test_firmware_that_leaves_the_rate_of_now_at_zero_is_read_by_its_windows_while_it_draws_power():
    text = AVALON.replace("GHSspd[119876.54]", "GHSspd[0.00]")
    working = read(summary=avalon_summary(**{"MHS 5s": 117_250_000.0}), stats=avalon_stats(text))
    assert working.hashrate_ths == 117.25
    starting = text.replace("PS[0 1211 1296 231 3001 1300 3208]", "PS[0 1199 1392 0 0 1393 87]")
    assert read(summary=avalon_summary(**{"MHS 1m": 39_000_000.0}), stats=avalon_stats(starting)).hashrate_ths == 0.0


def test_an_avalon_may_answer_estats_or_litestats_and_tell_its_module_twice():
    for command in ("estats", "litestats"):
        assert read(**{command: avalon_stats(key="MM ID0:Summary")}).power_w == 3208.0
    twice = envelope("STATS", {"MM ID0": AVALON, "MM ID0:Summary": f"'STATS':{{{AVALON}}}"})
    reading = read(stats=twice)
    assert (reading.power_w, len(reading.fan_rpm), len(reading.boards)) == (3208.0, 4, 3)


def test_the_modules_of_an_old_avalon_are_one_machine():
    module = (
        "Ver[8511808-7e42ba0] DNA[013c9dfb6b7c3c20] Elapsed[912] LW[80000] MH[3 0 3 4] HW[10] Temp[29] TMax[84] Fan[5880]"
        " FanR[70%] Vo[4461 4447] GHSmm[14800.11] WU[190000.15] Freq[628.45] PG[15] Led[0] TA[104] ECHU[16 0] ECMM[0]"
        " PVT_T[21-76/1-88/83 1-80/11-92/84]"
    )
    stats = envelope("STATS", {"ID": "AV80", "MM ID1": module, "MM ID2": module.replace("TMax[84]", "TMax[88]")})
    reading = read(summary=avalon_summary(**{"MHS 5s": 29_400_000.0}), stats=stats)
    assert (reading.hashrate_ths, reading.temperature_c, reading.fan_rpm) == (29.4, 88.0, [5880, 5880])
    assert (reading.power_w, reading.errors) == (None, ["ECHU0:16", "ECHU0:16"])


# LuxOS


LUX = "LUXminer 2024.9.17.174900-4631c4d1"


def luxos(**values):
    replies = {
        "summary": described(
            LUX, "SUMMARY", {"Elapsed": 500, "GHS 5s": 101_234.5, "GHS av": 99_000.0, "GHS 30m": 98_000.0}
        ),
        "temps": described(
            LUX,
            "TEMPS",
            {"ID": 0, "TEMP": 0, "Board": 58.5, "Chip": 69.25, "TopLeft": 57.0, "BottomRight": 41.0},
            {"ID": 1, "TEMP": 1, "Board": 0, "Chip": 0, "TopLeft": 60.5, "BottomRight": 43.0},
        )
        | {"METADATA": [{"Label": "Board Exhaust", "TopLeft": ""}, {"Label": "Board Intake", "BottomRight": ""}]},
        "fans": described(LUX, "FANS", *({"FAN": n, "ID": n, "RPM": 5000 + n, "Speed": 70} for n in range(4))),
        "power": described(LUX, "POWER", {"PSU": False, "Watts": 3051}),
        "devs": described(LUX, "DEVS", {"ID": 0, "MHS 5s": 50.6e6, "Temperature": 55}, {"ID": 1, "MHS 5s": 50.7e6}),
    }
    return replies | values


def test_luxos_reads_from_its_small_commands():
    reading = read(**luxos())
    assert (reading.make, reading.hashrate_ths, reading.hashrate_avg_ths) == ("LuxOS", 101.23, 99.0)
    assert (reading.power_w, reading.power_source) == (3051.0, PowerSource.MINER)
    assert (reading.temperature_c, reading.board_temperature_c) == (69.25, 60.5)
    assert reading.fan_rpm == [5000, 5001, 5002, 5003]
    assert [(board.rate_ths, board.chip_c, board.board_c) for board in reading.boards] == [
        (50.6, 69.25, 58.5),
        (50.7, None, 60.5),
    ]


def test_luxos_is_not_taken_for_the_stock_firmware_that_its_stats_resemble():
    stats = antminer_stats()
    stats["STATS"][0] = {"LUXminer": "2023.1.3", "Miner": "2023.1.3", "Type": "Antminer S19k Pro", "API": "3.7"}
    reading = read(summary=envelope("SUMMARY", {"GHS 5s": 1.0}), stats=stats)
    assert (reading.make, reading.model, reading.firmware) == ("LuxOS", "Antminer S19k Pro", "2023.1.3")
    water = {"METADATA": [{"Label": "Water Inlet", "TopLeft": ""}, {"Label": "Water Outlet", "TopRight": ""}]}
    temps = described(LUX, "TEMPS", {"ID": 0, "Chip": 60, "TopLeft": 35.5, "TopRight": 44.0, "Board": 50}) | water
    hydro = read(**luxos(temps=temps))
    assert (hydro.inlet_temperature_c, hydro.board_temperature_c, hydro.temperature_c) == (35.5, 50.0, 60.0)


# Braiins OS


BOS = "BOSminer boser-openwrt 0.1.0-26ba61b9"


def braiins(**values):
    chains = [{"HashchainIndex": n, "Status": "Stable", "ApproximatePowerConsumptionWatt": 800} for n in (1, 2, 3)]
    tuner = {"ApproximateChainPowerConsumption": 2400, "ApproximateMinerPowerConsumption": 2475, "PowerLimit": 3400}
    replies = {
        "summary": described(BOS, "SUMMARY", {"Elapsed": 77, "MHS 5s": 88_123_456.7, "MHS av": 87.5e6, "Accepted": 3}),
        "temps": described(
            BOS, "TEMPS", {"ID": 1, "Board": 61.5, "Chip": 78.0}, {"ID": 2, "Board": 63.25, "Chip": 79.5}
        ),
        "fans": described(BOS, "FANS", *({"FAN": n, "ID": n, "RPM": 4800 - n, "Speed": 80} for n in range(4))),
        "tunerstatus": described(BOS, "TUNERSTATUS", tuner | {"TunerChainStatus": chains}),
        "devs": described(BOS, "DEVS", {"ID": 1, "MHS 5s": 44e6, "Hardware Errors": 5}, {"ID": 2, "MHS 5s": 44.1e6}),
        "devdetails": described(
            BOS, "DEVDETAILS", {"ID": 1, "Chips": 110, "Model": "Antminer S19j Pro"}, {"ID": 2, "Chips": 108}
        ),
    }
    return replies | values


def test_braiins_reads_the_miners_watts_and_not_their_limit():
    reading = read(**braiins())
    assert (reading.make, reading.model, reading.hashrate_ths) == ("Braiins OS", "Antminer S19j Pro", 88.12)
    assert (reading.power_w, reading.temperature_c, reading.board_temperature_c) == (2475.0, 79.5, 63.25)
    assert reading.fan_rpm == [4800, 4799, 4798, 4797]
    assert [(board.number, board.chips, board.chip_c, board.errors) for board in reading.boards] == [
        (1, 110, 78.0, 5),
        (2, 108, 79.5, None),
    ]


def test_a_paused_braiins_reads_zero_and_an_s9_has_two_fans():
    chains = [{"HashchainIndex": 6, "Status": "Paused"}, {"HashchainIndex": 7, "Status": "Paused"}]
    tuner = described(
        BOS, "TUNERSTATUS", {"ApproximateMinerPowerConsumption": 0, "PowerLimit": 1420, "TunerChainStatus": chains}
    )
    summary = described(BOS, "SUMMARY", {"Elapsed": 77, "MHS 1m": 12e6, "MHS av": 87.5e6})
    fans = described(BOS, "FANS", *({"ID": n, "RPM": rpm} for n, rpm in enumerate((5340, 4620, 0, 0))))
    reading = read(**braiins(summary=summary, tunerstatus=tuner, fans=fans))
    assert (reading.hashrate_ths, reading.power_w, reading.fan_rpm) == (0.0, 0.0, [5340, 4620])
    no_tuner = braiins()
    del no_tuner["tunerstatus"]
    assert read(**no_tuner).power_w is None


# Antminer: VNish, Hiveon, old and new stock


def vnish(**values):
    stats = antminer_stats(
        **{"GHS 5s": "140258.58", "state": "mining", "build_version": "1.2.6", "chain_acn1": 110} | values
    )
    stats["STATS"][0] = {"Cgminer": "4.11.1", "Miner": "uart_trans.1.3", "Type": "Antminer S19 XP (Vnish 1.2.6)"}
    return stats


def test_vnish_names_itself_and_its_missing_meter_is_no_zero():
    reading = read(stats=vnish(chain_consumption1=1004, chain_consumption2=1003, chain_consumption3=999))
    assert (reading.make, reading.model, reading.firmware) == ("VNish", "Antminer S19 XP", "1.2.6")
    assert (reading.hashrate_ths, reading.power_w) == (140.26, 3006.0)
    unmetered = read(stats=vnish(chain_consumption1=0, chain_consumption2=0))
    assert (unmetered.power_w, unmetered.power_source) == (None, None)
    stopped = vnish(state="stopped", chain_consumption1=0)
    del stopped["STATS"][1]["GHS 5s"]
    assert (read(stats=stopped).hashrate_ths, read(stats=stopped).power_w) == (0.0, 0.0)


def test_hiveon_tells_one_figure_of_power_beside_its_chains():
    stats = antminer_stats(total_power=1345, chain_power1=454, chain_power2=437, chain_power3=453)
    assert read(stats=stats).power_w == 1345.0
    assert read(stats=antminer_stats(chain_power1=454, chain_power2=437)).power_w == 891.0


def test_an_s9_has_its_chains_in_the_sixth_to_eighth_slot():
    values = {f"chain_acn{n}": 0 for n in range(1, 17)} | {f"temp{n}": 0 for n in range(1, 17)}
    values |= {f"fan{n}": 0 for n in range(1, 9)} | {
        "fan3": 5880,
        "fan6": 5760,
        "fan_num": 2,
        "temp_chip1": "",
        "temp2_1": 0,
    }
    values |= {f"chain_acn{n}": 63 for n in (6, 7, 8)} | {"temp6": 63, "temp7": 61, "temp8": 64, "temp_pcb1": "0-0-0-0"}
    values |= {
        "temp2_6": 78,
        "temp2_7": 76,
        "temp2_8": 79,
        "chain_rate6": "4511.20",
        "chain_rate7": "4498.03",
        "chain_rate8": "",
    }
    values |= {
        "chain_acs6": " oooooooo xooooooo " + "o" * 47,
        "chain_hw6": 12,
        "GHS 5s": "13523.77",
        "GHS av": 13480.31,
    }
    reading = read(stats=antminer_stats(**values))
    assert (reading.hashrate_ths, reading.temperature_c, reading.board_temperature_c) == (13.52, 79.0, 64.0)
    assert reading.fan_rpm == [5880, 5760]
    assert [(board.number, board.rate_ths, board.chips, board.chip_c, board.board_c) for board in reading.boards] == [
        (6, 4.51, 62, 78.0, 63.0),
        (7, 4.5, 63, 76.0, 61.0),
        (8, None, 63, 79.0, 64.0),
    ]


def test_the_newer_form_of_stock_stats_is_read_alike():
    chain = {
        "index": 0,
        "rate_real": 66_700.1,
        "asic_num": 108,
        "hw": 4,
        "temp_pcb": [48, 49, 61, 62],
        "temp_chip": [66, 67, 79, 80],
    }
    stats = {
        "STATUS": {"STATUS": "S", "when": 1, "Msg": "stats", "api_version": "1.0.0"},
        "INFO": {"miner_version": "uart_trans.1.3", "CompileTime": "Fri Feb 2", "type": "Antminer S21"},
        "STATS": [
            {
                "elapsed": 3600,
                "rate_5s": 199_500.25,
                "rate_30m": 200_100.0,
                "rate_avg": 200_000.0,
                "rate_unit": "GH/s",
                "fan_num": 4,
                "fan": [5100, 5130, 5160, 0],
                "chain": [chain, chain | {"index": 1, "temp_chip": ["60-61-81-82"]}],
            }
        ],
    }
    summary = {
        "STATUS": {"STATUS": "S"},
        "SUMMARY": [{"elapsed": 3600, "rate_5s": 1.0, "hw_all": 9, "rate_unit": "GH/s"}],
    }
    reading = read(stats=stats, summary=summary)
    assert (reading.make, reading.model, reading.firmware) == ("Antminer", "Antminer S21", "uart_trans.1.3")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths, reading.hardware_errors) == (199.5, 200.0, 9)
    assert (reading.temperature_c, reading.board_temperature_c) == (82.0, 62.0)
    assert reading.fan_rpm == [5100, 5130, 5160, 0]
    assert [(board.number, board.rate_ths, board.chips, board.chip_c) for board in reading.boards] == [
        (0, 66.7, 108, 80.0),
        (1, 66.7, 108, 82.0),
    ]


def test_an_antminers_boards_are_kept_apart_from_its_chips():
    reading = read(stats=antminer_stats(chain_acn1=114, temp_pic1="63-35-99-55"), summary=antminer_summary())
    assert (reading.temperature_c, reading.board_temperature_c) == (74.0, 69.0)
    assert [(board.rate_ths, board.chips, board.chip_c, board.board_c) for board in reading.boards] == [
        (36.0, 114, 74.0, 69.0)
    ]


# Whatsminer


def test_a_whatsminers_boards_air_and_codes():
    summary = whatsminer_summary(**{"Env Temp": 24.5, "Error Code 0": 110, "Error Code 1": 600, "Error Code Count": 2})
    devs = envelope(
        "DEVS",
        {
            "Slot": 0,
            "MHS 5s": 37.5e6,
            "Temperature": 70.0,
            "Chip Temp Max": 88.5,
            "Effective Chips": 105,
            "Hardware Errors": 3,
        },
        {"Slot": 1, "MHS 5s": 37.1e6, "Temperature": 74.5, "Chip Temp Max": 91.0, "Effective Chips": 104},
    )
    codes = {
        "STATUS": "S",
        "Code": 131,
        "Msg": {"error_code": [{"218": "2024-06-15 10:30:00"}, {"110": "2024-06-15 10:31:00"}]},
    }
    reading = read(summary=summary, devs=devs, get_error_code=codes)
    assert (reading.temperature_c, reading.board_temperature_c, reading.inlet_temperature_c) == (91.25, 74.5, 24.5)
    assert [(board.number, board.rate_ths, board.chips, board.chip_c, board.board_c) for board in reading.boards] == [
        (0, 37.5, 105, 88.5, 70.0),
        (1, 37.1, 104, 91.0, 74.5),
    ]
    assert reading.errors == ["110", "600", "218"]


def test_a_flat_whatsminer_reply_has_its_summary_in_the_message():
    flat = {
        "STATUS": "S",
        "When": 7,
        "Code": 131,
        "Msg": whatsminer_summary()["SUMMARY"][0],
        "Description": "whatsminer v2.0.5",
    }
    assert read(summary=flat).power_w == 3480.0
    real_time = whatsminer_summary()
    for window in ("5s", "1m"):
        del real_time["SUMMARY"][0][f"MHS {window}"]
    assert read(summary=real_time).hashrate_ths == 112.5


def v3(**values):
    summary = {
        "elapsed": 50_000,
        "bootup-time": 1323,
        "hash-average": 170.8,
        "hash-realtime": 171.259,
        "power-limit": 3600,
        "power-realtime": 3156.0,
        "fan-speed-in": 5400,
        "fan-speed-out": 5430,
        "chip-temp-max": 82.0,
        "board-temperature": [41.1, 40.5, 42.0],
        "environment-temperature": 28.5,
    }
    edevs = [{"id": n, "hash-average": 57.0 + n, "effective-chips": 156, "chip-temp-max": 80.0 + n} for n in range(2)]
    pools = [{"url": "stratum+tcp://pool.example:3333", "account": "farm.1", "stratum-active": True}]
    return {"code": 0, "when": 9, "msg": {"summary": summary | values, "edevs": edevs, "pools": pools}}


ABOUT = {
    "code": 0,
    "msg": {
        "miner": {"working": "true", "type": "M60S_VK40"},
        "system": {"fwversion": "20250214.16.Rel2"},
        "error-code": [{"2010": "2025-01-01"}],
    },
}


def test_the_third_api_of_whatsminer_reads_alike():
    reading = whatsminer_v3.parse(v3(), ABOUT)
    whatsminer_v3.detail(reading, v3(), ABOUT)
    assert (reading.make, reading.model, reading.firmware) == ("Whatsminer", "M60S_VK40", "20250214.16.Rel2")
    assert (reading.hashrate_ths, reading.power_w, reading.temperature_c) == (171.26, 3156.0, 82.0)
    assert (reading.board_temperature_c, reading.inlet_temperature_c) == (42.0, 28.5)
    assert (reading.fan_rpm, reading.uptime_s, reading.errors) == ([5400, 5430], 50_000, ["2010"])
    assert [(board.rate_ths, board.chips, board.chip_c, board.board_c) for board in reading.boards] == [
        (57.0, 156, 80.0, 41.1),
        (58.0, 156, 81.0, 40.5),
    ]
    assert (reading.pool_url, reading.pool_worker) == ("stratum+tcp://pool.example:3333", "farm.1")


def test_a_whatsminer_whose_miner_process_is_down_rests():
    down = {"code": -1, "msg": "btminer process is down err"}
    about = {"code": 0, "msg": {"miner": {"working": "false", "type": "M60_VK30"}}}
    assert whatsminer_v3.parse(down, about).hashrate_ths == 0.0
    assert whatsminer_v3.parse(down, {"code": -1, "msg": "?"}) is None


# Auradine


def test_auradine_reads_the_input_of_its_supply():
    said = "GCMiner-2024-05.24-0ce5e7cc"
    rows = [
        {"ID": 0, "Name": "Control Board", "BoardTemp": [{"Temperature": 95.0}], "ChipTemp": None},
        {"ID": 1, "Name": "Hash Board 1", "BoardTemp": [{"Temperature": 41.5}], "ChipTemp": [{"Temperature": 65.8}]},
    ]
    reading = read(
        summary=described(said, "SUMMARY", {"Elapsed": 5, "MHS 5s": 180.5e6, "MHS av": 179e6}),
        temperature=described(said, "Temperature", *rows),
        fan=described(said, "Fan", {"ID": 1, "Speed": 7080, "Target": 7000}, {"ID": 2, "Speed": 7020}),
        psu=described(said, "PSU", {"PowerOut": "3100.00W", "PowerIn": "3322.50W", "PoutMax": "3452.00W"}),
        devs=described(said, "DEVS", {"ID": 1, "MHS 5s": 60e6, "Temperature": 40.0}),
    )
    assert (reading.make, reading.hashrate_ths, reading.power_w) == ("Auradine", 180.5, 3322.5)
    assert (reading.temperature_c, reading.board_temperature_c, reading.fan_rpm) == (65.8, 41.5, [7080, 7020])


# Nothing that a device sends makes the reader raise


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


@hypothesis_settings(max_examples=300, deadline=None)
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
