"""The model catalogue: what the makers promise. Pure; the database gets it by migration."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: nameplate hashrate in TH/s and wall power in W."""

    name: str
    manufacturer: str
    hashrate_ths: Decimal
    power_w: Decimal
    release_date: date | None = None

    @property
    def efficiency_j_th(self) -> Decimal:
        return round(self.power_w / self.hashrate_ths, 4)


def _spec(manufacturer: str, name: str, ths: int, watts: int) -> ModelSpec:
    return ModelSpec(name, manufacturer, Decimal(ths), Decimal(watts))


CATALOGUE: tuple[ModelSpec, ...] = (
    _spec("Bitmain", "S19", 95, 3250),
    _spec("Bitmain", "S19j Pro", 104, 3068),
    _spec("Bitmain", "S19 Pro", 110, 3250),
    _spec("Bitmain", "S19k Pro", 120, 2760),
    _spec("Bitmain", "S19 XP", 140, 3010),
    _spec("Bitmain", "S21", 200, 3500),
    _spec("Bitmain", "T21", 190, 3610),
    _spec("Bitmain", "S21 Pro", 234, 3510),
    _spec("Bitmain", "S21 XP", 270, 3645),
    _spec("MicroBT", "M20S", 68, 3360),
    _spec("MicroBT", "M30S++", 112, 3472),
    _spec("MicroBT", "M50", 114, 3306),
    _spec("MicroBT", "M50S", 126, 3276),
    _spec("MicroBT", "M60", 172, 3422),
    _spec("MicroBT", "M60S", 186, 3441),
    _spec("Canaan", "A1246", 90, 3420),
    _spec("Canaan", "A1366", 130, 3250),
    _spec("Canaan", "A1466", 150, 3230),
    _spec("Canaan", "A1566", 185, 3420),
)


def find_model(reported: str) -> ModelSpec | None:
    """The longest catalogue name that the reported text contains as words, whatever its case."""
    text = f" {reported.upper().replace('_', ' ')} "
    found = [spec for spec in CATALOGUE if f" {spec.name.upper()} " in text]
    return max(found, key=lambda spec: len(spec.name), default=None)
