"""How promising a lead is, 0 to 100, by rules that anybody can read; pure."""

from dataclasses import dataclass
from decimal import Decimal

MOST = 100
BY_SIZE = ((Decimal(5000), 40), (Decimal(1000), 30), (Decimal(200), 20), (Decimal(0), 10))  # from so many kW on
BY_SOURCE = {"referral": 25, "partner": 20, "event": 15, "website": 10, "cold_call": 0}
OTHER_SOURCE = 5
BY_STATUS = {"contacted": 5, "qualified": 15, "converted": 15}


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one rule, and for what."""

    points: int
    why: str


def points_of(
    *,
    wanted_kw: Decimal | None,
    source: str | None,
    status: str,
    email: str | None,
    phone: str | None,
    company: str | None,
    company_mail: bool,
) -> list[Points]:
    """Every rule that gave something; together they are the score."""
    size = next((given for least, given in BY_SIZE if wanted_kw and wanted_kw >= least), 0)
    found = (
        Points(size, f"wants {wanted_kw:,.0f} kW" if wanted_kw is not None else ""),
        Points(BY_SOURCE.get(source, OTHER_SOURCE) if source else 0, f"came by {(source or '').replace('_', ' ')}"),
        Points(BY_STATUS.get(status, 0), f"is {status}"),
        Points(5 if email else 0, "gave an e-mail address"),
        Points(5 if phone else 0, "gave a telephone number"),
        Points(5 if company else 0, "named a company"),
        Points(5 if company_mail else 0, "writes from a company's address"),
    )
    return [one for one in found if one.points]


def score(points: list[Points]) -> int:
    return min(MOST, sum(one.points for one in points))
