from curtailment.admin import plans, policies, rules, settlements

__all__ = ["plans", "policies", "rules", "settlements"]
