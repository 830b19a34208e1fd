"""Simulated miners that speak the real protocols over real TCP, on loopback only."""

from hosting.cgminer.simulator.farm import SimulatedFarm
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner
from hosting.cgminer.simulator.plan import (
    FAULTS,
    MAKERS,
    MIXED,
    FarmPlan,
    addresses,
    build_farm,
    parse_fault,
    parse_make,
)

__all__ = [
    "FAULTS",
    "MAKERS",
    "MIXED",
    "FarmPlan",
    "Phase",
    "SimulatedFarm",
    "SimulatedMiner",
    "addresses",
    "build_farm",
    "parse_fault",
    "parse_make",
]
