"""How Sphinx builds the site; ``make docs``. Nothing is downloaded: no other site's inventory, no font, no script."""

from __future__ import annotations

import os
import tempfile

# Airflow makes its folder where it is told, as soon as it is imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="leadconv-docs-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from airflow_provider_leadconv import __version__  # noqa: E402

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
    ("py:.*", r"Airflow\w+|Context|ObjectStoragePath|optional"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
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
