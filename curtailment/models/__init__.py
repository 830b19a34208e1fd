from curtailment.models.plans import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.models.policies import MinerTier, SitePolicy
from curtailment.models.rules import CurtailmentRule, RuleKind, Signal, SignalSource
from curtailment.models.settlements import Settlement, SettlementClient, SettlementInterval, SettlementMiner
from curtailment.models.trail import PlanEvent

__all__ = [
    "CurtailmentPlan",
    "CurtailmentRule",
    "MinerTier",
    "PlanApproval",
    "PlanEvent",
    "PlanMiner",
    "RuleKind",
    "Settlement",
    "SettlementClient",
    "SettlementInterval",
    "SettlementMiner",
    "Signal",
    "SignalSource",
    "SitePolicy",
]
