from curtailment.models.plans import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.models.policies import MinerTier, SitePolicy

__all__ = ["CurtailmentPlan", "MinerTier", "PlanApproval", "PlanMiner", "SitePolicy"]
