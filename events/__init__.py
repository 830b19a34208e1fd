"""Who may run a job (scheduler locks) and what happened (transactional outbox)."""
