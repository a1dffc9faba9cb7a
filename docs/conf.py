"""How Sphinx builds these pages: `python -m sphinx -W -b html docs docs/_build/html`."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "extensions")]

from pacs_twisted import __version__  # noqa: E402

project = "pacs_twisted"
author = "The pacs_twisted developers"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "line_pages",
    "facts",
    "command_line",
    "machine_drawing",
    "performance",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_generated"]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3

default_role = "code"  # docstrings put names between single backticks
autodoc_default_options = {"members": True}
# Interfaces of zope would be spelt <InterfaceClass …>.
_INTERFACES = (
    "IAddress",
    "IDelayedCall",
    "IProtocol",
    "IProtocolFactory",
    "IReactorFromThreads",
    "IReactorTime",
    "IStreamClientEndpoint",
)
autodoc_type_aliases = {name: name for name in _INTERFACES}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"pacs_twisted {release}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_copyright = False
html_copy_source = False
pygments_style = "tango"
pygments_dark_style = "monokai"
