"""A chart as a file: CSV, or Parquet where the optional package pyarrow is installed."""

import csv
import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from accounts.models import User
from hosting.models import Miner, Site
from hosting.telemetry import series
from hosting.telemetry.tiers import Grid


class Sink(Protocol):
    """A text file, or Django's response."""

    def write(self, text: str, /) -> object: ...


COLUMNS = ("starts_at", "hashrate_ths", "power_kw", "temperature_c")


class ParquetMissing(Exception):
    """The package that writes Parquet is not installed."""


def chart_between(of: Site | Miner | User, start: datetime, end: datetime) -> series.Chart:
    """The range in at most 500 points, from the tier that fits it."""
    grid = Grid.between(start, end)
    if isinstance(of, Site):
        return series.site_chart(of.pk, grid)
    if isinstance(of, Miner):
        return series.miner_chart(of.pk, grid)
    return series.client_chart(of.pk, grid)


def rows_of(chart: series.Chart) -> list[tuple[datetime, float | None, float | None, float | None]]:
    moments = (datetime.fromtimestamp(t, UTC) for t in chart.t)
    return list(zip(moments, chart.hashrate_ths, chart.power_kw, chart.temperature_c, strict=True))


def write_csv(chart: series.Chart, target: Sink) -> None:
    """What is unknown is an empty field; times are ISO 8601 in UTC."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    for moment, *values in rows_of(chart):
        writer.writerow([moment.isoformat().replace("+00:00", "Z"), *("" if v is None else v for v in values)])


def write_parquet(chart: series.Chart, path: Path) -> None:
    """Raises ParquetMissing without the package pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ParquetMissing("Parquet needs the optional package pyarrow: install it, or export CSV.")
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    columns = list(zip(*rows_of(chart), strict=True))
    types = (pyarrow.timestamp("s", tz="UTC"), *[pyarrow.float64()] * 3)
    arrays = [pyarrow.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
    parquet.write_table(pyarrow.table(dict(zip(COLUMNS, arrays, strict=True))), path)
