"""Machines come and go as files: a dry run tells everything, its token writes exactly that or nothing."""

import io
import json
import random
import time
from datetime import date

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from hosting import services
from hosting.importing import ImportRefused, commit_import, export_miners, plan_import
from hosting.models import Miner, MinerModel, OperationLog, Site
from hosting.sheets import MAX_ROWS, UnreadableFile, read_sheet
from tests.farm import database_url, run_manage
from tests.hosting.inventory.conftest import HEADER, rows, steps, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def farm(site, catalogue, client_a, client_b, rack, other_rack):
    """What the files of these tests refer to by name."""


def plan(content, **options):
    return plan_import(content if isinstance(content, bytes) else content.encode(), by=None, **options)


# --- the dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_adds_changes_and_moves_and_writes_nothing(make_miner, rack):
    make_miner("A-1", rack=rack, slot=1)
    make_miner("A-2")
    before = list(Miner.objects.order_by("pk").values())
    dry = plan(
        rows(
            "A-1,S21,North,R-02,3",
            "A-2,M60,North",
            "A-3,M60,North,Hall A / R-01,2,client-a@farm.example,,10.1.1.3,,yes,,,,,",
            header=",".join(HEADER.split(",")[:10])
            + ",purchase_date,warranty_start,warranty_expiry,warranty_vendor,warranty_order",
        )
    )
    assert steps(dry) == [
        (2, "move", {"model": ("S19 Pro", "S21"), "rack": ("Hall A / R-01", "Hall A / R-02"), "slot": ("1", "3")}),
        (3, "change", {"model": ("S19 Pro", "M60")}),
        (
            4,
            "add",
            {
                "model": ("", "M60"),
                "site": ("", "North"),
                "rack": ("", "Hall A / R-01"),
                "slot": ("", "2"),
                "client": ("", "client-a@farm.example"),
                "cgminer_ip": ("", "10.1.1.3"),
                "cgminer_enabled": ("no", "yes"),
            },
        ),
    ]
    assert dry.totals == {"rows": 3, "add": 1, "change": 1, "move": 1, "same": 0, "bad_rows": 0}
    assert dry.token
    assert list(Miner.objects.order_by("pk").values()) == before
    assert not OperationLog.objects.exists()


def test_every_wrong_cell_is_named_by_row_column_and_what_would_be_right():
    dry = plan(
        rows(
            "C-1,S19 Prp,North",
            "C-2,M60,Nowhere,,,nobody@farm.example",
            "C-3,M60,North,,,,asleep,300.1.1.1,99999,perhaps,31.12.2026",
            ",M60,North",
            "C-4,M60,North,,,,,,,yes",
            "C-5,M60,North,,,,curtailed",
            "C-6,M60,North,R-09,1",
            "C-7,M60,North,R-01,9",
            "C-8,M60,North,R-01,",
            "C-9,M60,North,,4",
            "C-10,M60,North,,,,,,,,,2026-05-01,2026-04-30",
            "C-11,M60,North,,,,,,,,,,,,,surplus",
        )
    )
    assert told(dry) == [
        (2, "model", "There is no miner model 'S19 Prp'. Did you mean 'S19 Pro'?"),
        (3, "site", "There is no site 'Nowhere'. There is: North."),
        (3, "client", "There is no client 'nobody@farm.example'. Did you mean 'client-b@farm.example'?"),
        (4, "status", "'asleep' is no status: use one of active, offline, maintenance, curtailed."),
        (4, "cgminer_ip", "'300.1.1.1' is no IP address: write it as 10.1.2.3."),
        (4, "cgminer_port", "'99999' is no TCP port: use 1 to 65535."),
        (4, "cgminer_enabled", "'perhaps' is neither yes nor no."),
        (4, "purchase_date", "'31.12.2026' is no date: write it as 2026-11-23."),
        (5, "serial_number", "Enter the serial number."),
        (6, "cgminer_ip", "Enter the machine's IP address, or switch reading off (cgminer_enabled no)."),
        (7, "status", "Only a curtailment plan makes a machine curtailed."),
        (8, "rack", "There is no rack of this site 'R-09'. Did you mean 'Hall A / R-02'?"),
        (9, "slot", "The rack has slots 1 to 8."),
        (10, "slot", "Which slot of the rack? Use 1 to 8."),
        (11, "slot", "A slot belongs to a rack: name the rack, too."),
        (12, "warranty_expiry", "The warranty ends before it starts (2026-05-01)."),
        (13, "", "The row has more cells than the first line names."),
    ]
    assert dry.problems[0].value == "S19 Prp"
    assert dry.token == ""
    assert not Miner.objects.exists()


def test_conflicts_name_the_other_row_or_machine(make_miner, rack):
    make_miner("A-1", cgminer_ip="10.1.1.1", rack=rack, slot=1)
    gone = make_miner("OLD")
    services.retire_miners(Miner.objects.filter(pk=gone.pk), by=None)
    dry = plan(
        rows(
            "C-1,M60,North,R-01,2,,,10.1.1.50",
            "c-1,M60,North,,,,,10.1.1.51",
            "C-2,M60,North,R-01,2,,,10.1.1.50",
            "C-3,M60,North,R-01,1,,,10.1.1.1",
            "OLD,M60,North",
        )
    )
    assert [(problem.row, problem.column) for problem in dry.conflicts] == [
        (3, "serial_number"),
        (4, "cgminer_ip"),
        (4, "slot"),
        (5, "cgminer_ip"),
        (5, "slot"),
        (6, "serial_number"),
    ]
    reasons = [problem.reason for problem in dry.problems]
    assert reasons[0] == "c-1 is on row 2 already: keep one of them."
    assert reasons[1] == "C-1 has 10.1.1.50:4028 at this site: change one of the two."
    assert reasons[4] == "A-1 stands in slot 1 of Hall A / R-01: choose another slot."
    assert reasons[5].startswith("OLD is retired since 2026-")
    assert dry.bad == []


def test_a_serial_in_other_capitals_is_the_same_machine(bring, make_miner):
    miner = make_miner("AbC-1")
    assert bring(rows("aBc-1,M60", header="serial_number,model"))["change"] == 1
    miner.refresh_from_db()
    assert (miner.serial_number, miner.miner_model.name) == ("AbC-1", "M60")
    Miner.objects.create(serial_number="ABC-1", site=miner.site)
    assert told(plan(rows("abc-1,M60", header="serial_number,model"))) == [
        (2, "serial_number", "Several machines are named so: ABC-1, AbC-1. Write it as one of them.")
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "The file is empty"),
        (b"serial,model\nX,Y\n", "serial_number among them"),
        (b"serial_number,modell\nX,Y\n", "Unknown column 'modell'. Known are: serial_number, model"),
        (b"serial_number,site,site\nX,Y,Z\n", "The column site is there twice"),
        (b"\xff\xfe\x00", "neither a CSV file in UTF-8 or Windows-1252 nor an XLSX workbook"),
        (b"PK nonsense", "This workbook cannot be read"),
        (b'serial_number\n"A', "cannot be read"),
        (b"serial_number\n" + b"x" * 200_000, "field larger than field limit"),
        (b"serial_number\n" + b"".join(b"S-%d\n" % n for n in range(50_000)), "more than 20,000 rows: split it"),
        (b"x" * (11 * 1024 * 1024), "larger than 10 MB"),
    ],
    ids=["empty", "columns", "unknown", "twice", "binary", "workbook", "quote", "cell", "rows", "bytes"],
)
def test_a_file_that_cannot_be_taken_as_a_whole_is_refused_with_the_next_step(content, expected):
    with pytest.raises(UnreadableFile, match=expected):
        plan(content)


# --- spellings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "serial_number;warranty_vendor\r\nC-1;Händler\r\n".encode(),
        "\ufeffSerial Number,warranty_vendor\nC-1,Händler\n".encode(),
        "serial_number\twarranty_vendor\nC-1\tHändler\n".encode("utf-16"),
        "serial_number;warranty_vendor\r\nC-1;Händler\r\n".encode("cp1252"),
    ],
    ids=["semicolons", "mark", "utf-16", "cp1252"],
)
def test_files_of_other_programs_are_read(bring, content):
    assert bring(content)["add"] == 1
    assert Miner.objects.get().warranty_vendor == "Händler"
    assert bool(plan(content).notes) == (b"\xe4ndler" in content and not content.startswith(b"\xff"))


def test_rows_are_numbered_as_a_spreadsheet_counts_blank_ones_included():
    assert told(plan("serial_number,model\n\nC-1,M60\n,\nC-2,nothing\n"))[0][0] == 5


def test_a_workbook_with_numbers_dates_and_truth_is_read(bring):
    book = openpyxl.Workbook()
    book.active.append(
        ["Serial Number", "model", "site", "cgminer_ip", "cgminer_port", "cgminer_enabled", "purchase_date"]
    )
    book.active.append([471100, "M60", "North", "10.1.1.7", 4028.0, True, date(2026, 3, 1)])
    book.active.append(["00123", "M60", "North", "10.1.1.8", "4029", "yes", "2026-03-01"])
    book.active.append([None] * 7)
    stream = io.BytesIO()
    book.save(stream)
    assert bring(stream.getvalue())["add"] == 2
    found = {miner.serial_number: miner for miner in Miner.objects.all()}
    assert set(found) == {"471100", "00123"}
    assert (found["471100"].cgminer_port, found["471100"].cgminer_enabled) == (4028, True)
    assert {miner.purchase_date for miner in found.values()} == {date(2026, 3, 1)}


# --- the commit ---------------------------------------------------------------------------------------------------------


def test_a_commit_writes_by_names_leaves_lines_and_counts(bring, make_miner, operator, site, rack, client_b):
    make_miner("A-1", rack=rack, slot=1)
    counted = bring(
        rows("A-1,s21,north,r-02,4,CLIENT-B@farm.example,active,10.1.1.1,4028,yes", "C-1,M60,North,,,,maintenance")
    )
    assert (counted["add"], counted["move"]) == (1, 1)
    moved = Miner.objects.get(serial_number="A-1")
    assert (moved.rack.name, moved.slot, moved.client, moved.address) == ("R-02", 4, client_b, "10.1.1.1:4028")
    assert Miner.objects.get(serial_number="C-1").status == "maintenance"
    line = OperationLog.objects.get()
    assert (line.miner, line.operation, line.performed_by) == (moved, "changed", operator)
    assert line.details.startswith(
        "import: model S19 Pro → S21, rack Hall A / R-01 → Hall A / R-02, slot 1 → 4, client empty →"
    )
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (2, 1)


def test_two_machines_swap_address_and_slot(bring, make_miner, rack):
    make_miner("A-1", cgminer_ip="10.1.1.1", rack=rack, slot=1)
    make_miner("A-2", cgminer_ip="10.1.1.2", rack=rack, slot=2)
    assert bring(rows("A-1,10.1.1.2,2", "A-2,10.1.1.1,1", header="serial_number,cgminer_ip,slot"))["move"] == 2
    assert list(Miner.objects.values_list("serial_number", "cgminer_ip", "slot")) == [
        ("A-1", "10.1.1.2", 2),
        ("A-2", "10.1.1.1", 1),
    ]


def test_a_machine_that_goes_to_another_site_leaves_its_rack(bring, make_miner, rack):
    Site.objects.create(name="South")
    make_miner("A-1", rack=rack, slot=1)
    assert told(plan(rows("A-1,South,Hall A / R-01,1", header="serial_number,site,rack,slot"))) == [
        (2, "rack", "There is no rack of this site 'Hall A / R-01'. Add the rack of this site first.")
    ]
    assert bring(rows("A-1,South", header="serial_number,site"))["move"] == 1
    miner = Miner.objects.get()
    assert (miner.site.name, miner.rack, miner.slot) == ("South", None, None)


def test_an_import_for_one_site_takes_rows_there_and_refuses_others(bring, make_miner, site):
    south = Site.objects.create(name="South")
    make_miner("A-1")
    assert steps(plan("serial_number\nA-1\nC-1\n", site=south)) == [
        (2, "move", {"site": ("North", "South")}),
        (3, "add", {"site": ("", "South")}),
    ]
    assert told(plan(rows("A-1,North", header="serial_number,site"), site=south)) == [
        (2, "site", "This import is for South: take the row out, or import without naming a site.")
    ]
    assert bring("serial_number\nC-1\n", site=south)["add"] == 1
    assert Miner.objects.get(serial_number="C-1").site == south


def test_statuses_move_as_people_may_move_them_and_the_collectors_findings_stay(bring, make_miner):
    make_miner("M-1")
    make_miner("M-2", status="maintenance")
    make_miner("M-3", status="offline")
    assert bring(rows("M-1,maintenance", "M-2,active", "M-3,active", header="serial_number,status"))["change"] == 2
    assert list(Miner.objects.values_list("status", flat=True)) == ["maintenance", "active", "offline"]
    assert list(OperationLog.objects.order_by("miner").values_list("operation", "details")) == [
        ("maintenance", "import"),
        ("activate", "import"),
    ]
    Miner.objects.filter(serial_number="M-1").update(status="curtailed")
    assert "an import cannot make it active" in told(plan(rows("M-1,active", header="serial_number,status")))[0][2]


FILE = rows("A-1,S21,North", "C-1,M60,North,,,,,10.1.1.9").encode()


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda: Miner.objects.filter(serial_number="A-1").update(miner_model=MinerModel.objects.get(name="M60")),
        lambda: Miner.objects.create(serial_number="C-1", site=Site.objects.get()),
        lambda: Miner.objects.create(serial_number="X", site=Site.objects.get(), cgminer_ip="10.1.1.9"),
        lambda: Miner.objects.filter(serial_number="A-1").update(serial_number="A-0"),
        lambda: services.retire_miners(Miner.objects.filter(serial_number="A-1"), by=None),
        lambda: Site.objects.update(name="Far North"),
    ],
    ids=["changed", "added", "address", "gone", "retired", "renamed"],
)
def test_a_commit_is_refused_when_the_farm_has_changed_in_a_way_that_matters(make_miner, meanwhile):
    make_miner("A-1")
    token = plan(FILE).token
    meanwhile()
    before = list(Miner.objects.order_by("pk").values("serial_number", "miner_model_id", "cgminer_ip"))
    with pytest.raises(ImportRefused, match="look at a new dry run"):
        commit_import(FILE, token, by=None)
    assert list(Miner.objects.order_by("pk").values("serial_number", "miner_model_id", "cgminer_ip")) == before


def test_what_does_not_matter_does_not_refuse_a_commit(make_miner):
    make_miner("A-1")
    token = plan(FILE).token
    Miner.objects.filter(serial_number="A-1").update(status="offline")
    make_miner("Z-1", cgminer_ip="10.9.9.9")
    assert commit_import(FILE, token, by=None).totals["change"] == 1
    assert Miner.objects.get(serial_number="A-1").status == "offline"


def test_a_token_is_for_one_file_one_person_one_time(make_miner, operator, site):
    make_miner("A-1")
    token = plan(FILE).token
    for content, given, person, where, expected in (
        (FILE + b"\n", token, None, None, "another file"),
        (FILE, token[:-2] + "xx", None, None, "no token of a dry run"),
        (FILE, "", None, None, "no token of a dry run"),
        (FILE, token, operator, None, "somebody else"),
        (FILE, token, None, site, "another site"),
    ):
        with pytest.raises(ImportRefused, match=expected):
            commit_import(content, given, site=where, by=person)
    commit_import(FILE, token, by=None)
    with pytest.raises(ImportRefused, match="farm has changed"):
        commit_import(FILE, token, by=None)


# --- round trip ---------------------------------------------------------------------------------------------------------

NASTY = (
    *(
        "=1+1",
        "+5",
        "-5",
        "@SUM(1)",
        "|calc",
        "%x",
        "'=x",
        "''=x",
        "'",
        "''",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "-2+3+cmd|'/C",
    ),
    *("a=b", "00123", "1E5", "TRUE", "2026-01-01", "x,y", "x;y", '"q"', "Ünï", "矿机", "~`!#"),
)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_is_exported_comes_back_unchanged_whatever_it_holds(make_miner, rack, client_a, kind):
    User.objects.filter(pk=client_a.pk).update(email="+tag@farm.example")
    for number, text in enumerate([*NASTY, " padded ", "two\nlines", "\ttab", "=\r\nx", "_x000D_", "\x01"]):
        make_miner(text, warranty_vendor=text, warranty_order=text, client=client_a if number % 2 else None)
    make_miner(
        "full",
        rack=rack,
        slot=8,
        cgminer_ip="10.1.1.1",
        cgminer_port=4029,
        cgminer_enabled=True,
        status="offline",
        purchase_date=date(2026, 1, 31),
        warranty_start=date(2026, 2, 1),
        warranty_expiry=date(2028, 2, 1),
        warranty_vendor="Maker",
        warranty_order="2026-01",
    )
    make_miner("bare", site=None, miner_model=None)
    content = export_miners(Miner.objects.all(), kind)
    dry = plan(content)
    assert (dry.problems, steps(dry)) == ([], [])
    assert dry.totals["same"] == Miner.objects.count()
    for _, cells in read_sheet(content).rows:
        assert not [cell for cell in cells if cell and cell[0] in "=+-@|%\t\r\n＝＋－＠"]


def test_an_export_read_into_an_empty_farm_makes_the_same_machines(bring, make_miner, rack):
    for text in NASTY:
        make_miner(text, warranty_vendor=text)
    make_miner("full", rack=rack, slot=8, cgminer_ip="10.1.1.1", warranty_order="'=x")
    columns = (
        "serial_number",
        "miner_model",
        "site",
        "rack",
        "slot",
        "cgminer_ip",
        "warranty_vendor",
        "warranty_order",
    )
    before = list(Miner.objects.order_by("serial_number").values(*columns))
    content = export_miners(Miner.objects.all(), "csv")
    Miner.objects.all().delete()
    assert bring(content)["add"] == len(before)
    assert list(Miner.objects.order_by("serial_number").values(*columns)) == before


# --- five thousand rows -------------------------------------------------------------------------------------------------


def big_file(bad):
    lines = [
        f"C-{n:04},M60,North,,,client-a@farm.example,,10.9.{n // 256}.{n % 256},4028,yes,2026-01-02,,2028-01-02,,"
        for n in range(5000)
    ]
    for number, column, text in bad:
        cells = lines[number].split(",")
        cells[column] = text
        lines[number] = ",".join(cells)
    return rows(*lines).encode()


@pytest.mark.storm
def test_five_thousand_rows_with_fifty_bad_ones(operator, django_assert_max_num_queries):
    chosen = random.Random(7).sample(range(5000), 50)
    kinds = [(1, "S99"), (2, "Nowhere"), (5, "who@x"), (7, "10.1"), (10, "tomorrow")]
    bad = [(number, *kinds[index % 5]) for index, number in enumerate(chosen)]
    columns = HEADER.split(",")
    started = time.monotonic()
    with django_assert_max_num_queries(8):
        dry = plan_import(big_file(bad), by=operator)
    assert time.monotonic() - started < 10
    assert sorted((problem.row, problem.column, problem.value) for problem in dry.problems) == sorted(
        (number + 2, columns[column], text) for number, column, text in bad
    )
    assert not dry.token
    assert not Miner.objects.exists()

    content = big_file([])
    token = plan_import(content, by=operator).token
    started = time.monotonic()
    with CaptureQueriesContext(connection) as captured:
        assert commit_import(content, token, by=operator).totals["add"] == 5000
    assert time.monotonic() - started < 15
    assert len(captured) < 40
    back = export_miners(Miner.objects.all(), "csv")
    assert plan_import(back, by=operator).totals["same"] == 5000
    changed = content.replace(b"M60", b"S21")
    token = plan_import(changed, by=operator).token
    assert commit_import(changed, token, by=operator).totals["change"] == 5000
    assert OperationLog.objects.count() == 5000
    assert Miner.objects.filter(miner_model__name="S21").count() == 5000


def test_a_file_holds_at_most_what_the_manual_says():
    assert MAX_ROWS == 20_000


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.mark.storm
@pytest.mark.django_db(transaction=True)
def test_the_command_tells_commits_and_refuses(tmp_path, site):
    path = tmp_path / "machines.csv"
    command = ("import_miners", str(path), "--site", "North", "--json")
    here = {"DATABASE_URL": database_url()}
    path.write_text("serial_number,model\nC-1,M60\nC-2,S99\n")
    wrong = run_manage(*command, **here)
    document = json.loads(wrong.stdout)
    assert wrong.returncode == 1
    reason = document["problems"][0]["reason"]
    assert document["problems"] == [{"row": 3, "column": "model", "value": "S99", "reason": reason, "conflict": False}]
    path.write_text("serial_number,model\nC-1,M60\n")
    dry = json.loads(run_manage(*command, "--dry-run", **here).stdout)
    assert (dry["add"], dry["committed"], Miner.objects.count()) == (1, False, 0)
    done = run_manage(*command, "--commit", dry["token"], **here)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["committed"] is True
    assert Miner.objects.get().site == site
    again = run_manage(*command[:-1], "--commit", dry["token"], **here)
    assert again.returncode == 1
    assert "The farm has changed since the dry run" in again.stderr
