"""A course of two tiny lessons in a folder, for tests of the toolchain: it runs in seconds and needs no model."""

from __future__ import annotations

from pathlib import Path

PROJECT = """\
[project]
name = "small-course"

[project.urls]
{repository}
"""

FIRST = """\
# %% [markdown]
# # One small lesson

# %% tags=["setup"]

# %% [markdown] tags=["instructor"]
# Ask the room what six times seven is.

# %%
import sys
from IPython.display import display

print("six times", end=" ")
print("seven", file=sys.stderr)
print("seven")

# %% [markdown]
# ## A question

# %% tags=["solution"]
# stub: answer = ...  # your turn: count on your fingers
answer = 6 * 7

# %%
print("not attempted" if answer is ... else "right" if answer == 42 else "wrong")

# %%
print("twice")

# %%
print("twice")
"""

SECOND = """\
# %% [markdown]
# # Another lesson

# %%
value = 21
value * 2
"""


def small_course(root: Path, *, repository: str = "", first: str = FIRST, second: str = SECOND) -> Path:
    """Write the course below ``root`` and return it."""
    line = f'Repository = "{repository}"' if repository else ""
    (root / "notebooks" / "source").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT.format(repository=line), encoding="utf-8")
    (root / "notebooks" / "source" / "01_small.py").write_text(first, encoding="utf-8")
    (root / "notebooks" / "source" / "02_another.py").write_text(second, encoding="utf-8")
    return root
