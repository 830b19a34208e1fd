"""The model catalogue: what the makers promise. Pure; the database gets it by migration."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache


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


# What may follow a name and makes it another model: "S19 Pro" is no S19, "S19 Pro+" and "S19 Pro Hyd." are no S19 Pro.
_OTHER_MODEL = r"(?!\+|[A-Z0-9]|\s+(?:PRO|XP|HYD|IMM|PLUS|EXPERT)\b)"
_PATTERNS = [(spec, re.compile(rf"(?<![A-Z0-9]){re.escape(spec.name.upper())}{_OTHER_MODEL}")) for spec in CATALOGUE]


@lru_cache(maxsize=1024)
def find_model(reported: str) -> ModelSpec | None:
    """The catalogue's model that a machine's own name means; None for a model that is not in it.

    The longest name wins, whatever its case: "Antminer S19 Pro" is the S19 Pro, "WhatsMiner M30S++_VG40" the M30S++.
    """
    text = reported.upper().replace("_", " ")
    found = [spec for spec, pattern in _PATTERNS if pattern.search(text)]
    return max(found, key=lambda spec: len(spec.name), default=None)
