"""Installing the course on Google Colab must not replace what runs there: a new torch or IPython breaks the session.

`colab_versions.csv` is the part of Colab's list of preinstalled packages (GPU runtime, August 2026) that the course's
requirements touch. pip resolves the requirements with these versions held; if it cannot, installing the course would
have changed one of them. Colab's torch, a build of its own, is stood in for by an empty wheel of the same version.

Left out: pip reads environment markers as the interpreter that runs it, so that only on Python 3.13 itself are
conditions such as ``python_version >= "3.13"`` decided as on Colab. Wheels and Requires-Python are chosen for 3.13.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
with (ROOT / "tests" / "colab_versions.csv").open(encoding="utf-8", newline="") as table:
    ROWS = list(csv.DictReader(table))
COLAB = {canonicalize_name(row["package"]): row["version"] for row in ROWS}
MUST_STAY = sorted(canonicalize_name(row["package"]) for row in ROWS if row["must_stay"] == "yes")
TORCH_NEEDS = (
    "filelock",
    "typing_extensions",
    "sympy>=1.13.3",
    "networkx>=2.5.1",
    "jinja2",
    "fsspec>=0.8.5",
    "setuptools<82",
)
GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_5")

pytestmark = pytest.mark.network


class WouldChange(Exception):
    """Colab's versions and the requirements contradict each other; the text is pip's."""


def pip_dry_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pip's plan for Python 3.13 on Linux, written to ``report.json`` in the folder; nothing is installed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-input", "--retries=1"]
    command += [
        "--timeout=15",
        "--progress-bar=off",
        "--disable-pip-version-check",
        f"--report={folder / 'report.json'}",
    ]
    command += [f"--target={folder / 'target'}", "--python-version=3.13", "--implementation=cp", "--only-binary=:all:"]
    command += [f"--platform={version}_x86_64" for version in GLIBC]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=600, env=environment, check=False
    )


def resolve(folder: Path, *requirements: str) -> dict[str, str]:
    """What pip would have beside these requirements when Colab's versions are held: name to version."""
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in COLAB.items()), encoding="utf-8")
    wheel(folder, "torch", COLAB["torch"], TORCH_NEEDS)
    done = pip_dry_run(folder, f"--find-links={folder}", f"--constraint={constraints}", *requirements)
    if done.returncode:
        raise WouldChange((done.stdout[-1500:] + done.stderr[-1500:]).strip())
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    metadata = [item["metadata"] for item in report["install"]]
    return {canonicalize_name(package["name"]): package["version"] for package in metadata}


def wheel(folder: Path, name: str, version: str, needs: tuple[str, ...]) -> None:
    """An empty wheel with this name, version and these requirements."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {n}\n" for n in needs
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where pip itself finds no registry that it can reach."""
    probe = pip_dry_run(tmp_path_factory.mktemp("probe"), "--no-deps", f"typer=={COLAB['typer']}")
    if probe.returncode and ("connection broken" in probe.stderr or "(from versions: none)" in probe.stderr):
        pytest.skip("no package registry can be reached, so Colab's versions cannot be resolved here")


def test_the_table_holds_what_a_colab_session_cannot_lose() -> None:
    expected = {"torch", "numpy", "pandas", "transformers", "peft", "datasets", "ipywidgets", "ipython", "ipykernel"}
    assert set(MUST_STAY) == expected
    assert "3.13" in SpecifierSet(PROJECT["requires-python"])


def test_installing_the_course_on_colab_changes_nothing_that_is_there(registry: None, tmp_path: Path) -> None:
    resolved = resolve(tmp_path, *PROJECT["dependencies"])
    changed = {
        name: (COLAB[name], version) for name, version in resolved.items() if COLAB.get(name, version) != version
    }
    assert not changed
    assert set(MUST_STAY) <= set(resolved)  # the course needs them all, so they were really decided here


@pytest.mark.parametrize("name", MUST_STAY)
def test_a_package_that_would_replace_one_of_them_is_noticed(registry: None, tmp_path: Path, name: str) -> None:
    wheel(tmp_path, "newcomer", "1", needs=(f"{name}>{Version(COLAB[name]).base_version}",))
    with pytest.raises(WouldChange, match="ResolutionImpossible"):
        resolve(tmp_path, "newcomer")
