"""Tables, columns and index names of the farm's database specification, as far as they are built."""

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db

COLUMNS = {
    "users": "id email password_hash role name role_id status created_at updated_at",
    "user_access": "id user_id access_start_date access_end_date granted_by created_at",
    "login_records": "id email success login_time ip_address location",
    "hosting_sites": "id name location capacity_mw total_miners active_miners created_at",
    "miner_models": "id name manufacturer hashrate power_consumption efficiency release_date msrp",
    "hosting_miners": "id serial_number miner_model_id site_id status cgminer_ip cgminer_port cgminer_enabled client_id"
    " purchase_date warranty_expiry created_at updated_at",
    "miner_telemetry": "miner_id hashrate temperature power_consumption fan_speed recorded_at",
    "miner_operation_log": "id miner_id operation performed_by details timestamp",
    "market_analytics": "id btc_price network_hashrate network_difficulty block_reward volume_24h created_at",
    "technical_indicators": "id analytics_id rsi macd macd_signal macd_histogram bb_upper bb_middle bb_lower ema_12 ema_26 signal"
    " created_at",
    "curtailment_plans": "id site_id plan_type target_power_reduction status scheduled_time executed_at recovery_time"
    " miners_affected power_reduced created_by created_at",
    "curtailment_plan_miners": "id plan_id miner_id shutdown_order",
    "crm_leads": "id name email phone company status source score owner_id created_at updated_at",
    "crm_deals": "id lead_id title value stage probability expected_close_date owner_id created_at closed_at",
    "crm_invoices": "id deal_id invoice_number amount status issue_date due_date paid_date pdf_path",
    "crm_activities": "id",
    "scheduler_locks": "lock_key process_id hostname acquired_at expires_at last_heartbeat lock_version",
    "outbox_events": "id event_type payload status created_at processed_at",
}
INDEXES = (
    "idx_users_email idx_users_role idx_hosting_sites_name idx_miner_models_name idx_hosting_miners_serial"
    " idx_hosting_miners_site idx_hosting_miners_status idx_hosting_miners_client idx_telemetry_recorded"
    " idx_user_access_user idx_user_access_dates idx_operation_log_miner idx_operation_log_time idx_outbox_status idx_outbox_type"
    " idx_market_analytics_time idx_curtailment_site idx_curtailment_status idx_curtailment_scheduled"
)


def fetch(query: str) -> set[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return set(cursor.fetchall())


def test_every_specified_column_is_there():
    found = fetch("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
    wanted = {(table, column) for table, columns in COLUMNS.items() for column in columns.split()}
    assert wanted - found == set()


def test_every_specified_index_keeps_its_name():
    found = {name for (name,) in fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")}
    assert set(INDEXES.split()) - found == set()


def test_telemetry_is_partitioned_by_time_with_the_time_first_in_its_key():
    (key,) = fetch("SELECT pg_get_partkeydef('miner_telemetry'::regclass)")
    assert key == ("RANGE (recorded_at)",)
    (index,) = fetch("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_telemetry_recorded'")
    assert "(recorded_at, miner_id)" in index[0]


def test_defaults_are_the_specifications():
    found = dict(
        fetch(
            "SELECT table_name || '.' || column_name, column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_default IS NOT NULL"
        )
    )
    assert "'user'" in found["users.role"]
    assert "'ACTIVE'" in found["users.status"]
    assert "'active'" in found["hosting_miners.status"]
    assert "4028" in found["hosting_miners.cgminer_port"]
    assert "false" in found["hosting_miners.cgminer_enabled"]
    assert "'pending'" in found["outbox_events.status"]
    assert "1" in found["scheduler_locks.lock_version"]
    assert "'pending'" in found["curtailment_plans.status"]
    assert "'new'" in found["crm_leads.status"]
    assert "'discovery'" in found["crm_deals.stage"]
    assert "'draft'" in found["crm_invoices.status"]
    for column in ("hosting_sites.total_miners", "hosting_sites.active_miners"):
        assert "0" in found[column]
