"""`interp explore` and `interp study info`: safe flags, loopback, errors before serving."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from interp.cli.explore import explorer_command, explorer_script
from tests.apps.sample import sample_study

ROOT = Path(__file__).parents[2]
APPS = ROOT / "apps"


@pytest.fixture
def study(tmp_path) -> Path:
    return sample_study(tmp_path / "study").path


def interp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from interp.cli.app import main; main()", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[psutil.Process]:
    """Run a server until the block ends; the block starts once it answers."""
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until_it_answers(port)
        yield psutil.Process(server.pid)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)


def wait_until_it_answers(port: int) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health") as answer:
                assert answer.read() == b"ok"
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"nothing answers on port {port}")


def bound_addresses(process: psutil.Process) -> set[str]:
    everyone = [process, *process.children(recursive=True)]
    sockets = [c for p in everyone for c in p.net_connections("inet") if c.status == "LISTEN"]
    return {connection.laddr.ip for connection in sockets}


def handshake(port: int, *, host: str, origin: str) -> int:
    """HTTP status of a websocket handshake that names this host and origin."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(4096).split()[1])


@pytest.mark.slow
def test_a_bare_streamlit_run_from_another_directory_serves_this_machine_and_its_own_page_only(
    tmp_path, study
):
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(APPS / "explorer.py")]
    with serving([*command, f"--server.port={port}", "--", str(study)], tmp_path, port) as server:
        assert bound_addresses(server) == {"127.0.0.1"}
        ours = f"127.0.0.1:{port}"
        assert handshake(port, host=ours, origin=f"http://{ours}") == 101
        assert handshake(port, host="evil.example", origin="http://evil.example") == 403
        assert handshake(port, host=ours, origin="http://evil.example") == 403


@pytest.mark.slow
def test_the_command_prints_its_address_and_listens_there_only(study, tmp_path):
    port = free_port()
    command = [sys.executable, "-c", "from interp.cli.app import main; main()"]
    command += ["explore", str(study), "--port", str(port)]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        printed = server.stdout.readline() + server.stdout.readline()
        assert "A small study" in printed
        assert f"http://127.0.0.1:{port}" in printed
        wait_until_it_answers(port)
        assert bound_addresses(psutil.Process(server.pid)) == {"127.0.0.1"}
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)


def test_every_setting_of_the_config_file_is_a_flag_and_exists_in_streamlit(study):
    from streamlit import config

    flags = explorer_command(study, host="127.0.0.1", port=8600)
    with (APPS / ".streamlit" / "config.toml").open("rb") as file:
        settings = tomllib.load(file)
    known = config.get_config_options()
    for section, options in settings.items():
        for option in options:
            assert f"{section}.{option}" in known
            assert [flag for flag in flags if flag.startswith(f"--{section}.{option}=")]
    assert flags[-2:] == ["--", str(study)]


@pytest.mark.parametrize(
    "flag",
    [
        "--server.address=127.0.0.1",
        "--server.headless=true",
        "--server.allowedHosts=localhost",
        "--server.allowedHosts=127.0.0.1",
        "--server.enableCORS=true",
        "--server.enableXsrfProtection=true",
        "--server.enableAgentApi=false",
        "--server.enableStaticServing=false",
        "--server.fileWatcherType=none",
        "--server.showEmailPrompt=false",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=type",
        "--client.showErrorLinks=false",
        "--client.toolbarMode=minimal",
        "--runner.magicEnabled=false",
    ],
)
def test_the_server_starts_with(flag, study):
    assert flag in explorer_command(study, host="127.0.0.1", port=8600)


def test_a_host_that_others_can_reach_needs_an_explicit_flag(study):
    refused = interp("explore", str(study), "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "add --share" in refused.stderr
    assert refused.stdout == ""


def test_sharing_warns_before_it_serves(study):
    with socket.socket() as busy:
        busy.bind(("0.0.0.0", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        asked = ("explore", str(study), "--host", "0.0.0.0", "--share", "--port", port)
        answer = interp(*asked)
    assert "anyone who can reach 0.0.0.0 can read this study" in answer.stderr
    assert f"port {port} on 0.0.0.0 cannot be used" in answer.stderr


def test_a_port_out_of_range_is_refused(study):
    answer = interp("explore", str(study), "--port", "70000")
    assert (answer.returncode, "expected 1 to 65535" in answer.stderr) == (2, True)


def test_no_demo_study_is_one_line_with_the_remedy(tmp_path):
    answer = interp("explore", XDG_CACHE_HOME=str(tmp_path))
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "interp demo" in answer.stderr


def test_info_lists_the_findings_and_says_which_are_missing(study):
    (study / "masks" / "located").rename(study / "elsewhere")
    answer = interp("study", "info", str(study))
    assert answer.returncode == 0
    assert re.search(r"mask +located +Located  \(missing\)", answer.stdout)
    content = json.loads(interp("study", "info", str(study), "--json").stdout)
    present = {entry["id"]: entry["present"] for entry in content["entries"]}
    assert present == {"activations": True, "located": False, "transfer": True}


def test_the_explorer_is_found_in_a_checkout():
    assert explorer_script() == APPS / "explorer.py"


def test_the_wheel_carries_every_file_of_the_explorer(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        carried = {name for name in wheel.namelist() if name.startswith("interp/_apps/")}
    sources = [file for file in APPS.rglob("*") if file.suffix in {".py", ".toml"}]
    assert carried == {f"interp/_apps/{file.relative_to(APPS).as_posix()}" for file in sources}
