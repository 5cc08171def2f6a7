"""The setup cell: one template for all lessons.

It must run where nothing of the course is installed, so it does only what has to come first, which is to fetch the
package itself; `course_lib.lessons.colab` does the rest. Colab is recognised by its environment variables, because
``find_spec("google.colab")`` raises where there is no package `google`.
"""

from __future__ import annotations

TEMPLATE = """\
# Nothing happens here in a checkout. On Colab this installs what is missing; it is safe to run again.
import importlib.util
import os
import subprocess
import sys
{imports}
if importlib.util.find_spec("course_lib") is None:
    if not any(name.startswith("COLAB_") for name in os.environ):
        raise SystemExit("This kernel lacks the course: open the notebook with `make lab`, or choose its .venv.")
{package}
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", package], check=True)
    importlib.invalidate_caches()

from course_lib.lessons import colab

colab.setup()"""

FROM_REPOSITORY = '    package = "git+{repository}"'

FROM_WHEEL = """\
    package = max(glob("course_lib-*.whl"), default="")
    if not package:
        raise SystemExit("Upload course_lib-*.whl, which `make wheel` writes to dist/, and run this cell again.")"""


def setup_cell(repository: str | None) -> str:
    """The setup cell's code: it installs from the repository, or from a wheel uploaded to Colab while there is none."""
    if repository:
        return TEMPLATE.format(imports="", package=FROM_REPOSITORY.format(repository=repository))
    return TEMPLATE.format(imports="from glob import glob\n", package=FROM_WHEEL)


def badge(repository: str | None, notebook: str) -> str | None:
    """Markdown of a button that opens the notebook on Colab, which reads from GitHub only."""
    prefix = "https://github.com/"
    if not repository or not repository.startswith(prefix):
        return None
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    target = (
        f"https://colab.research.google.com/github/{repository.removeprefix(prefix)}/blob/main/notebooks/{notebook}"
    )
    return f"[![Open in Colab]({image})]({target})"
