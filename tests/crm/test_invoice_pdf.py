"""The file: what it says, that it stays the same, and what it does with names that are no plain words."""

import hashlib
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from crm.invoice_document import Printed, PrintedLine, printed
from crm.invoice_files import PdfDiffers, pdf_bytes
from crm.invoice_pdf import render
from crm.invoicing import store_pdf
from crm.payments import credit_invoice
from tests.crm.pdftext import page_count, text_of_pdf
from tests.farm import ROOT

LINES = (
    PrintedLine("Energy of 100 machines", Decimal("228144.217"), "kWh", Decimal("0.0725"), Decimal("16540.46")),
    PrintedLine("Uptime credit", Decimal(1), "", Decimal("-9.60"), Decimal("-9.60")),
)
ONE = Printed(
    number="INV-2026-00042",
    is_credit_note=False,
    reverses="",
    currency="USD",
    issue_date=date(2026, 11, 1),
    due_date=date(2026, 11, 15),
    period_start=date(2026, 10, 1),
    period_end=date(2026, 11, 1),
    bill_to={"name": "client-a", "email": "client-a@farm.example"},
    seller={
        "name": "North Hosting",
        "address": ["1 Road"],
        "tax_id": "T1",
        "bank": ["IBAN 1"],
        "terms": "Net 14 days.",
    },
    lines=LINES,
    net=Decimal("16530.86"),
    tax=Decimal("1363.80"),
    tax_pct=Decimal("8.250"),
    amount=Decimal("17894.66"),
)


def test_it_says_what_it_asks_for():
    text = text_of_pdf(render(ONE))
    for said in ("INV-2026-00042", "16,540.46", "0.0725", "228,144.217 kWh", "USD 17,894.66", "8.25 %", "IBAN 1"):
        assert said in text
    assert "2026-10-01 to 2026-10-31" in text
    assert "Net 14 days." in text
    assert "Page 1 of 1" in text


def test_markup_prints_as_text_and_opens_no_file():
    evil = "<img src='/etc/hostname'/> <b>bold</b> <font color=red> &amp; <unclosed"
    data = render(
        replace(
            ONE,
            bill_to={"name": evil, "company": evil, "address": evil, "email": "a@b.example"},
            notes=evil,
            lines=(PrintedLine(evil, Decimal(1), evil, Decimal(1), Decimal(1)),),
        )
    )
    text = text_of_pdf(data)
    assert "src='/etc/hostname'/>" in text
    assert "<b>bold</b>" in text
    assert "&amp;" in text
    assert b"/Subtype /Image" not in data


def test_letters_from_right_to_left_stand_in_the_order_of_the_eye():
    text = text_of_pdf(render(replace(ONE, bill_to={"name": "חברת כרייה", "email": "a@b.example"})))
    assert "היירכ תרבח" in text
    arabic = text_of_pdf(render(replace(ONE, bill_to={"name": "شركة", "email": "a@b.example"})))
    joined = "".join(sorted(set(arabic) & {chr(code) for code in range(0xFE70, 0xFEFD)}))
    assert len(joined) == 4  # each letter in the form that its neighbours ask for


@pytest.mark.parametrize(
    ("name", "font"),
    [
        ("四川比特矿业有限公司", b"STSong-Light"),
        ("株式会社マイニング", b"HeiseiMin-W3"),
        ("비트코인 채굴", b"HYSMyeongJo-Medium"),
    ],
)
def test_letters_of_the_east_name_a_font_that_viewers_have(name, font):
    data = render(replace(ONE, bill_to={"name": f"{name} <b> GmbH", "email": "a@b.example"}))
    assert f"{name} <b> GmbH" in text_of_pdf(data)
    assert b"/BaseFont /" + font in data
    assert b"/BaseFont /STSong" not in render(ONE)


def test_many_lines_repeat_the_head_on_every_page():
    line = PrintedLine("Machine", Decimal("2.5"), "kWh", Decimal("0.070001"), Decimal("0.17"))
    data = render(replace(ONE, lines=(line,) * 300))
    count = page_count(data)
    assert count >= 8
    text = text_of_pdf(data)
    assert text.count("Description") >= count - 1  # the last page may hold totals alone
    assert f"Page {count} of {count}" in text


@pytest.mark.parametrize(
    "name",
    [
        "W" * 3000,
        "long name " * 400,
        "\n" * 500,
        "שם " * 2000,
        "\u202eevil\u202c\x00\x07",
        "",
        "日本語 😀",
        "漢字" * 1500,
    ],
)
def test_no_name_breaks_it(name):
    data = render(
        replace(
            ONE,
            bill_to={"name": name, "company": name, "address": name, "email": name},
            notes=name,
            seller={**ONE.seller, "terms": name},
            lines=(*LINES, PrintedLine(name, Decimal(1), name[:20], Decimal(1), Decimal(1))),
        )
    )
    assert data.startswith(b"%PDF")
    assert "\u202e" not in text_of_pdf(data)


def test_days_make_a_chart_and_unknown_ones_no_bar():
    days = tuple((date(2026, 10, 1) + timedelta(days=n), None if n == 3 else Decimal(100 + n)) for n in range(31))
    text = text_of_pdf(render(replace(ONE, days=days)))
    assert "Energy per day" in text
    assert f"{sum(100 + n for n in range(31) if n != 3):,.3f} kWh in 31 days" in text
    assert "Energy per day" not in text_of_pdf(render(replace(ONE, days=((date(2026, 10, 1), None),))))


def test_the_same_values_give_the_same_bytes_in_another_process():
    here = hashlib.sha256(render(ONE)).hexdigest()
    again = hashlib.sha256(render(ONE)).hexdigest()
    script = (
        "import django, hashlib; django.setup()\n"
        "from tests.crm.test_invoice_pdf import ONE\nfrom crm.invoice_pdf import render\n"
        "print(hashlib.sha256(render(ONE)).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "minefarm.settings", "MINEFARM_NO_DATABASE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert here == again == there


def test_fifty_are_rendered_in_seconds():
    days = tuple((date(2026, 10, 1) + timedelta(days=n), Decimal(n)) for n in range(31))
    started = time.perf_counter()
    for number in range(50):
        render(replace(ONE, number=f"INV-{number}", days=days, lines=LINES * 5))
    assert time.perf_counter() - started < 15


@pytest.mark.django_db
def test_it_is_kept_once_below_a_name_of_its_own(issued, settings):
    bill = store_pdf(issued(issue_date=date(2026, 11, 1)))
    assert re.fullmatch(r"2026/[0-9a-f-]{36}\.pdf", bill.pdf_path)
    file = settings.INVOICE_DIR / bill.pdf_path
    assert hashlib.sha256(file.read_bytes()).hexdigest() == bill.pdf_sha256
    assert file.stat().st_mode & 0o777 == 0o600
    assert store_pdf(bill).pdf_path == bill.pdf_path
    assert len(list(settings.INVOICE_DIR.rglob("*.pdf"))) == 1


@pytest.mark.django_db
def test_a_missing_file_is_rendered_again_and_a_changed_one_is_not_given_out(issued, settings, caplog):
    settings.COMPANY_NAME = "Then"
    bill = store_pdf(issued())
    file = settings.INVOICE_DIR / bill.pdf_path
    before = file.read_bytes()
    settings.COMPANY_NAME = "Renamed since"
    file.unlink()
    assert pdf_bytes(bill) == before == file.read_bytes()
    file.write_bytes(before.replace(b"%PDF-1.", b"%PDF-2."))
    with pytest.raises(PdfDiffers, match="backup"):
        pdf_bytes(bill)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/etc/passwd", "../x.pdf", "2026/../../x.pdf", "2026/x.pdf"])
def test_a_path_that_is_none_of_ours_is_not_opened(issued, path):
    from crm.models import Invoice

    bill = issued()
    Invoice.objects.filter(pk=bill.pk).update(pdf_path=path, pdf_sha256="x")
    with pytest.raises(PdfDiffers, match="no path"):
        pdf_bytes(bill)


@pytest.mark.django_db
def test_a_link_in_the_place_of_the_file_is_not_followed(issued, settings, tmp_path):
    bill = store_pdf(issued())
    file = settings.INVOICE_DIR / bill.pdf_path
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        pdf_bytes(bill)


@pytest.mark.django_db
def test_the_logo_of_that_day_stays_on_it(issued, settings, tmp_path):
    from PIL import Image

    logo = tmp_path / "logo.png"
    Image.new("RGB", (80, 40), "navy").save(logo)
    settings.COMPANY_LOGO = str(logo)
    bill = store_pdf(issued())
    data = pdf_bytes(bill)
    assert b"/Subtype /Image" in data
    logo.unlink()
    (settings.INVOICE_DIR / bill.pdf_path).unlink()
    assert pdf_bytes(bill) == data


@pytest.mark.django_db
def test_a_logo_that_cannot_be_drawn_is_left_out(issued, settings, tmp_path, caplog):
    """It would stand in the invoice's hash, and no PDF could ever be made of it."""
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    settings.COMPANY_LOGO = str(logo)
    bill = store_pdf(issued())
    assert bill.seller["logo"] == ""
    assert bill.pdf_sha256
    assert "is no PNG or JPEG" in caplog.text


@pytest.mark.django_db
def test_names_taller_than_a_page_are_cut(issued):
    bill = issued()
    tall = "\n".join(["W" * 300] * 8)
    page = printed(bill)
    party = {"company": tall, "name": tall, "address": tall, "tax_id": tall, "email": "a@b.example"}
    text = text_of_pdf(
        render(replace(page, bill_to=party, seller={**page.seller, "name": tall, "address": [tall] * 60}))
    )
    assert "a@b.example" in text
    assert "WWW…" in text


@pytest.mark.django_db
def test_a_credit_note_names_its_invoice_and_asks_for_nothing(issued, admin):
    bill = issued()
    note = credit_invoice(bill, reason="wrong <month>", by=admin)
    text = text_of_pdf(render(printed(note)))
    assert "CREDIT NOTE" in text
    assert bill.invoice_number in text
    assert "wrong <month>" in text
    assert "Please pay" not in text
