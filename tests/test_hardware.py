"""What this machine is and what one process may use of it; other machines are put together from the kernel's files."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import hardware
from course_lib.errors import CourseError
from course_lib.hardware import Meter, machine, meter
from machines import CPU, T4, kernel_files

MB = 2**20
NOISE = 6 * MB  # other threads of the test process, and the kernel's way of counting pages


# -- precision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "capability", "flags", "expected"),
    [
        ("cuda", (8, 0), (), "bf16"),
        ("cuda", (12, 0), (), "bf16"),
        ("cuda", (7, 5), (), "fp16"),  # a T4, which reports bf16 and emulates it
        ("cuda", (7, 5), ("avx512_bf16",), "fp16"),  # the processor beside it does not matter
        ("cpu", None, ("avx2", "avx512f"), "no"),
        ("cpu", None, ("avx512f", "avx512_bf16"), "bf16"),
        ("cpu", None, ("amx_bf16",), "bf16"),
        ("cpu", None, ("asimd", "bf16"), "bf16"),
        ("cpu", None, (), "no"),
        ("mps", None, ("asimd", "bf16"), "no"),
    ],
)
def test_the_precision_follows_what_the_hardware_can_multiply(
    device: str, capability: tuple[int, int] | None, flags: tuple[str, ...], expected: str
) -> None:
    assert hardware.precision(device, capability, flags, {}) == expected


def test_the_variable_overrides_the_precision() -> None:
    assert hardware.precision("cuda", (8, 0), (), {"COURSE_PRECISION": "fp16"}) == "fp16"
    assert hardware.precision("cpu", None, {"avx512_bf16"}, {"COURSE_PRECISION": " No "}) == "no"
    assert hardware.precision("cpu", None, {"avx512_bf16"}, {"COURSE_PRECISION": ""}) == "bf16"


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(CourseError, match="no, fp16, bf16, not 'float16'"):
        hardware.precision("cpu", None, (), {"COURSE_PRECISION": "float16"})


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_fp16_without_a_cuda_gpu_is_refused(device: str) -> None:
    with pytest.raises(CourseError, match="needs a CUDA GPU"):
        hardware.precision(device, None, (), {"COURSE_PRECISION": "fp16"})


def test_autocast_computes_in_the_precision_it_is_given() -> None:
    a = torch.ones(2, 2)
    with hardware.autocast("bf16", "cpu"):
        assert (a @ a).dtype == torch.bfloat16
    with hardware.autocast("no", "cpu"):
        assert (a @ a).dtype == torch.float32
    assert (a @ a).dtype == torch.float32


def test_autocast_takes_a_device_with_an_index() -> None:
    with hardware.autocast("bf16", "cpu:0"):
        assert torch.is_autocast_enabled("cpu")


def test_autocast_refuses_an_unknown_precision() -> None:
    with pytest.raises(CourseError, match="auto"):
        hardware.autocast("auto", "cpu")


# -- processor ---------------------------------------------------------------------------------------------------------


def test_x86_flags_are_read_and_only_those_that_matter_are_kept(tmp_path: Path) -> None:
    cpuinfo = "processor : 0\nmodel name\t: A Fast One\nflags\t\t: fpu sse avx2 avx512f avx512_bf16\n\nprocessor : 1"
    root = kernel_files(tmp_path, {"proc/cpuinfo": cpuinfo})
    assert hardware.processor(root) == ("A Fast One", {"avx2", "avx512f", "avx512_bf16"})


def test_arm_features_are_read(tmp_path: Path) -> None:
    root = kernel_files(tmp_path, {"proc/cpuinfo": "processor : 0\nFeatures\t: fp asimd sve bf16 i8mm"})
    name, flags = hardware.processor(root)
    assert name
    assert flags == {"asimd", "sve", "bf16"}


def test_without_the_kernels_file_there_is_a_name_and_no_flag(tmp_path: Path) -> None:
    name, flags = hardware.processor(tmp_path)
    assert name
    assert flags == frozenset()


# -- device ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Torch with a GPU that computes, until the test says otherwise."""
    fake = types.SimpleNamespace(available=True, warning="", error=None)

    def is_available() -> bool:
        if fake.warning:
            warnings.warn(fake.warning, stacklevel=2)
        return fake.available

    def ones(*_: object, **__: object) -> torch.Tensor:
        if fake.error:
            raise fake.error
        return torch.zeros(2)

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10 * MB, 15 * MB))
    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return fake


def test_a_gpu_that_computes_is_the_device(fake_cuda: types.SimpleNamespace) -> None:
    assert machine.find_device() == ("cuda", "Tesla T4", (7, 5), "")


def test_a_t4_is_described_with_its_memory_and_fp16(
    fake_cuda: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    monkeypatch.setattr(machine, "_device", machine.find_device)
    found = hardware.detect()
    assert (found.device, found.capability, found.precision, found.dtype) == ("cuda", (7, 5), "fp16", "float16")
    assert (found.gpu_free, found.gpu_total) == (10 * MB, 15 * MB)


def test_a_gpu_without_kernels_in_this_build_is_not_used_and_the_reason_is_kept(
    fake_cuda: types.SimpleNamespace,
) -> None:
    fake_cuda.error = RuntimeError("no kernel image is available for execution on the device\nmore lines")
    found = machine.find_device()
    assert (found.kind, found.capability) == ("cpu", None)
    assert found.problem == "Tesla T4: no kernel image is available for execution on the device"


def test_a_driver_that_is_too_old_is_not_used_and_the_warning_is_kept(fake_cuda: types.SimpleNamespace) -> None:
    fake_cuda.available, fake_cuda.warning = False, "The NVIDIA driver on your system is too old"
    assert machine.find_device() == ("cpu", "", None, "The NVIDIA driver on your system is too old")


@pytest.mark.parametrize(("cuda", "problem"), [("12.8", "finds no driver"), (None, "was built without CUDA")])
def test_a_gpu_that_torch_cannot_see_is_a_problem(
    fake_cuda: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None, problem: str
) -> None:
    fake_cuda.available = False
    monkeypatch.setattr(torch.version, "cuda", cuda)
    root = kernel_files(tmp_path, {"dev/nvidia0": "", "dev/nvidiactl": ""})
    assert problem in machine.find_device(root, {}).problem


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_was_hidden_on_purpose_is_no_problem(
    fake_cuda: types.SimpleNamespace, tmp_path: Path, hidden: str
) -> None:
    fake_cuda.available = False
    root = kernel_files(tmp_path, {"dev/nvidia0": ""})
    assert machine.find_device(root, {"CUDA_VISIBLE_DEVICES": hidden}) == ("cpu", "", None, "")


def test_a_cuda_build_on_a_machine_without_a_gpu_is_no_problem(
    fake_cuda: types.SimpleNamespace, tmp_path: Path
) -> None:
    fake_cuda.available = False
    root = kernel_files(tmp_path, {"dev/null": "", "dev/nvidiactl": ""})
    assert machine.find_device(root, {}) == ("cpu", "", None, "")


# -- cores and threads -------------------------------------------------------------------------------------------------

V1_IN_A_GROUP = "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "3200000 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "0::/user/job",
                "sys/fs/cgroup/user/job/cpu.max": "max 100000",
                "sys/fs/cgroup/user/cpu.max": "300000 100000",  # the outer group's limit holds inside
            },
            3,
        ),
        (
            {  # version 1
                "proc/self/cgroup": V1_IN_A_GROUP,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {  # version 1 inside a container: the path that the kernel names is not there
                "proc/self/cgroup": V1_IN_A_GROUP,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "500000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
        (
            {  # both versions at once
                "proc/self/cgroup": "1:memory:/\n0::/",
                "sys/fs/cgroup/unified/cpu.max": "600000 100000",
            },
            6,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "nonsense"}, 8),
    ],
)
def test_cores_are_the_affinity_or_the_quota_whichever_is_less(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert hardware.cores(kernel_files(tmp_path, files), range(8)) == expected


def siblings(*groups: str) -> dict[str, str]:
    """The kernel's files on which logical cores share a physical one."""
    return {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": group for cpu, group in enumerate(groups)}


FOUR_OF_TWO = siblings("0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7")


@pytest.mark.parametrize(
    ("cpus", "environment", "expected"),
    [
        (range(8), {}, 4),  # eight logical cores are four physical ones
        (range(2), {}, 2),
        ((0, 4), {}, 1),  # both of one physical core
        (range(8), {"OMP_NUM_THREADS": "3"}, 3),
        (range(8), {"OMP_NUM_THREADS": "64"}, 4),
        (range(8), {"OMP_NUM_THREADS": "2,1"}, 2),
        (range(8), {"OMP_NUM_THREADS": "many"}, 4),
        (range(8), {"WORLD_SIZE": "2"}, 2),
        (range(8), {"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "4"}, 1),
        (range(8), {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8"}, 1),
        (range(8), {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "4"}, 2),
    ],
)
def test_threads_are_the_physical_cores_shared_out(
    tmp_path: Path, cpus: range, environment: dict[str, str], expected: int
) -> None:
    assert hardware.threads(kernel_files(tmp_path, FOUR_OF_TWO), cpus, environment) == expected


def test_a_quota_limits_threads_too(tmp_path: Path) -> None:
    quota = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}
    assert hardware.threads(kernel_files(tmp_path, FOUR_OF_TWO | quota), range(8), {}) == 2


def test_where_the_kernel_does_not_tell_siblings_there_are_threads_all_the_same(tmp_path: Path) -> None:
    assert 1 <= hardware.threads(tmp_path, range(2), {}) <= 2


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def test_use_threads_sets_torch_and_never_above_the_cores(torch_threads: None) -> None:
    assert hardware.use_threads(1) == torch.get_num_threads() == 1
    assert hardware.use_threads(10_000) == torch.get_num_threads() == hardware.cores()
    assert hardware.use_threads() == torch.get_num_threads() == hardware.threads()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a processor that flushes denormal numbers")
def test_use_threads_flushes_denormal_numbers(torch_threads: None) -> None:
    torch.set_flush_denormal(False)
    small = torch.tensor([1e-39])
    assert (small * 0.5).view(torch.int32).item() != 0
    hardware.use_threads(1)
    assert (small * 0.5).view(torch.int32).item() == 0


def test_use_threads_refuses_none_at_all() -> None:
    with pytest.raises(CourseError, match="at least 1, not 0"):
        hardware.use_threads(0)


# -- memory and disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (1000, 900)),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"}, (1000, 900)),
        (
            {
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/memory.max": "400",
                "sys/fs/cgroup/memory.current": "300",
                "sys/fs/cgroup/memory.stat": "anon 200\ninactive_file 50\nactive_file 50",
            },
            (400, 150),
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a/b",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712",  # version 1's "none"
                "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "100",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "500",
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "450",
                "sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 20",
            },
            (500, 70),
        ),
        (  # a limit that was lowered below what is in use
            {
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/memory.max": "400",
                "sys/fs/cgroup/memory.current": "450",
            },
            (400, 0),
        ),
    ],
)
def test_memory_is_the_machines_or_the_groups_whichever_is_less(
    tmp_path: Path, files: dict[str, str], expected: tuple[int, int]
) -> None:
    assert hardware.memory(kernel_files(tmp_path, files), (1000, 900)) == expected


def test_disk_space_of_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    assert hardware.disk_free(tmp_path / "new" / "folder") > 0


# -- all together ------------------------------------------------------------------------------------------------------


def test_this_machine_is_described_consistently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    found = hardware.detect()
    assert found.device in ("cpu", "cuda", "mps")
    assert 1 <= found.threads <= found.cores <= (os.cpu_count() or 1)
    assert 0 < found.ram_free <= found.ram_total
    assert found.torch == torch.__version__
    assert found.dtype == {"no": "float32", "fp16": "float16", "bf16": "bfloat16"}[found.precision]
    assert (found.gpu_total is None) == (found.device != "cuda")


def test_the_environment_is_asked_at_every_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_PRECISION", "no")
    assert hardware.detect().precision == "no"
    monkeypatch.setenv("COURSE_PRECISION", "bf16")
    assert hardware.detect().precision == "bf16"


def test_what_cannot_change_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hardware.detect()
    monkeypatch.setattr(machine, "find_device", lambda: pytest.fail("asked again"))
    monkeypatch.setattr(machine, "processor", lambda: pytest.fail("asked again"))
    after = hardware.detect()
    assert (after.device, after.cpu, after.cpu_flags) == (before.device, before.cpu, before.cpu_flags)


def test_people_read_device_memory_and_precision() -> None:
    rows = dict(hardware.describe(T4))
    assert rows["Device"] == "a GPU (cuda)"
    assert rows["Compute capability"] == "7.5"
    assert rows["GPU memory"] == "14.6 GiB free of 14.6 GiB"
    assert rows["Computes in"] == "float16 (mixed precision fp16)"
    plain = dict(hardware.describe(dataclasses.replace(CPU, threads=1)))
    assert plain["Computes in"] == "float32 (no mixed precision)"
    assert plain["Cores"] == "2 usable, 1 thread for one operation"
    assert "GPU memory" not in plain


def test_colab_is_known_by_its_variables() -> None:
    assert hardware.in_colab({"COLAB_RELEASE_TAG": "release"})
    assert not hardware.in_colab({"COLLAB": "1", "HOME": "/root"})


def test_a_test_is_no_notebook_and_a_kernel_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hardware.in_notebook()
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert hardware.in_notebook()


# -- meter -------------------------------------------------------------------------------------------------------------


class Level:
    """A gauge that a test moves by hand."""

    def __init__(self) -> None:
        self.now = self.mark = 0
        self.closed = 0

    def to(self, value: int) -> None:
        self.now, self.mark = value, max(value, self.mark)

    def read(self) -> int:
        return self.mark

    def reset(self) -> None:
        self.mark = self.now

    def close(self) -> None:
        self.closed += 1


def test_an_inner_meter_does_not_hide_an_earlier_peak_from_the_outer_one() -> None:
    level = Level()
    watch = meter.Watch(level)
    outer, inner = object(), object()
    level.to(10)
    assert watch.start(outer) == 10
    level.to(100)
    level.to(20)
    assert watch.start(inner) == 20
    level.to(30)
    level.to(20)
    assert watch.stop(inner) == 30
    assert watch.stop(outer) == 100


def test_a_peak_inside_the_inner_meter_is_seen_by_both_and_a_later_one_by_the_outer() -> None:
    level = Level()
    watch = meter.Watch(level)
    watch.start("outer")
    watch.start("inner")
    level.to(50)
    assert watch.stop("inner") == 50
    level.to(70)
    assert level.closed == 0
    assert watch.stop("outer") == 70
    assert level.closed == 1


def test_meters_that_overlap_without_nesting_each_see_their_own_time() -> None:
    level = Level()
    watch = meter.Watch(level)
    first, second = object(), object()
    watch.start(first)
    level.to(40)
    level.to(5)
    watch.start(second)
    level.to(10)
    assert watch.stop(first) == 40
    level.to(15)
    level.to(0)
    assert watch.stop(second) == 15


def touch(megabytes: int) -> np.ndarray:
    """Memory that is really there: the kernel gives a page when it is first written."""
    return np.ones(megabytes * MB, dtype=np.uint8)


def test_a_peak_that_is_over_at_the_end_is_measured() -> None:
    with Meter() as measured:
        touch(100)
    risen = measured.ram_peak_bytes - measured.ram_start_bytes
    assert 100 * MB - NOISE <= risen <= 100 * MB + NOISE


def test_a_peak_before_the_block_does_not_count() -> None:
    touch(200)
    with Meter() as measured:
        touch(20)
    assert measured.ram_peak_bytes - measured.ram_start_bytes <= 20 * MB + NOISE


def test_garbage_of_earlier_work_is_collected_first() -> None:
    class Knot:
        def __init__(self) -> None:
            self.itself = self  # only the collector of cycles can free this
            self.payload = touch(100)

    knot = Knot()
    with Meter() as before:
        pass
    del knot
    with Meter() as after:
        pass
    assert before.ram_start_bytes - after.ram_start_bytes >= 100 * MB - NOISE


def test_nested_meters_measure_real_memory() -> None:
    with Meter() as outer:
        touch(100)
        with Meter() as inner:
            touch(30)
    assert inner.ram_peak_bytes - inner.ram_start_bytes <= 30 * MB + NOISE
    assert outer.ram_peak_bytes - outer.ram_start_bytes >= 100 * MB - NOISE


def test_without_a_gpu_the_peak_is_the_one_of_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "device", lambda: "cpu")
    with Meter() as measured:
        pass
    assert measured.peak_bytes == measured.ram_peak_bytes > 0


def test_sampling_sees_a_peak_where_the_kernel_keeps_no_mark() -> None:
    gauge = meter.Sampled()
    watch = meter.Watch(gauge)
    start = watch.start("work")
    block = touch(100)
    deadline = time.monotonic() + 30
    while gauge.peak - start < 90 * MB and time.monotonic() < deadline:
        time.sleep(0.005)
    del block
    assert watch.stop("work") - start >= 90 * MB


def test_the_sampling_thread_ends_with_the_last_meter() -> None:
    def sampling() -> bool:
        return any(thread.name == "memory meter" for thread in threading.enumerate())

    watch = meter.Watch(meter.Sampled())
    for _ in range(2):  # and begins again with the next one
        watch.start("outer")
        watch.start("inner")
        watch.stop("inner")
        assert sampling()
        watch.stop("outer")
        assert not sampling()


def test_sampling_is_used_where_the_mark_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(meter.HighWater, "reset", refuse)
    assert isinstance(meter.ram_gauge(), meter.Sampled)


def test_cpu_seconds_are_those_of_all_threads() -> None:
    def work() -> None:
        while time.thread_time() < 0.1:
            sum(range(1000))

    threads = [threading.Thread(target=work) for _ in range(2)]
    with Meter() as measured:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert measured.cpu_seconds >= 0.2
    assert measured.wall_seconds > 0


def test_a_block_that_fails_is_measured_and_fails_all_the_same() -> None:
    measured = Meter()
    with pytest.raises(ZeroDivisionError), measured:
        1 / 0  # noqa: B018
    assert measured.wall_seconds > 0
    assert measured.peak_bytes > 0


def test_on_a_gpu_the_peak_is_the_one_of_tensors_there(monkeypatch: pytest.MonkeyPatch) -> None:
    level, calls = Level(), []
    level.to(300)
    level.to(100)
    monkeypatch.setattr(machine, "device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", level.read)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", level.reset)
    with Meter() as measured:
        level.to(250)
        level.to(100)
        assert calls == ["synchronize"]
    assert calls == ["synchronize"] * 2, "kernels that are queued belong to the block"
    assert measured.peak_bytes == 250
    assert measured.ram_peak_bytes > MB


def test_neither_importing_nor_metering_imports_torch() -> None:
    code = (
        "import sys; from course_lib import hardware\n"
        "with hardware.Meter() as m: pass\n"
        "hardware.cores(); hardware.threads(); hardware.memory()\n"
        "assert m.peak_bytes > 0 and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
