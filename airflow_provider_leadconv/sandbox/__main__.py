"""``python -m airflow_provider_leadconv.sandbox``: the sandbox as a program."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from threading import Event
from typing import get_args

from airflow_provider_leadconv.sandbox.faults import FAULTS, Fault
from airflow_provider_leadconv.sandbox.settings import (
    RateWindow,
    SecondConversion,
    ThrottleShape,
    UnknownLead,
)

MISSING = "The sandbox needs FastAPI and uvicorn: pip install 'airflow-provider-leadconv[sandbox]'\n"


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name:<22}{kind.meaning}" for name, kind in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_leadconv.sandbox",
        description="A local stand-in for the Lead Conversions API of Zendesk Sell.",
        epilog=f"faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8377, help="port on 127.0.0.1, 0 for a free one; default 8377")
    parser.add_argument("--leads", type=int, default=500, help="leads that can be converted; default 500")
    parser.add_argument("--conversions", type=int, default=1000, help="conversions there are; default 1000")
    parser.add_argument("--seed", type=int, default=0, help="decides ids, the token and when faults strike")
    parser.add_argument("--path-prefix", default="", help="what comes before /v2")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second per token, 0 for any; default 10")
    parser.add_argument("--rate-window", choices=get_args(RateWindow), default="token_bucket")
    parser.add_argument("--throttle-shape", choices=get_args(ThrottleShape), default="throttle_429")
    parser.add_argument("--retry-after", type=int, help="seconds in a Retry-After header; default no header")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a request is worked on")
    parser.add_argument("--arrivals", type=int, default=0, help="new conversions at each listing request")
    parser.add_argument("--second-conversion", choices=get_args(SecondConversion), default="refuse")
    parser.add_argument("--unknown-lead", choices=get_args(UnknownLead), default="not_found")
    parser.add_argument("--post-status", type=int, choices=(200, 201), default=200)
    parser.add_argument(
        "--fault",
        dest="faults",
        metavar="FAULT",
        action="append",
        default=[],
        help="NAME, NAME:SHARE or NAME,share=0.3,method=POST,times=5,seconds=2; may be given several times",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    :param arguments: of the command line; None for the program's own.
    :return: exit status.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    options["rate"] = options["rate"] or None
    try:
        options["faults"] = [Fault.parse(text) for text in options["faults"]]
    except ValueError as error:
        parser.error(str(error))
    try:
        from airflow_provider_leadconv.sandbox.server import Sandbox
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette", "uvicorn", "h11"):
            raise
        sys.stderr.write(MISSING)
        return 1
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        sandbox = Sandbox(**options)
    except ValueError as error:
        parser.error(str(error))
    with sandbox:
        sys.stdout.write(
            f"Base URL:        {sandbox.base_url}\n"
            f"Access token:    {sandbox.token}\n"
            f"Connection URI:  {sandbox.connection_uri}\n"
            f"Connection JSON: {json.dumps(sandbox.connection)}\n"
        )
        sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
