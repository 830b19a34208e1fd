import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from minefarm.devstack import DevstackError, Lease, destroy, ensure_environment, lease, status
from minefarm.devstack.paths import CHECKOUT
from tests.devstack.conftest import eventually, gone, processes_of, server_pid, stop_keeper

CAP_DAC_OVERRIDE_ONLY = "0000000000000002"


def answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((parts.hostname, parts.port)) == 0


def test_a_lease_gives_both_servers_and_its_end_leaves_no_process_port_or_socket(state_dir: Path) -> None:
    with lease("test") as held:
        with psycopg.connect(held.urls.database_url) as connection:
            row = connection.execute(
                "SELECT current_user, current_database(), current_setting('TimeZone'), pg_encoding_to_char(encoding)"
                " FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row == ("minefarm", "minefarm", "UTC", "UTF8")
        with redis.Redis.from_url(held.urls.redis_url) as client:
            assert client.ping() is True
        started = processes_of(state_dir)
        assert {"postgres", "valkey-server"} <= {process.name() for process in started}
    assert eventually(lambda: gone(started))
    assert not answers(held.urls.database_url)
    assert not answers(held.urls.redis_url)
    assert [path for path in state_dir.rglob("*") if path.is_socket()] == []


def test_a_long_path_with_spaces_that_only_its_owner_may_enter_will_do(
    tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "only 'mine' \"here\"" / ("deep " * 40) / ("deeper " * 30)
    folder.mkdir(parents=True)
    (tmp_path / "only 'mine' \"here\"").chmod(0o700)
    monkeypatch.setenv("MINEFARM_STATE_DIR", str(folder))
    with lease("test") as held:
        assert answers(held.urls.database_url)
        assert answers(held.urls.redis_url)
        status_lines = Path(f"/proc/{server_pid('test', 'postgres')}/status").read_text().splitlines()
        account, effective = (line.split()[1] for line in status_lines if line.startswith(("Uid:", "CapEff:")))
        assert account != "0"
        if os.geteuid() == 0:
            assert effective == CAP_DAC_OVERRIDE_ONLY
    assert destroy("test") is True


def test_secrets_are_the_owners_alone_and_without_them_nobody_gets_in(state_dir: Path) -> None:
    with lease("test") as held:
        home = state_dir / "test"
        assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
        secrets = [urlsplit(url).password for url in (held.urls.database_url, held.urls.redis_url)]
        assert len(set(secrets)) == 2
        command_lines = " ".join(" ".join(process.cmdline()) for process in processes_of(state_dir))
        assert not any(secret in command_lines for secret in secrets)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(held.urls.database_url.replace(secrets[0], "guessed"))
        parts = urlsplit(held.urls.redis_url)
        with socket.create_connection((parts.hostname, parts.port)) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"-NOAUTH Authentication required.\r\n"


def test_two_checkouts_run_side_by_side_and_never_meet(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease("test", servers=["valkey"]) as ours, redis.Redis.from_url(ours.urls.redis_url) as our_client:
        our_client.set("owner", "ours")
        monkeypatch.setenv("MINEFARM_STATE_DIR", str(tmp_path / "other"))
        with lease("test", servers=["valkey"]) as theirs, redis.Redis.from_url(theirs.urls.redis_url) as their_client:
            assert their_client.get("owner") is None
            assert urlsplit(theirs.urls.redis_url).port != urlsplit(ours.urls.redis_url).port
        assert destroy("test") is True
        assert our_client.get("owner") == b"ours"
        monkeypatch.setenv("MINEFARM_STATE_DIR", str(state_dir))


def test_five_commands_at_once_share_one_keeper_and_the_same_servers(
    state_dir: Path, holders: Callable[[str], subprocess.Popen[str]]
) -> None:
    urls = {process.stdout.readline() for process in [holders("test") for _ in range(5)]}
    assert len(urls) == 1
    assert urls.pop().startswith("postgres://minefarm:")
    keepers = [process for process in processes_of(state_dir) if "minefarm.devstack.keeper" in process.cmdline()]
    assert len(keepers) == 1
    assert (state_dir / "test" / "keeper.log").read_text().count("keeper starts") == 1


def test_with_both_urls_set_nothing_is_started(state_dir: Path) -> None:
    environ = {"DATABASE_URL": "postgres://db.example/minefarm", "REDIS_URL": "redis://cache.example/0"}
    assert ensure_environment(environ, profile="test") is None
    assert environ == {"DATABASE_URL": "postgres://db.example/minefarm", "REDIS_URL": "redis://cache.example/0"}
    assert not state_dir.exists()


def test_with_one_url_set_only_the_other_server_is_started(state_dir: Path) -> None:
    environ = {"DATABASE_URL": "postgres://db.example/minefarm", "REDIS_URL": ""}
    held = ensure_environment(environ, profile="test")
    assert held is not None
    with held:
        assert environ["DATABASE_URL"] == "postgres://db.example/minefarm"
        assert environ["REDIS_URL"] == held.urls.redis_url
        assert answers(environ["REDIS_URL"])
        assert held.urls.database_url == ""
        seen = status("test")
        assert (seen["servers"]["valkey"]["running"], seen["servers"]["postgres"]["running"]) == (True, False)
        # A later command that needs both finds the first still there.
        with lease("test") as both:
            assert both.urls.redis_url == held.urls.redis_url
            assert answers(both.urls.database_url)


def test_a_port_taken_since_the_last_start_is_left_to_its_new_owner(state_dir: Path) -> None:
    home = state_dir / "test"
    home.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        for server in ("postgres", "valkey"):
            (home / f"{server}.port").write_text(str(taken))
        with lease("test") as held:
            ports = {urlsplit(held.urls.database_url).port, urlsplit(held.urls.redis_url).port}
            assert taken not in ports
            assert ports == {int((home / f"{server}.port").read_text()) for server in ("postgres", "valkey")}


def test_a_free_port_of_the_last_start_is_used_again(state_dir: Path) -> None:
    with lease("test", servers=["valkey"]) as first:
        stop_keeper("test", state_dir)
    with lease("test", servers=["valkey"]) as second:
        assert second.urls == first.urls


def test_the_servers_outlast_a_short_pause_between_two_commands(state_dir: Path) -> None:
    with lease("test", servers=["valkey"]):
        before = server_pid("test", "valkey")
    time.sleep(0.5)
    with lease("test", servers=["valkey"]):
        assert server_pid("test", "valkey") == before


def test_a_child_that_was_passed_the_lease_keeps_the_servers(state_dir: Path) -> None:
    held = lease("test", servers=["valkey"])
    child = subprocess.Popen(["sleep", "60"], pass_fds=(held.fileno(),))
    held.release()
    with pytest.raises(DevstackError, match="are in use: stop `make demo`"):
        destroy("test")
    assert answers(held.urls.redis_url)
    child.kill()
    child.wait()
    assert destroy("test") is True
    assert not answers(held.urls.redis_url)


def test_a_child_that_was_not_passed_the_lease_does_not_keep_the_servers(state_dir: Path) -> None:
    held = lease("test", servers=["valkey"])
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    held.release()
    assert destroy("test") is True
    child.kill()
    child.wait()


def test_destroy_refuses_while_a_lease_is_held_and_changes_nothing(valkey_lease: Lease, state_dir: Path) -> None:
    before = server_pid("test", "valkey")
    with pytest.raises(DevstackError, match="are in use: stop `make demo`"):
        destroy("test")
    assert server_pid("test", "valkey") == before
    assert answers(valkey_lease.urls.redis_url)


def test_destroy_of_nothing_does_nothing(state_dir: Path) -> None:
    assert destroy("test") is False
    assert not state_dir.exists()


def test_make_clean_stops_and_removes_every_profile(state_dir: Path) -> None:
    for profile in ("dev", "test"):
        lease(profile, servers=["valkey"]).release()
    started = processes_of(state_dir)
    assert len(started) >= 4
    command = [sys.executable, "-m", "minefarm.devstack", "destroy"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert gone(started)
    assert not state_dir.exists()


def test_status_tells_what_runs_without_starting_anything(state_dir: Path) -> None:
    assert status("test")["running"] is False
    assert not state_dir.exists()
    with lease("test", servers=["valkey"]) as held:
        seen = status("test")
        assert seen["running"] is True
        assert seen["servers"]["valkey"]["port"] == urlsplit(held.urls.redis_url).port
        assert psutil.Process(seen["servers"]["valkey"]["pid"]).name() == "valkey-server"
        assert seen["servers"]["valkey"]["size_bytes"] > 0
        assert seen["servers"]["postgres"]["port"] is None
