"""`interp explore`: serve the explorer on a study, to this machine only unless told otherwise."""

import ipaddress
import os
import socket
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from interp.results.errors import BadInput, Unsupported
from interp.results.escape import visible

_FIRST_PORT = 8501
_PORTS_TRIED = 100


def explore(
    study: Annotated[
        Path | None, typer.Argument(help="A study's directory; without it, the demo study.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; without it, the first free from 8501.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    share: Annotated[
        bool, typer.Option("--share", help="Allow a --host that other machines can reach.")
    ] = False,
) -> None:
    """Open the explorer on a study: overview, activations, abilities.

    Prints the address and serves until interrupted. Nothing leaves this machine.

    Example: interp explore demo-study --port 8600
    """
    from interp.results.study import Study, default_study

    path = study if study is not None else default_study()
    title = Study.open(path).title
    _check_host(host, share=share)
    chosen = _free_port(host) if port is None else _checked_port(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"interp explorer: {visible(title)} ({path})")
    print(f"http://{shown}:{chosen}   (Ctrl-C ends it)", flush=True)
    command = explorer_command(path.absolute(), host=host, port=chosen)
    os.execv(command[0], command)


def explorer_command(study: Path, *, host: str, port: int) -> list[str]:
    """The command line that serves the explorer: Streamlit with every setting as a flag.

    The settings are those of the `config.toml` beside the entry script, so that both ways to start
    are equally safe; the flags win over a user's own configuration and environment.
    """
    script = explorer_script()
    with (script.parent / ".streamlit" / "config.toml").open("rb") as file:
        settings = tomllib.load(file)
    settings["server"].update(address=host, port=port, allowedHosts=_allowed_hosts(host))
    settings["logger"] = {"hideWelcomeMessage": True}
    flags = [
        flag
        for section, options in settings.items()
        for option, value in options.items()
        for flag in _flags(f"--{section}.{option}", value)
    ]
    return [sys.executable, "-m", "streamlit", "run", str(script), *flags, "--", str(study)]


def explorer_script() -> Path:
    """The explorer's entry script, in an installed package or in a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "_apps", package.parent / "apps"):
        if (folder / "explorer.py").is_file():
            return folder / "explorer.py"
    raise Unsupported(f"the explorer is missing from {package}: install interp again")


def _flags(name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
    return [f"{name}={text}" for text in texts]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _allowed_hosts(host: str) -> list[str]:
    """Names a browser may use for us; any name where we listen on every interface."""
    if host in ("0.0.0.0", "::"):
        return ["*"]
    return list(dict.fromkeys(["localhost", "127.0.0.1", host]))


def _check_host(host: str, *, share: bool) -> None:
    if _is_loopback(host):
        return
    if not share:
        raise BadInput(
            f"--host {host} can be reached by other machines: add --share if that is what you want"
        )
    print(
        f"interp: warning: anyone who can reach {host} can read this study; there is no password",
        file=sys.stderr,
    )


def _checked_port(host: str, port: int) -> int:
    if not 1 <= port <= 65535:
        raise BadInput(f"--port {port}: expected 1 to 65535")
    if not _is_free(host, port):
        raise BadInput(f"port {port} on {host} cannot be used: choose another, or leave --port out")
    return port


def _free_port(host: str) -> int:
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED):
        if _is_free(host, port):
            return port
    last = _FIRST_PORT + _PORTS_TRIED - 1
    raise BadInput(f"no port from {_FIRST_PORT} to {last} is free on {host}: pass --port")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
