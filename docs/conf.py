"""How the site is built: ``make docs``; what our own extensions do stands in ``_extensions``."""

import gc
import os
import sys
from pathlib import Path

gc.disable()  # it would take a third of the build's time; without it, the build takes 1.6 GB of memory instead of 0.8

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_extensions"), str(DOCS.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")]))  # tutorials

from mtl_lightning.version import __version__  # noqa: E402

project, author, release = "mtl_lightning", "The mtl_lightning authors", __version__
copyright = f"2026 {author}, Apache-2.0"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "mathml",
    "reference",
    "weighting_cards",
    "sharing_cards",
    "benchmark_tables",
    "step_time_table",
    "data_sets",
]
exclude_patterns = ["_extensions"]

# What is said of ours has to exist; what is said of other projects is not looked up, as the site is built offline.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!mtl_lightning\b).*")]

# -- pages ---------------------------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# -- tutorials: the pages with {code-cell} are run, each in an empty folder ----------------------------------------
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # progress, and what libraries log
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # mtl-lightning
os.environ["MATPLOTLIBRC"] = str(DOCS / "tutorials" / "matplotlibrc")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several pages are run at a time

# -- reference: pages are written by _extensions/reference.py ------------------------------------------------------
reference_modules = [
    "mtl_lightning",
    "mtl_lightning.backward",
    "mtl_lightning.callbacks",
    "mtl_lightning.chains",
    "mtl_lightning.cli.trainer",
    "mtl_lightning.communication",
    "mtl_lightning.compare.report",
    "mtl_lightning.compare.statistics",
    "mtl_lightning.data",
    "mtl_lightning.data.schedules",
    "mtl_lightning.decoding",
    "mtl_lightning.encoders",
    "mtl_lightning.optim",
    "mtl_lightning.inner_loops",
    "mtl_lightning.sharing",
    "mtl_lightning.tasks",
    "mtl_lightning.testing",
    "mtl_lightning.training.evaluation",
    "mtl_lightning.training.module",
    "mtl_lightning.weighting",
]
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# -- look ----------------------------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"mtl_lightning {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # a browser fetches no summaries from a disk
html_show_sphinx = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"figure-blue": "#1f63b5", "figure-orange": "#a34e0f", "figure-green": "#1b7a4b"},  # texts
    "dark_css_variables": {"figure-blue": "#6aa8f0", "figure-orange": "#e8934f", "figure-green": "#4cbf88"},
}
