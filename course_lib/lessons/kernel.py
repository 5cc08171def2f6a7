"""Executing one notebook in a fresh kernel that leaves nothing behind.

The kernel runs *this* interpreter, whatever the notebook's metadata or the machine's kernelspecs say, because anything
else would test another environment. Its folders (work, history, connection file, progress) are temporary. However the
run ends, by itself, by Ctrl-C or by SIGTERM, the kernel and all its children are killed and the folders removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.assets import PACKAGE
from course_lib.lessons.outputs import ESCAPES

OnCell = Callable[[int, int], None]  # code cells done, code cells in all


@dataclass(frozen=True)
class Failure:
    """The cell that stopped a notebook."""

    cell: int  # counted from 1, markdown cells included
    source: str
    error: str  # "ValueError: what it said"
    traceback: str  # without colours


@dataclass(frozen=True)
class Execution:
    """How executing a notebook went. Times are in seconds."""

    cells: int  # code cells that were executed
    seconds: float
    slowest_cell: int  # counted from 1, markdown cells included
    slowest_seconds: float
    first_picture: float | None  # from the start of the run
    failure: Failure | None


def execute(
    notebook: Any, env: Mapping[str, str] | None = None, on_cell: OnCell | None = None, timeout: float | None = None
) -> Execution:
    """Run all cells of ``notebook``, in place, as "Run all" does: the first error stops it.

    ``env`` is added to the kernel's environment; ``timeout`` limits each cell, in seconds. Raises KeyboardInterrupt
    when it is interrupted, after cleaning up.
    """
    with tempfile.TemporaryDirectory(prefix="course-kernel-") as folder:
        try:
            return asyncio.run(_execute(notebook, Path(folder), dict(env or {}), on_cell or _silent, timeout))
        except asyncio.CancelledError:  # by SIGTERM
            raise KeyboardInterrupt from None


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


async def _execute(
    notebook: Any, folder: Path, env: dict[str, str], on_cell: OnCell, timeout: float | None
) -> Execution:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    started = time.perf_counter()
    numbered = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    seconds: dict[int, float] = {}
    first_picture, failure = None, None
    async with contextlib.AsyncExitStack() as closing:
        closing.enter_context(_terminable())
        manager = await closing.enter_async_context(_kernel(folder, env))
        client = NotebookClient(notebook, km=manager, timeout=timeout, store_widget_state=False, record_timing=False)
        client.reset_execution_trackers()
        channels = await client.async_start_new_kernel_client()
        closing.callback(channels.stop_channels)
        for done, (index, cell) in enumerate(numbered):
            on_cell(done, len(numbered))
            began = time.perf_counter()
            try:
                await client.async_execute_cell(cell, index)
            except CellTimeoutError:
                failure = Failure(index + 1, cell.source, f"TimeoutError: it took more than {timeout:g} s", "")
            except CellExecutionError as error:
                said = ESCAPES.sub("", f"{error.ename}: {error.evalue}")
                failure = Failure(index + 1, cell.source, said, ESCAPES.sub("", error.traceback))
            except DeadKernelError:
                if _cancelled():  # nbclient takes a cancelled wait for a dead kernel
                    raise asyncio.CancelledError from None
                failure = Failure(
                    index + 1, cell.source, "DeadKernelError: the kernel died, perhaps out of memory", _log(folder)
                )
            seconds[index] = time.perf_counter() - began
            if first_picture is None and _has_picture(cell):
                first_picture = time.perf_counter() - started
            if failure:
                break
        else:
            on_cell(len(numbered), len(numbered))
    slowest = max(seconds, key=seconds.__getitem__, default=-1)
    return Execution(
        cells=len(seconds),
        seconds=time.perf_counter() - started,
        slowest_cell=slowest + 1,
        slowest_seconds=seconds.get(slowest, 0.0),
        first_picture=first_picture,
        failure=failure,
    )


@contextlib.asynccontextmanager
async def _kernel(folder: Path, env: dict[str, str]) -> AsyncIterator[Any]:
    """A running kernel of this interpreter, dead with all its children afterwards."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(KernelSpecManager):
        """The only kernel there is."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3 (ipykernel)", language="python")

    work = folder / "work"
    work.mkdir()
    manager = AsyncKernelManager(kernel_spec_manager=ThisInterpreter(), connection_file=str(folder / "kernel.json"))
    if os.name == "posix":
        manager.transport = "ipc"  # files in our own folder instead of ports that anybody on this machine may open
    try:
        with (folder / "kernel.log").open("wb") as log:
            await manager.start_kernel(cwd=str(work), env=_environment(folder, env), stdout=log, stderr=log)
        yield manager
    finally:
        with _undisturbed():
            children = _children(manager)
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def _environment(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """The kernel's variables: this process's, with its own folders, and with the package that is running now."""
    paths = [str(PACKAGE.parent)] if (PACKAGE.parent / "pyproject.toml").exists() else []
    paths = [*paths, *filter(None, [env.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")])]
    own = {"COURSE_HOME": folder / "progress", "IPYTHONDIR": folder / "ipython", "JUPYTER_RUNTIME_DIR": folder}
    return {
        # Threads that wait for work sleep instead of spinning: beside another busy process, spinning made training on
        # two cores several times slower where this was written.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        **{name: str(path) for name, path in own.items()},
        "PYTHONPATH": os.pathsep.join(paths),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else some interpreters warn at the start of every kernel
        **env,
    }


def _children(manager: Any) -> list[int]:
    """The processes that a kernel has started; killing its group misses those that made a group of their own."""
    import psutil

    process = getattr(manager.provisioner, "process", None)
    if process is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    return []


def _log(folder: Path) -> str:
    """The last words of a kernel, where the interpreter or a native library left some."""
    return (folder / "kernel.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _has_picture(cell: Any) -> bool:
    data = [output.get("data", {}) for output in cell.outputs]
    return any("image/png" in kinds or "<img" in "".join(kinds.get("text/html", "")) for kinds in data)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return bool(task and task.cancelling())


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM cancels the running task as Ctrl-C does, where this is the main thread of a system that can."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # only a coroutine enters here
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except (NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold off a second Ctrl-C while the kernel is being stopped, which takes well under a second."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
