from curtailment.models.plans import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.models.policies import MinerTier, SitePolicy
from curtailment.models.trail import PlanEvent

__all__ = ["CurtailmentPlan", "MinerTier", "PlanApproval", "PlanEvent", "PlanMiner", "SitePolicy"]
