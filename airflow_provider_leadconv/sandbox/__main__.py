"""``python -m airflow_provider_leadconv.sandbox``: the sandbox as a program."""

from __future__ import annotations

import argparse
import errno
import json
import signal
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal, get_args, get_origin, get_type_hints

from airflow_provider_leadconv.sandbox.faults import FAULTS
from airflow_provider_leadconv.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_leadconv.sandbox import Sandbox

MISSING = "The sandbox needs FastAPI and uvicorn: pip install 'airflow-provider-leadconv[sandbox]'\n"
DESCRIPTION = """\
A local stand-in for the Lead Conversions API of Zendesk Sell. It serves generated data on 127.0.0.1, keeps changes in
memory, and runs until it is interrupted. At the start it prints its URL, an access token and the Airflow connection.
"""
# The real API allows 10 requests per second.
DEFAULTS = SandboxSettings(rate=10)
MAX_PORT = 65535
MAX_ROWS = 10_000_000
METAVARS = {int: "N", float: "N", str: "URL"}


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name:<22}{kind.summary}" for name, kind in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_leadconv.sandbox",
        usage="%(prog)s [option ...]",
        description=DESCRIPTION,
        epilog=f"names of faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    server = parser.add_argument_group("server")
    server.add_argument(
        "--port",
        type=_up_to(MAX_PORT),
        metavar="N",
        default=8377,
        help="port to listen on, or 0 for a free one; default 8377",
    )
    server.add_argument("--path-prefix", metavar="PATH", default="", help="prefix of the path /v2, such as /sell")
    data = parser.add_argument_group("data")
    for name, default, text in [("leads", 500, "leads that can be converted"), ("conversions", 1000, "conversions")]:
        data.add_argument(
            f"--{name}", type=_up_to(MAX_ROWS), metavar="N", default=default, help=f"{text}; default {default}"
        )
    data.add_argument("--seed", type=int, metavar="N", default=0, help="seed of ids, token and faults; default 0")
    data.add_argument(
        "--write-leads", type=Path, metavar="PATH", help="CSV file to write the ids of the leads to, for a bulk"
    )
    _add_settings(parser)
    parser.add_argument_group("faults").add_argument(
        "--fault",
        dest="faults",
        metavar="FAULT",
        action="append",
        default=[],
        help="NAME, NAME:SHARE or NAME,share=0.3,method=POST,times=5,seconds=2; can be given several times",
    )
    return parser


def _up_to(maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) > maximum:
            msg = f"{text!r} is not a whole number from 0 to {maximum}"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return parse


def _add_settings(parser: argparse.ArgumentParser) -> None:
    settings = parser.add_argument_group("behaviour")
    types, descriptions = get_type_hints(SandboxSettings), SandboxSettings.descriptions()
    for name in SandboxSettings.__struct_fields__:
        # A type, an optional type, or the values of a Literal.
        first, *_ = values = get_args(types[name]) or (types[name],)
        is_choice = get_origin(types[name]) is Literal
        default = getattr(DEFAULTS, name)
        settings.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(first) if is_choice else first,
            choices=values if is_choice else None,
            default=default,
            metavar=None if is_choice else METAVARS[first],
            help=descriptions.get(name, name) + ("" if default is None else f"; default {default}"),
        )


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    :param arguments: of the command line; None for the program's own.
    :return: exit status.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    leads_path: Path | None = options.pop("write_leads")
    try:
        from airflow_provider_leadconv.sandbox.server import Sandbox
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette", "uvicorn", "h11"):
            raise
        return _failed(MISSING)
    try:
        sandbox = Sandbox(**options)
    except ValueError as error:
        parser.error(str(error))
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        sandbox.start()
    except OSError as error:
        return _failed(_cannot_listen(options["port"], error))
    try:
        return _serve(sandbox, leads_path, stopped)
    finally:
        sandbox.stop()


def _serve(sandbox: Sandbox, leads_path: Path | None, stopped: Event) -> int:
    if leads_path is not None:
        try:
            leads_path.write_text("".join(f"{line}\n" for line in ("lead_id", *sandbox.leads)))
        except OSError as error:
            return _failed(f"Cannot write the leads to {leads_path}: {error.strerror}.\n")
    sys.stdout.write(
        f"Base URL:        {sandbox.base_url}\n"
        f"Access token:    {sandbox.token}\n"
        f"Connection URI:  {sandbox.connection_uri}\n"
        f"Connection JSON: {json.dumps(sandbox.connection)}\n"
    )
    sys.stdout.flush()
    stopped.wait()
    return 0


def _cannot_listen(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is already in use; choose another with --port, or --port 0 for a free one.\n"
    return f"Cannot listen on port {port}: {error.strerror}.\n"


def _failed(message: str) -> int:
    sys.stderr.write(message)
    return 1


if __name__ == "__main__":
    sys.exit(main())
