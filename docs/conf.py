"""How Sphinx builds the site; ``make docs``. Nothing is downloaded: no other site's inventory, no font, no script."""

from __future__ import annotations

import os
import tempfile

# Airflow makes its folder where it is told, as soon as it is imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="leadconv-docs-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

import re
from importlib import import_module
from inspect import isclass

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.api.exceptions import LeadConversionError

project = "airflow-provider-leadconv"
author = "The airflow-provider-leadconv authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3

# Pages are also read on the code host, so they contain no directives. The site's navigation and the documentation of
# what reference.md lists are added here.
NAVIGATION = {
    "Getting started": ["tutorial", "connection", "account-check", "first-bulk"],
    "Guides": ["guides/bulk", "guides/scaling", "guides/export", "guides/sql", "guides/waiting", "guides/*"],
    "Operation": ["monitoring", "troubleshooting", "faults", "rate-limiting", "last-export", "testing", "migrating"],
    "Reference": ["reference", "faq", "api-limits", "compatibility", "benchmarks", "layout"],
}
"""Captions of the sidebar, and their pages."""

MEMBERS = {
    "LeadConversionHook": "get_conn, get_page, list_conversions, list_since, get_conversion, convert_lead, "
    "convert_leads, test_connection, check_account",
    "Report": "is_expected, settings, to_json, to_text",
    "LeadConversionsClient": "get_page, list_pages, find, post, counters, close",
    "Sandbox": "",
    "Fault": "parse, duration",
}
"""Classes whose members are documented, with the members; all public ones if empty."""

WITH_ALL_MEMBERS = ("airflow_provider_leadconv.api.exceptions", "airflow_provider_leadconv.api.models")
"""Modules whose classes are documented with all public members."""

# An unresolved reference is an error, except to what is documented elsewhere: Airflow, and what we take from libraries.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|airflow_shared|collections|datetime|msgspec|typing|urllib)\..*"),
    ("py:.*", r"Airflow\w+|Asset|Context|ObjectStoragePath|datetime|pytest\.MonkeyPatch|time\.monotonic"),
    ("py:.*", r"(.*\.)?(Exchange|Secret|Transport)"),  # of the clients' insides
    ("py:.*", r"Conversion|RateWindow|Refusal|Scope|SecondConversion|ThrottleShape|UnknownLead"),  # of the sandbox
    ("py:.*", r"PostStatus|SettingsOptions"),  # of the sandbox, too
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries = False

html_theme = "furo"
html_title = f"Lead conversions for Airflow {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"


def add_to_source(app: Sphinx, page: str, content: list[str]) -> None:  # noqa: ARG001
    """Add the navigation to the index, and the documentation of what the reference lists to the reference."""
    if page == "index":
        content[0] += "".join(_toctree(caption, pages) for caption, pages in NAVIGATION.items())
    if page == "reference":
        content[0] = re.sub(
            r"^- `(airflow_provider_leadconv\.[\w.]+)`.*$", _documentation, content[0], flags=re.MULTILINE
        )


def _toctree(caption: str, pages: list[str]) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", ":glob:", f":caption: {caption}", "", *pages, "```", ""])


def _documentation(listed: re.Match[str]) -> str:
    path = listed[1]
    module, _, name = path.rpartition(".")
    is_class = isclass(getattr(import_module(module), name))
    kind = "class" if is_class else "data" if name.isupper() else "function"
    options = [":show-inheritance:", ":exclude-members: remedy"] if module.endswith(".exceptions") else []
    if name in MEMBERS or module in WITH_ALL_MEMBERS:
        options.append(f":members: {MEMBERS.get(name, '')}")
    directive = [f".. auto{kind}:: {path}", *(f"   {option}" for option in options)]
    return "\n".join(["", "```{eval-rst}", *directive, "```"])


def add_remedy(app: Sphinx, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    """Add to each error what to do, in the words of its own messages."""
    if isinstance(documented, type) and issubclass(documented, LeadConversionError) and documented.remedy:
        lines += ["", f"*What to do:* {documented.remedy}"]


def find_by_short_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
    """Resolve a class that is named as the code names it, without its module."""
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, text)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_to_source)
    app.connect("autodoc-process-docstring", add_remedy)
    app.connect("missing-reference", find_by_short_name)
