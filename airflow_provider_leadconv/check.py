"""``python -m airflow_provider_leadconv.check``: check a live account before anything irreversible happens."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from airflow_provider_leadconv.account_check.conversion import check_conversion
from airflow_provider_leadconv.account_check.questions import MAX_REQUESTS
from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.api.models import as_id
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook

EXPECTED, DIFFERENT, NOT_CHECKED = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_leadconv.check",
        description=f"Check a live account with at most {MAX_REQUESTS} GET requests. Nothing is changed.",
        epilog="Exit status: 0 if all is as expected, 1 if something differs, 2 if the account could not be checked.",
    )
    parser.add_argument("--conn-id", default=DEFAULT_CONN_ID, help="id of the Airflow connection; default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    parser.add_argument(
        "--convert",
        metavar="LEAD_ID",
        help="convert this lead instead, and send its conversion a second time; this cannot be undone",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    :param arguments: of the command line; default: ``sys.argv``.
    :return: the exit status.
    """
    options = _parser().parse_args(arguments)
    hook = LeadConversionHook(leadconv_conn_id=options.conn_id)
    try:
        if options.convert is None:
            report = hook.check_account()
        else:
            lead_id = as_id(options.convert, "--convert")
            if not _confirmed(lead_id):
                sys.stderr.write("Nothing was sent.\n")
                return NOT_CHECKED
            report = check_conversion(hook.get_conn(), lead_id)
    except LeadConversionError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_CHECKED
    if options.json:
        options.json.write_text(report.to_json() + "\n")
    sys.stdout.write(f"{report.to_text()}\n")
    return EXPECTED if report.is_expected else DIFFERENT


def _confirmed(lead_id: int) -> bool:
    sys.stdout.write(
        f"This converts lead {lead_id} to a contact, which cannot be undone. It then sends the conversion again:\n"
        "if the API does not refuse that, the lead has two conversions.\n"
    )
    return input("Type the id of the lead to continue: ").strip() == str(lead_id)


if __name__ == "__main__":
    sys.exit(main())
