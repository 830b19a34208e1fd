"""The rules of the score, one by one, and at their edges."""

from decimal import Decimal

import pytest

from crm.scoring import BY_SOURCE, MOST, OTHER_SOURCE, points_of, score

NOTHING = {
    "wanted_kw": None,
    "source": None,
    "status": "new",
    "email": None,
    "phone": None,
    "company": None,
    "company_mail": False,
}


@pytest.mark.parametrize(
    ("known", "points"),
    [
        ({"wanted_kw": Decimal(0)}, 0),
        ({"wanted_kw": Decimal("0.001")}, 10),
        ({"wanted_kw": Decimal(199)}, 10),
        ({"wanted_kw": Decimal(200)}, 20),
        ({"wanted_kw": Decimal(999)}, 20),
        ({"wanted_kw": Decimal(1000)}, 30),
        ({"wanted_kw": Decimal(4999)}, 30),
        ({"wanted_kw": Decimal(5000)}, 40),
        ({"source": "a friend of a friend"}, OTHER_SOURCE),
        ({"source": "cold_call"}, 0),
        ({"source": ""}, 0),
        ({"status": "contacted"}, 5),
        ({"status": "qualified"}, 15),
        ({"status": "lost"}, 0),
        ({"email": "a@b.example"}, 5),
        ({"phone": "5125550100"}, 5),
        ({"company": "Miners"}, 5),
        ({"company_mail": True}, 5),
    ],
)
def test_one_rule_at_a_time(known, points):
    assert score(points_of(**NOTHING | known)) == points


def test_a_rule_that_gives_nothing_is_not_named():
    assert points_of(**NOTHING) == []
    assert [one.why for one in points_of(**NOTHING | {"wanted_kw": Decimal(1500)})] == ["wants 1,500 kW"]


def test_all_at_their_best_are_a_hundred():
    best = {"wanted_kw": Decimal(9000), "source": max(BY_SOURCE, key=BY_SOURCE.__getitem__), "status": "qualified"}
    assert score(points_of(**best, email="a", phone="1", company="c", company_mail=True)) == MOST
