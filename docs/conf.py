"""Sphinx configuration of ``make docs``."""

import inspect
import os
import sys
from importlib import import_module, metadata

import matplotlib as mpl
from docutils.nodes import SkipNode, reference
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import FileNameSortKey

mpl.use("Agg")
sys.path.insert(0, os.path.abspath(".."))

project = "sklearn_bell"
author = "The sklearn_bell developers"
project_copyright = author
release = metadata.version("sklearn_bell")
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
nitpicky = False
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_bell"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_static_path: list[str] = []
suppress_warnings = ["config.cache"]  # functions in sphinx_gallery_conf
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
templates_path = ["_templates"]
autodoc_typehints = "none"  # docstrings state types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": FileNameSortKey,
    "doc_module": ("sklearn_bell",),
    "reference_url": {"sklearn_bell": None},
    "backreferences_dir": None,
    "capture_repr": ("_repr_html_",),  # tables, but no ``<object at 0x...>``
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "plot_gallery": "True",
    "write_computation_times": False,
}


def _math_visitor(display):
    """Visitor pair that renders equations as MathML, which needs no scripts."""

    def visit(translator, node):
        translator.body.append(tex2mathml(node.astext(), as_block=display))
        raise SkipNode

    return visit, None


html_math_renderer = "mathml"


def _select_methods(module, name, methods, package):
    """Return the methods of a class that are defined in a package."""
    selected = []
    for method in methods:
        member = inspect.getattr_static(getattr(import_module(module), name), method)
        function = getattr(member, "__func__", member)  # of a class method
        if function.__module__.partition(".")[0] == package and inspect.isfunction(function):
            selected.append(method)
    return selected


autosummary_context = {"select_methods": _select_methods}


_SKLEARN_LABELS = {"accuracy_score": "model_evaluation.html#accuracy-score"}


def _resolve_sklearn_label(app, env, node, content):
    """Resolve references in inherited docstrings to scikit-learn's user guide."""
    if node.get("reftype") == "ref" and node["reftarget"] in _SKLEARN_LABELS:
        uri = f"https://scikit-learn.org/stable/modules/{_SKLEARN_LABELS[node['reftarget']]}"
        return reference("", "", content, refuri=uri, internal=False)
    return None


def setup(app):
    """Register the equation renderer and the resolver of scikit-learn's labels."""
    app.add_html_math_renderer("mathml", _math_visitor(False), _math_visitor(True))
    app.connect("missing-reference", _resolve_sklearn_label)
