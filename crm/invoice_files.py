"""Files of issued invoices: one PDF each, made once from what is stored, in a folder that no address of the web reaches.

Paths are made here and never taken from anybody: <year>/<uuid>.pdf below INVOICE_DIR, opened without following links.
"""

import hashlib
import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from crm.invoice_document import printed
from crm.models import Invoice
from crm.states import InvoiceStatus

log = logging.getLogger(__name__)

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PDF_PATH = re.compile(rf"\d{{4}}/{UUID}\.pdf")
LOGO_PATH = re.compile(r"logos/[0-9a-f]{64}")


class PdfDiffers(Exception):
    """The file, or what is rendered in its place, is not what was issued: bring INVOICE_DIR back from a backup."""


def store_pdf(invoice: Invoice) -> Invoice:
    """Render an issued invoice and keep the file; the second call finds it and does nothing. Call it after the commit.

    Two at once render the same bytes; one of them names its file in the row, the other throws its own away.
    """
    now = Invoice.objects.select_related("reverses").get(pk=invoice.pk)
    if now.status == InvoiceStatus.DRAFT:
        raise ValueError("A draft has no file: issue it first.")
    if now.pdf_path:
        return now
    data = _rendered(now)
    assert now.issue_date is not None  # noqa: S101  a constraint of the table
    path = f"{now.issue_date.year}/{uuid4()}.pdf"
    _write(path, data)
    mine = Invoice.objects.filter(pk=now.pk, pdf_path=None).update(
        pdf_path=path, pdf_sha256=hashlib.sha256(data).hexdigest()
    )
    if not mine:
        (settings.INVOICE_DIR / path).unlink()
    return Invoice.objects.get(pk=now.pk)


def _rendered(invoice: Invoice) -> bytes:
    from crm.invoice_pdf import render  # reportlab takes an eighth of a second, which every command would wait

    return render(printed(invoice, logo=logo_of(invoice)))


def keep_pdf(invoice: Invoice) -> Invoice:
    """`store_pdf` right after an issue: the number is given, so trouble with the disk is logged, and the mail tries again."""
    try:
        return store_pdf(invoice)
    except OSError as error:
        log.error("%s was issued, its PDF was not written to INVOICE_DIR: %s", invoice, error)  # noqa: TRY400  likewise
        return invoice


def pdf_bytes(invoice: Invoice) -> bytes:
    """The file as it was issued; a missing one is rendered again. Raises PdfDiffers when that is not the same."""
    stored = store_pdf(invoice)
    assert stored.pdf_path is not None  # noqa: S101  store_pdf has seen to it
    data = _read(stored.pdf_path, PDF_PATH)
    if data is None:
        again = Invoice.objects.select_related("reverses").get(pk=stored.pk)
        data = _rendered(again)
        if hashlib.sha256(data).hexdigest() == stored.pdf_sha256:
            log.warning("The file of %s was missing and is rendered again.", stored)
            _write(stored.pdf_path, data)
    if hashlib.sha256(data).hexdigest() != stored.pdf_sha256:
        raise PdfDiffers(
            f"The PDF of {stored} is not the one that was issued: bring {stored.pdf_path} back from a backup."
        )
    return data


def keep_logo() -> str:
    """Keep a copy of COMPANY_LOGO as it is now; its path, or nothing where there is none."""
    if not settings.COMPANY_LOGO:
        return ""
    try:
        data = Path(settings.COMPANY_LOGO).read_bytes()
    except OSError as error:
        log.error("COMPANY_LOGO cannot be read, invoices go without: %s", error)  # noqa: TRY400  the reason is in the line
        return ""
    from minefarm.lib.pdf import can_be_drawn  # loaded late, as above

    path = f"logos/{hashlib.sha256(data).hexdigest()}"
    if _read(path, LOGO_PATH) is None:
        if not can_be_drawn(data):
            log.error("COMPANY_LOGO is no PNG or JPEG, invoices go without: save %s as one", settings.COMPANY_LOGO)
            return ""
        _write(path, data)
    return path


def logo_of(invoice: Invoice) -> bytes | None:
    """The logo that the invoice was issued with."""
    path = invoice.seller.get("logo", "")
    return _read(path, LOGO_PATH) if path else None


def _write(path: str, data: bytes) -> None:
    """Whole or not at all, and on the disk when this returns."""
    target = settings.INVOICE_DIR / path
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_name(f".{uuid4()}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _read(path: str, shape: re.Pattern[str]) -> bytes | None:
    """None when there is no such file. Raises PdfDiffers for a path that this module did not make."""
    if not shape.fullmatch(path):
        raise PdfDiffers(f"{path!r} is no path of an invoice's file.")
    folder_name, name = path.split("/")
    try:
        folder = os.open(settings.INVOICE_DIR / folder_name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    finally:
        os.close(folder)
    with os.fdopen(handle, "rb") as file:
        return file.read()
