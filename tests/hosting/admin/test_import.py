"""Machines come and go as spreadsheets: previewed, then all of the file or nothing."""

import io
from datetime import date

import openpyxl
import pytest

from accounts.models import User
from hosting.models import Miner, OperationLog
from tests.hosting.admin.conftest import MINERS, problems, text_of

pytestmark = pytest.mark.django_db

HEADER = "serial_number,model,site,client,status,cgminer_ip,cgminer_port,cgminer_enabled,purchase_date,warranty_expiry"


@pytest.fixture(autouse=True)
def farm(site, catalogue, client_a, client_b):
    """What the files of these tests refer to by name."""


def rows(*lines, header=HEADER):
    return "\n".join([header, *lines]) + "\n"


def exported(desk, file_format):
    return desk.post(f"{MINERS}export/", {"format": file_format, "resource": "0"})


def test_a_preview_tells_what_would_happen_and_writes_nothing(upload, miner_a, miner_b):
    same = "B-0001,S19 Pro,North,client-b@farm.example,active,127.20.0.2,4028,yes,,"
    preview = upload(
        rows("A-0001,S21,North,client-a@farm.example,,127.20.0.1,4028,yes,,", "C-1,M60,North,,,,,no,,", same)
    )
    text = text_of(preview)
    assert "1 to add, 1 to change, 1 unchanged. Nothing is written yet." in text
    assert "B-0001" not in text
    assert sorted(Miner.objects.values_list("serial_number", "miner_model__name")) == [
        ("A-0001", "S19 Pro"),
        ("B-0001", "S19 Pro"),
    ]
    assert not OperationLog.objects.exists()


def test_a_confirmed_file_is_written_by_names_and_leaves_lines(upload, confirm, operator, miner_a, client_b):
    site = miner_a.site
    preview = upload(
        rows(
            "A-0001,s21,north,CLIENT-B@farm.example,active,127.20.0.1,4028,yes,2026-01-31,",
            "C-1,M60,North,,maintenance,127.20.0.3,4029,yes,,2029-12-31",
        )
    )
    assert confirm(preview) == ["Imported: 1 added, 1 changed, 0 unchanged."]
    miner_a.refresh_from_db()
    assert (miner_a.miner_model.name, miner_a.client, miner_a.purchase_date) == ("S21", client_b, date(2026, 1, 31))
    added = Miner.objects.get(serial_number="C-1")
    assert (added.status, added.address, added.cgminer_enabled, added.warranty_expiry, added.client) == (
        "maintenance",
        "127.20.0.3:4029",
        True,
        date(2029, 12, 31),
        None,
    )
    line = OperationLog.objects.get()
    assert (line.miner, line.operation, line.performed_by) == (miner_a, "changed", operator)
    assert line.details == (
        "import: model S19 Pro → S21, client client-a@farm.example → client-b@farm.example, purchase_date empty → 2026-01-31"
    )
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (2, 1)


def test_a_column_that_is_left_out_is_left_alone_and_an_empty_cell_clears(upload, confirm, miner_a):
    confirm(upload(rows("A-0001,", header="serial_number,client")))
    miner_a.refresh_from_db()
    assert (miner_a.client, miner_a.cgminer_ip, miner_a.cgminer_enabled) == (None, "127.20.0.1", True)


def test_every_wrong_cell_is_named_by_line_and_column_and_nothing_is_written(upload, client_a):
    preview = upload(
        rows(
            "C-1,S19 Prp,North,,,,,,,",
            "C-2,M60,Nowhere,nobody@farm.example,,,,,,",
            "C-3,M60,North,,asleep,300.1.1.1,99999,perhaps,31.12.2026,",
            ",M60,North,,,,,,,",
            "C-4,M60,North,,,,,yes,,",
            "C-5,M60,North,,curtailed,,,,,",
        )
    )
    assert problems(preview) == [
        (2, "model", "There is no miner model 'S19 Prp'. Did you mean 'S19 Pro'?"),
        (3, "site", "There is no site 'Nowhere'."),
        (3, "client", "There is no client 'nobody@farm.example'. Did you mean 'client-b@farm.example'?"),
        (4, "status", "'asleep' is no status: use one of active, offline, maintenance, curtailed."),
        (4, "cgminer_ip", "'300.1.1.1' is no IP address."),
        (4, "cgminer_port", "'99999' is no TCP port: use 1 to 65535."),
        (4, "cgminer_enabled", "'perhaps' is neither yes nor no."),
        (4, "purchase_date", "'31.12.2026' is no date: write it as 2026-11-23."),
        (5, "serial_number", "Enter the serial number."),
        (6, "cgminer_ip", "Enter the machine's IP address, or switch reading off."),
        (7, "status", "Only a curtailment plan makes a machine curtailed."),
    ]
    assert "confirm_form" not in preview.context
    assert "6 lines cannot be imported, so nothing was." in text_of(preview)
    assert not Miner.objects.exists()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("serial,model", "The first line must name the columns, serial_number among them."),
        ("serial_number,modell", "Known are: serial_number, model, site, client, status, cgminer_ip"),
        ("serial_number,site,site", "The column site is there twice."),
    ],
)
def test_a_file_with_wrong_columns_is_refused_as_a_whole(upload, header, told):
    preview = upload(rows("C-1,M60", header=header))
    assert told in text_of(preview)
    assert "Traceback" not in preview.text
    assert not Miner.objects.exists()


def test_a_serial_or_an_address_that_is_there_twice_is_refused_by_line(upload, miner_a):
    preview = upload(
        rows(
            "C-1,M60,North,,,127.20.0.50,4028,yes,,",
            "C-1,M60,North,,,127.20.0.51,4028,yes,,",
            "C-2,M60,North,,,127.20.0.50,4028,yes,,",
            "C-3,M60,North,,,127.20.0.1,4028,yes,,",
        )
    )
    assert problems(preview) == [
        (3, "serial_number", "C-1 is on line 2 already."),
        (4, "cgminer_ip", "C-1 has 127.20.0.50:4028 at this site."),
        (5, "cgminer_ip", "A-0001 has 127.20.0.1:4028 at this site."),
    ]


def test_two_machines_swap_their_addresses_in_one_file(upload, confirm, miner_a, miner_b):
    header = "serial_number,cgminer_ip"
    messages = confirm(upload(rows("A-0001,127.20.0.2", "B-0001,127.20.0.1", header=header)))
    assert messages == ["Imported: 0 added, 2 changed, 0 unchanged."]
    assert list(Miner.objects.values_list("serial_number", "cgminer_ip")) == [
        ("A-0001", "127.20.0.2"),
        ("B-0001", "127.20.0.1"),
    ]


def test_a_status_moves_only_as_people_may_move_it(upload, confirm, operator, make_miner):
    up, resting = make_miner("M-1"), make_miner("M-2", status="maintenance")
    messages = confirm(upload(rows("M-1,maintenance", "M-2,active", header="serial_number,status")))
    assert messages == ["Imported: 0 added, 2 changed, 0 unchanged."]
    assert list(Miner.objects.values_list("status", flat=True)) == ["maintenance", "active"]
    assert [(entry.miner, entry.operation, entry.details) for entry in OperationLog.objects.order_by("miner")] == [
        (up, "maintenance", "import"),
        (resting, "activate", "import"),
    ]


def test_a_curtailed_machine_stays_curtailed_and_the_row_says_why(upload, make_miner):
    make_miner("M-1", status="curtailed")
    preview = upload(rows("M-1,active", header="serial_number,status"))
    assert problems(preview) == [
        (2, "status", "The machine is curtailed; an import cannot make it active. Leave the cell empty to keep it.")
    ]
    assert Miner.objects.get().status == "curtailed"


def test_what_the_collector_found_out_since_the_export_stays(upload, confirm, make_miner):
    make_miner("M-1", status="offline")
    confirm(upload(rows("M-1,active,127.20.0.9", header="serial_number,status,cgminer_ip")))
    miner = Miner.objects.get()
    assert (miner.status, miner.cgminer_ip) == ("offline", "127.20.0.9")


def test_nothing_is_written_when_the_farm_changed_between_preview_and_confirmation(upload, confirm, make_miner):
    preview = upload(rows("C-1,M60,North,,,127.20.0.60,,yes,,", "C-2,M60,North,,,127.20.0.61,,yes,,"))
    make_miner("X-1", cgminer_ip="127.20.0.61")
    assert confirm(preview) == [
        "Nothing was imported: line 3, cgminer_ip: X-1 has 127.20.0.61:4028 at this site. Preview the file again."
    ]
    assert list(Miner.objects.values_list("serial_number", flat=True)) == ["X-1"]


def test_a_preview_is_confirmed_once(upload, confirm):
    preview = upload(rows("C-1,M60,North,,,,,,,"))
    assert confirm(preview) == ["Imported: 1 added, 0 changed, 0 unchanged."]
    again = "Nothing was imported: this preview was used or has expired. Choose the file again."
    assert confirm(preview) == [again]


def test_the_name_of_a_previewed_file_reads_no_file_of_the_server(desk, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text(rows("C-9,M60,North,,,,,,,"))
    form = {"import_file_name": str(secret), "original_file_name": "x.csv", "format": "0", "resource": "0"}
    response = desk.post(f"{MINERS}process_import/", form, follow=True)
    assert "this preview was used or has expired" in text_of(response)
    assert not Miner.objects.exists()


def test_a_workbook_with_numbers_and_dates_is_read(upload, confirm):
    book = openpyxl.Workbook()
    book.active.append(
        ["Serial Number", "Model", "Site", "cgminer_ip", "cgminer_port", "cgminer_enabled", "purchase_date"]
    )
    book.active.append([471100, "M60", "North", "127.20.0.7", 4028, True, date(2026, 3, 1)])
    book.active.append([None] * 7)
    stream = io.BytesIO()
    book.save(stream)
    assert confirm(upload(stream.getvalue(), "miners.xlsx")) == ["Imported: 1 added, 0 changed, 0 unchanged."]
    miner = Miner.objects.get()
    assert (miner.serial_number, miner.cgminer_port, miner.cgminer_enabled) == ("471100", 4028, True)
    assert miner.purchase_date == date(2026, 3, 1)


def test_semicolons_and_a_byte_order_mark_are_read(upload, confirm):
    content = "\ufeffserial_number;model;site\r\nC-1;M60;North\r\n"
    assert confirm(upload(content)) == ["Imported: 1 added, 0 changed, 0 unchanged."]


def test_a_file_that_is_no_spreadsheet_is_refused_with_a_reason(upload):
    assert "Ensure you have chosen the correct format" in text_of(upload(b"\xff\xfe\x00", "miners.csv"))
    assert "Ensure you have chosen the correct format" in text_of(upload(b"PK nonsense", "miners.xlsx"))


@pytest.mark.parametrize("name", ["miners.csv", "miners.xlsx"])
def test_what_is_exported_comes_back_unchanged(desk, upload, name, miner_a, make_miner):
    make_miner("=1+1", site=None, miner_model=None)
    User.objects.filter(pk=miner_a.client_id).update(email="+tag@farm.example")
    response = exported(desk, "1" if name.endswith("xlsx") else "0")
    totals = upload(response.content, name).context["result"].totals
    assert (totals["skip"], totals["new"], totals["update"], totals["invalid"]) == (2, 0, 0, 0)


def test_an_export_holds_no_formula(desk, make_miner, client_a):
    make_miner("=HYPERLINK(1)")
    User.objects.filter(pk=client_a.pk).update(email="@SUM(1)")
    make_miner("M-1", client=client_a)
    content = exported(desk, "0").content.decode()
    assert content.splitlines() == [
        HEADER,
        "'=HYPERLINK(1),S19 Pro,North,,active,,4028,no,,",
        "M-1,S19 Pro,North,'@SUM(1),active,,4028,no,,",
    ]


def test_an_export_holds_what_the_filter_shows(desk, miner_a, miner_b):
    response = desk.post(f"{MINERS}export/?q=A-0001", {"format": "0", "resource": "0"})
    assert [line.split(",")[0] for line in response.content.decode().splitlines()] == ["serial_number", "A-0001"]


@pytest.mark.parametrize("role", ["client_a", "guest"])
def test_customers_neither_import_nor_export(client, role, request):
    client.force_login(request.getfixturevalue(role))
    for page in ("import/", "export/", "process_import/"):
        assert client.get(f"{MINERS}{page}").status_code in {302, 405}


def test_a_thousand_machines_cost_few_queries_and_a_page_that_a_browser_can_show(
    upload, confirm, site, django_assert_max_num_queries
):
    lines = [f"C-{n:04},M60,North,,,127.30.{n // 250}.{n % 250},4028,yes,," for n in range(1000)]
    with django_assert_max_num_queries(40):
        preview = upload(rows(*lines))
    assert len(preview.content) < 1_000_000
    assert "And 800 more." in text_of(preview)
    with django_assert_max_num_queries(40):
        assert confirm(preview) == ["Imported: 1000 added, 0 changed, 0 unchanged."]
    moved = [line.replace("M60", "S21") for line in lines]
    with django_assert_max_num_queries(80):
        assert confirm(upload(rows(*moved))) == ["Imported: 0 added, 1000 changed, 0 unchanged."]
    assert Miner.objects.filter(miner_model__name="S21").count() == 1000
    site.refresh_from_db()
    assert site.total_miners == 1000
