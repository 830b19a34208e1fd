from curtailment.models.plans import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.models.policies import MinerTier, SitePolicy
from curtailment.models.settlements import Settlement, SettlementClient, SettlementInterval, SettlementMiner
from curtailment.models.trail import PlanEvent

__all__ = [
    "CurtailmentPlan",
    "MinerTier",
    "PlanApproval",
    "PlanEvent",
    "PlanMiner",
    "Settlement",
    "SettlementClient",
    "SettlementInterval",
    "SettlementMiner",
    "SitePolicy",
]
