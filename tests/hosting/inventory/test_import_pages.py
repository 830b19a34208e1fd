"""The admin's pages of import and export: doors to the same dry run and commit."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from hosting.models import Miner
from tests.hosting.admin.conftest import MINERS, text_of
from tests.hosting.inventory.conftest import HEADER, rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def farm(site, catalogue):
    """What the files name."""


@pytest.fixture
def upload(desk):
    """Send a file to the import page; returns the page of the dry run."""

    def send(content, name="miners.csv", **form):
        data = content.encode() if isinstance(content, str) else content
        return desk.post(f"{MINERS}import/", {"file": SimpleUploadedFile(name, data), **form})

    return send


@pytest.fixture
def commit(desk):
    """Press Commit on the page of a dry run."""

    def send(page, **form):
        posted = {"upload": page.context["upload"], "token": page.context["plan"].token, **form}
        return desk.post(f"{MINERS}import/commit/", posted, follow=True)

    return send


def said(page):
    return [str(message) for message in page.context["messages"]]


def test_a_file_is_looked_at_and_then_committed(upload, commit, make_miner):
    make_miner("A-1")
    page = upload(rows("A-1,S21,North", "C-1,M60,North", "C-2,M60,North,,,,,,,,,,,Händler"))
    text = text_of(page)
    assert "2 to add, 1 to change, 0 to move, 0 unchanged. Nothing is written yet." in text
    assert "model S19 Pro → S21" in text
    assert Miner.objects.count() == 1
    assert said(commit(page)) == ["Imported: 2 added, 1 changed, 0 moved, 0 unchanged."]
    assert Miner.objects.count() == 3
    assert said(commit(page)) == [
        "Nothing was imported: this dry run was used or has expired. Choose the file again.",
    ]


def test_wrong_rows_are_shown_and_there_is_nothing_to_commit(upload, desk):
    page = upload(rows("C-1,M60,North", "C-2,S99,North"))
    text = text_of(page)
    assert "1 of 2 rows cannot be taken" in text
    assert "3 model S99 There is no miner model &#x27;S99&#x27;." in text
    assert ">Commit<" not in page.text.replace("\n", "").replace("  ", "")
    assert not Miner.objects.exists()


def test_a_commit_after_a_change_shows_a_new_dry_run(upload, commit, make_miner):
    make_miner("A-1")
    page = upload(rows("A-1,S21,North", "C-1,M60,North"))
    make_miner("C-1")
    again = commit(page)
    assert "The farm has changed since the dry run" in said(again)[0]
    assert "0 to add, 2 to change" in text_of(again)
    assert Miner.objects.filter(miner_model__name="S21").count() == 0
    assert said(commit(again)) == ["Imported: 0 added, 2 changed, 0 moved, 0 unchanged."]


def test_somebody_elses_upload_is_not_there(upload, client, owner):
    page = upload(rows("C-1,M60,North"))
    client.force_login(owner)
    form = {"upload": page.context["upload"], "token": page.context["plan"].token}
    answer = client.post(f"{MINERS}import/commit/", form, follow=True)
    assert "has expired" in said(answer)[0]
    assert not Miner.objects.exists()


def test_a_file_that_cannot_be_read_is_refused_beside_the_field(upload):
    assert "Unknown column" in text_of(upload("serial_number,colour\nA,red\n"))
    assert "This workbook cannot be read." in text_of(upload(b"PK nonsense", "miners.xlsx"))


def test_markup_in_a_file_is_text(upload):
    page = upload(rows("<img src=x onerror=alert(1)>,M60,North", "C-2,<b>x</b>,North"))
    assert "<img src=x" not in page.text
    assert "<b>x</b>" not in page.text


def test_an_export_holds_what_the_filter_shows(desk, make_miner):
    for serial in ("A-1", "A-2", "=1+1"):
        make_miner(serial)
    everything = desk.get(f"{MINERS}export/")
    assert everything["Content-Disposition"].startswith('attachment; filename="miners-')
    assert everything.content.decode("utf-8-sig").splitlines()[:2] == [
        HEADER,
        "'=1+1,S19 Pro,North,,,,active,,4028,no,,,,,",
    ]
    found = desk.get(f"{MINERS}export/", {"q": "A-1"}).content.decode("utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in found] == ["serial_number", "A-1"]
    assert desk.get(f"{MINERS}export/", {"as": "xlsx"}).content.startswith(b"PK")
    assert "Export XLSX" in desk.get(MINERS).text


@pytest.mark.parametrize("role", ["client_a", "guest"])
def test_customers_neither_import_nor_export(client, role, request):
    client.force_login(request.getfixturevalue(role))
    for page in ("import/", "export/", "import/commit/"):
        assert client.get(f"{MINERS}{page}").status_code in {302, 403}


def test_people_limited_to_sites_do_not_import(desk, operator, site):
    operator.site_limits.create(site_id=site.pk)
    assert desk.get(f"{MINERS}import/").status_code == 403
    assert desk.post(f"{MINERS}import/commit/").status_code == 403
    assert "Import</" not in desk.get(MINERS).text
