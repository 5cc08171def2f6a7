"""Known traps, looked for on this machine, each with the way out.

Most hours that people lose with a course are lost before its first lesson: another Python answers than the one that was
set up, an old package breaks a new one, a GPU is there and its driver is not. Each trap here is recognised by something
measured or read, and comes with a command or a setting that ends it.

`traps` are functions of the `surroundings`, which hold everything that can be asked; tests replace what they need. Left
out: what only a long run would show, such as a GPU that grows too hot.
"""

from course_lib.doctor.findings import examine, render, report
from course_lib.doctor.surroundings import Surroundings, installed, requirements
from course_lib.doctor.traps import TORCHAO, TRAPS, Trap, look

__all__ = [
    "TORCHAO",
    "TRAPS",
    "Surroundings",
    "Trap",
    "examine",
    "installed",
    "look",
    "render",
    "report",
    "requirements",
]
