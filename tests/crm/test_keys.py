"""Two ways of writing the same, and ways of writing something else."""

import pytest

from crm.keys import company_key, email_key, phone_key


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (" Sales@Example.COM ", "sales@example.com"),
        ("sales+north@example.com", "sales+north@example.com"),
        ("sales", None),
        ("@example.com", None),
        ("sales@localhost", None),
        ("", None),
        (None, None),
    ],
)
def test_addresses(given, key):
    assert email_key(given) == key


@pytest.mark.parametrize(
    "given",
    [
        "+49 (0)30 1234 5678",
        "0049-30-12345678",
        "030/12345678",
        "+4930 12345678 ext. 9",
        "030 12345678 EXT 9",
        "30 12345678",
    ],
)
def test_one_telephone_written_in_five_ways(given):
    assert phone_key(given) == phone_key("+493012345678")


def test_few_digits_are_no_number():
    assert phone_key("112") is None
    assert phone_key(None) is None


@pytest.mark.parametrize(
    "given", ["Müller Mining GmbH", "MULLER  MINING", "Muller-Mining, Ltd.", "müller mining G.m.b.H."]
)
def test_one_company_written_in_four_ways(given):
    assert company_key(given) == "mullermining"


def test_without_a_name_the_address_tells_the_company_unless_it_is_everybodys():
    assert company_key("", "sales@hash.example.com") == company_key(None, "info@example.com") == "example"
    assert company_key(None, "somebody@gmail.com") is None
    assert company_key(None, None) is None
    assert company_key("AG", None) == "ag"


@pytest.mark.parametrize(
    "address", ["info@mining.co.uk", "info@eu.mining.co.uk", "info@mining.com.au", "info@mining.co"]
)
def test_a_countrys_own_companies_are_not_all_the_same(address):
    assert company_key(None, address) == "mining"
