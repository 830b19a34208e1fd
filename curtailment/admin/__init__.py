from curtailment.admin import plans, policies, settlements

__all__ = ["plans", "policies", "settlements"]
