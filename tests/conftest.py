"""What every test has: the smallest tier, folders of its own in place of the home folder, and no way off this machine.

The environment is set here, at import, because the libraries of Hugging Face read it when they are imported; pytest
imports this file before any test. Processes that a test starts inherit it.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# What runs in the background of a script ignores Ctrl-C, and so would the processes to which tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent
SCRATCH = Path(tempfile.mkdtemp(prefix="course-tests-"))
NETWORK_LOG = SCRATCH / "network.log"
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

OWN = ("COURSE_", "COLAB_", "HF_", "HUGGING_FACE_", "JUPYTER_", "ACCELERATE_")  # what the person who tests has set
for name in [name for name in os.environ if name.startswith(OWN) or name in ("FORCE_COLOR", "PYTHONWARNINGS")]:
    del os.environ[name]
os.environ.update(
    COURSE_HOME=str(SCRATCH / "home"),
    COURSE_TIER="smoke",
    COURSE_TESTS_NETWORK_LOG=str(NETWORK_LOG),
    PYTHONPATH=os.pathsep.join(filter(None, [str(HERE / "no_network"), os.environ.get("PYTHONPATH", "")])),
    # Hugging Face: no hub, no telemetry, nothing in the home folder
    HF_HOME=str(SCRATCH / "hf"),
    HF_DATASETS_CACHE=str(SCRATCH / "hf" / "datasets"),
    HF_HUB_OFFLINE="1",
    HF_EVALUATE_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    # Jupyter, IPython and matplotlib: no settings of the person who runs the tests, no window
    IPYTHONDIR=str(SCRATCH / "ipython"),
    JUPYTER_CONFIG_DIR=str(SCRATCH / "jupyter" / "config"),
    JUPYTER_DATA_DIR=str(SCRATCH / "jupyter" / "data"),
    JUPYTER_RUNTIME_DIR=str(SCRATCH / "jupyter" / "runtime"),
    JUPYTER_PLATFORM_DIRS="1",
    PYDEVD_DISABLE_FILE_VALIDATION="1",
    MPLBACKEND="Agg",
    MPLCONFIGDIR=str(SCRATCH / "matplotlib"),
    # output that does not depend on the terminal
    COLUMNS="120",
    NO_COLOR="1",
    TERM="dumb",
)
sys.path.insert(0, str(HERE / "no_network"))

import pytest  # noqa: E402
import sitecustomize  # noqa: E402  (may be another of that name, imported when this interpreter started)

if not hasattr(sitecustomize, "is_local"):
    del sys.modules["sitecustomize"]
    import sitecustomize


@pytest.fixture(autouse=True)
def stays_on_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that tried, itself or in a process it started, to reach another machine; `network` lets it."""
    sitecustomize.allowed = request.node.get_closest_marker("network") is not None
    before = _attempts()
    yield
    sitecustomize.allowed = False
    new = _attempts()[len(before) :]
    if new:
        pytest.fail("tried to leave this machine: " + "; ".join(new), pytrace=False)


def _attempts() -> list[str]:
    return NETWORK_LOG.read_text(encoding="utf-8").splitlines() if NETWORK_LOG.exists() else []


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make small models slow where other programs want the cores too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()  # each fit collects garbage; what other tests have imported need not be searched every time
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


@pytest.fixture
def course(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; its exit code, standard output and standard error. A traceback is never an answer."""
    from course_lib.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run
