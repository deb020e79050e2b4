"""How Sphinx builds the site; ``make docs``. Nothing is downloaded: no other site's inventory, no font, no script."""

from __future__ import annotations

import os
import tempfile

# Airflow makes its folder where it is told, as soon as it is imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="leadconv-docs-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.api.errors import LeadConversionError

project = "airflow-provider-leadconv"
author = "The airflow-provider-leadconv authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# An unresolved reference is an error, except to what is documented elsewhere: Airflow, and what we take from libraries.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|airflow_shared|collections|datetime|msgspec|typing|urllib)\..*"),
    ("py:.*", r"Airflow\w+|Asset|Context|ObjectStoragePath|datetime|pytest\.MonkeyPatch|time\.monotonic"),
    ("py:.*", r"(.*\.)?(Exchange|Transport)"),  # of the clients' insides
    ("py:.*", r"Conversion|RateWindow|Refusal|Scope|SecondConversion|ThrottleShape|UnknownLead"),  # of the sandbox
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = f"Lead conversions for Airflow {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"


def add_remedy(app: Sphinx, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    """Tell of each error what to do, in the words of its own messages."""
    if isinstance(documented, type) and issubclass(documented, LeadConversionError) and documented.remedy:
        lines += ["", f"*What to do:* {documented.remedy}"]


def find_by_short_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
    """Take a class that is named as the code names it, without the module that it was imported from."""
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, text)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", add_remedy)
    app.connect("missing-reference", find_by_short_name)
