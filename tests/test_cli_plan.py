"""`course plan`: options and their names, mistakes, models from files and the hub, what people and programs read."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from course_lib.cli import app
from course_lib.cli.plan import spelled, usual_precision
from course_lib.hardware import detect
from course_lib.memory import gpus, models, report
from course_lib.memory.recipe import Recipe
from tests.loopback_hub import LoopbackHub
from tests.loopback_repositories import Repo

ROOT = Path(__file__).parents[1]
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 128,
}
PROMISED = {"peak_bytes", "parts", "fits", "advice", "trainable_params", "total_params", "seconds"}
Captured = Callable[..., tuple[int, str, str]]


@pytest.fixture
def course(course: Captured) -> Captured:
    """Run `course plan` with the words of these arguments; exit code, standard output, standard error."""
    return lambda *arguments: course("plan", *words(arguments))


@pytest.fixture
def figures(course: Captured) -> Callable[..., dict[str, Any]]:
    """The JSON of a `course plan` that goes well; with the formulas unless told otherwise."""

    def run(*arguments: object, engine: str = "formulas") -> dict[str, Any]:
        code, out, err = course(*arguments, "--engine", engine, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config.json of a tiny Llama that reads 128 tokens."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    return folder


def words(arguments: tuple[object, ...]) -> list[str]:
    """The words of a command line that is written in pieces."""
    return " ".join(str(argument) for argument in arguments).split()


def sentence(error: str) -> str:
    """All that was said: one sentence of the command line."""
    (line,) = error.strip().splitlines()
    assert line.startswith("error: "), error
    assert line.endswith((".", "?")), error
    return line


# -- options -----------------------------------------------------------------------------------------------------------


def test_every_setting_of_a_recipe_is_an_option_and_no_option_is_for_nothing() -> None:
    options = {option for parameter in get_command(app).commands["plan"].params for option in parameter.opts}
    settings = {"--" + field.name.replace("_", "-") for field in fields(Recipe)}
    assert options == settings | {"--model", "--gpu", "--engine", "--list", "--json"}


def test_options_reach_the_recipe_and_everything_else_stays_as_a_recipe_has_it(figures: Callable[..., Any]) -> None:
    given = "--method qlora --gpu l4 --micro-batch 2 --seq-len 256 --rank 4 --targets q_proj,v_proj --chunked-loss 64"
    given += " --optimizer paged-adamw-8bit --checkpointing --accumulate 3 --lora-dropout 0.1 --no-double-quantization"
    wanted = Recipe(
        method="qlora",
        micro_batch=2,
        seq_len=256,
        rank=4,
        targets=("q_proj", "v_proj"),
        chunked_loss=64,
        optimizer="paged-adamw-8bit",
        checkpointing=True,
        accumulate=3,
        lora_dropout=0.1,
        double_quantization=False,
    )
    found = figures("--model llama-2-7b", given)
    assert found["recipe"] == json.loads(json.dumps(dataclasses.asdict(wanted)))
    assert found["gpu"] == "l4"


def test_names_are_found_whatever_their_case_and_as_other_libraries_write_them(figures: Callable[..., Any]) -> None:
    given = "--model META-LLAMA/Llama-2-7b-HF --gpu A100-80 --method LoRA --precision BFloat16 --targets QV"
    given += " --optimizer paged_adamw_8bit --attention Flash_Attention_2 --devices 2 --sharding ZeRO-3"
    found = figures(given)
    assert found["model"] == "llama-2-7b"
    assert found["gpu"] == "a100-80"
    wanted = {
        "method": "lora",
        "targets": "qv",
        "optimizer": "paged-adamw-8bit",
        "attention": "flash",
        "devices": 2,
        "sharding": "zero3",
    }
    assert wanted.items() <= found["recipe"].items()
    assert spelled("float16") == "fp16"


def test_the_precision_is_the_gpus_unless_given(figures: Callable[..., Any]) -> None:
    assert figures("--model gpt2 --gpu t4")["recipe"]["precision"] == "fp16-mixed"
    assert figures("--model gpt2 --gpu t4 --method lora")["recipe"]["precision"] == "fp16"
    assert figures("--model gpt2 --gpu a100-40")["recipe"]["precision"] == "bf16"
    assert figures("--model gpt2 --gpu t4 --precision fp32")["recipe"]["precision"] == "fp32"
    assert usual_precision(gpus.main_memory(detect(), 0), "full") == "fp32"


def test_a_short_model_is_planned_at_its_own_length_and_may_be_given_a_shorter_one(
    figures: Callable[..., Any], tiny: Path
) -> None:
    assert figures("--model", tiny)["recipe"]["seq_len"] == 128
    assert figures("--model", tiny, "--method inference --new-tokens 28")["recipe"]["seq_len"] == 100
    assert figures("--model", tiny, "--seq-len 64")["recipe"]["seq_len"] == 64


def test_this_machine_is_a_gpu_too(figures: Callable[..., Any], tiny: Path) -> None:
    found = figures("--model", tiny, "--gpu here")
    assert found["gpu"] == gpus.this_machine().name
    assert found["fits"]


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--method lora", "Missing --model: name a preset such as llama-2-7b"),
        ("--model llama-2", "did you mean llama-2-7b or llama-2-13b or llama-2-70b?"),
        ("--model llama-2-7b --gpu t5", "There is no GPU 't5'; choose one of t4, "),
        ("--model llama-2-7b --gpu a100", "did you mean a100-40 or a100-80?"),
        ("--model llama-2-7b --method magic", "choose one of full, last-n, lora, qlora, prompt, inference"),
        ("--model llama-2-7b --engine guess", "choose one of trace, formulas, both"),
        ("--model llama-2-7b --precision int8", "choose one of fp32, fp16, bf16"),
        ("--model llama-2-7b --optimizer lion", "choose one of adamw, "),
        ("--model llama-2-7b --method lora --rank -1", "rank is a whole number from 1 up, not -1"),
        ("--model llama-2-7b --method lora --rank many", "'--rank'"),
        ("--model llama-2-7b --method lora --targets nose", "targets may be all-linear, qv or some of q_proj, k_proj"),
        ("--model llama-2-7b --method lora --targets ,", "choose all-linear, qv, or names separated by commas"),
        ("--model llama-2-7b --seq-len 4097", "reads at most 4096 tokens; --seq-len 4097 is beyond that"),
        ("--model llama-2-7b --micro-batch 0", "--micro-batch is a whole number from 1 up, not 0"),
        ("--model llama-2-7b --method last-n --blocks 33", "last-n can train 1 to 32 of them"),
        ("--model llama-2-7b --devices 0", "devices is a whole number from 1 up, not 0"),
        ("--model llama-2-7b --devices 2", "choose sharding ddp, zero1, zero2, zero3 or fsdp"),
        ("--model llama-2-7b --sharding zero3", "give --devices 2 or more"),
        ("--model minilm --method prompt", "is an encoder"),
        ("--model no/such/model", "There is no model 'no/such/model' here: give a path that exists"),
        ("--model no/such.json", "such.json cannot be read; give a folder with a config.json"),
        ("--model .", "config.json cannot be read; give a folder with a config.json"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_a_sentence_that_names_the_choices(
    course: Captured, arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = course(arguments, "--json")
    assert (code, out) == (2, "")
    assert said in sentence(err)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(LLAMA | {"num_attention_heads": 128}), "128 heads are more than the width 64"),
        (json.dumps(LLAMA | {"num_hidden_layers": -2}), "num_hidden_layers must be a whole number above 0, not -2"),
        (json.dumps(LLAMA | {"model_type": "t5"}), "'t5' is no language model that the planner knows"),
        (json.dumps(LLAMA | {"hidden_size": 60}), "RoPE requires an even rotary dimension"),
        (json.dumps(LLAMA | {"rms_norm_eps": "small"}), "Field 'rms_norm_eps' expected float, got str"),
        (
            json.dumps(LLAMA | {"hidden_act": "nope"}),
            "transformers cannot build a llama from its config (KeyError: 'nope')",
        ),
        (json.dumps({"hidden_size": 64}), "has no model_type"),
        ("[1, 2]", "give the config.json of a transformers model"),
        ("{", "is not JSON; give the config.json of a transformers model"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_in_a_sentence(
    course: Captured, content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    for model in (path, tmp_path):
        code, out, err = course("--model", model)
        assert (code, out) == (2, "")
        assert said in sentence(err)


# -- models from files and from the hub --------------------------------------------------------------------------------


def test_a_preset_a_file_and_a_folder_with_its_config_give_the_same_figures(
    figures: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(dict(models.preset("smollm2-135m").config)), encoding="utf-8")
    first, *others = (
        figures("--model", model) for model in ("smollm2-135m", tmp_path, tmp_path / "config.json", "SmolLM2-135M")
    )
    assert first["total_params"] == 134_515_008
    for other in others:
        assert other["phases"] == first["phases"]


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    """A hub with an open and a gated model, of whose weights nothing may be asked for."""
    with LoopbackHub() as running:
        for name, gated in (("someone/tiny-llama", False), ("someone/secret-llama", True)):
            files = {"config.json": json.dumps(LLAMA).encode(), "model.safetensors": b"weights", "README.md": b"#"}
            running.repos["models", name] = Repo("models", name, files, gated=gated)
        yield running


def test_of_a_model_on_the_hub_only_the_config_is_fetched_and_refusals_are_sentences(
    hub: LoopbackHub, figures: Callable[..., Any], tiny: Path
) -> None:
    names = ["someone/tiny-llama", "someone/secret-llama", "someone/no-llama"]
    code = "import sys\nfrom course_lib.cli import main\n"
    code += "print([main(['plan', '--engine', 'formulas', '--json', '--model', n]) for n in sys.argv[1:]])"
    command = [sys.executable, "-W", "error", "-c", code, *names]
    done = subprocess.run(
        command, env={**os.environ, **hub.env}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    answer, _, codes = done.stdout.strip().rpartition("\n")
    assert codes == "[0, 2, 2]", done.stderr
    assert json.loads(answer)["phases"] == figures("--model", tiny)["phases"]
    assert not hub.asked_for("*.safetensors")
    gated, missing = done.stderr.strip().splitlines()
    assert "someone/secret-llama" in sentence(gated)
    assert "someone/no-llama" in sentence(missing)


# -- what programs read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["trace", "formulas"])
@pytest.mark.parametrize("method", ["full", "last-n", "lora", "qlora", "prompt", "inference"])
def test_every_method_has_figures_that_agree_with_each_other(
    figures: Callable[..., Any], tiny: Path, method: str, engine: str
) -> None:
    found = figures("--model", tiny, "--method", method, engine=engine)
    assert set(found) >= PROMISED
    assert found["engine"] == engine
    assert found["peak_bytes"] == sum(found["parts"].values()) == max(sum(p.values()) for p in found["phases"].values())
    assert found["phases"][found["peak_phase"]] == found["parts"]
    assert found["reserved_bytes"] == found["segments_bytes"] + found["context_bytes"] >= found["peak_bytes"]
    assert found["free_bytes"] == found["usable_bytes"] - found["reserved_bytes"]
    assert found["fits"]
    assert found["advice"] == []
    assert (found["trainable_params"] > 0) == (method != "inference")
    assert found["total_params"] > 0
    assert found["seconds"] > 0
    assert found["seconds_basis"]


def test_what_does_not_fit_comes_with_changes_and_their_peaks(figures: Callable[..., Any]) -> None:
    found = figures("--model llama-2-7b --gpu t4")
    assert not found["fits"]
    assert found["free_bytes"] < 0
    assert found["advice"]
    assert all(entry["changes"] and entry["peak_bytes"] > 0 for entry in found["advice"])
    assert any(entry["fits"] for entry in found["advice"])


def test_both_engines_can_be_asked_at_once(figures: Callable[..., Any], tiny: Path) -> None:
    found = figures("--model", tiny, "--method lora", engine="both")
    assert (found["engine"], found["other"]["engine"]) == ("trace", "formulas")
    assert found["other"]["trainable_params"] == found["trainable_params"]


def test_the_list_names_every_preset_and_gpu_for_people_and_for_programs(course: Captured) -> None:
    code, out, _ = course("--list")
    rows = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert code == 0
    assert rows >= {*models.presets(), *gpus.gpus()}
    code, out, _ = course("--list --json")
    listed = json.loads(out)
    assert code == 0
    assert {entry["name"]: entry["parameters"] for entry in listed["models"]} == {
        name: preset.parameters for name, preset in models.presets().items()
    }
    assert {entry["name"]: entry["usable_bytes"] for entry in listed["gpus"]} == {
        name: card.usable for name, card in gpus.gpus().items()
    }


# -- what people read --------------------------------------------------------------------------------------------------


@pytest.fixture
def narrow(course: Captured, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The output of a `course plan` on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> str:
        code, out, err = course(*arguments)
        assert (code, err) == (0, "")
        assert max(len(line) for line in out.splitlines()) <= 80
        return out

    return run


def test_people_read_parts_peak_verdict_and_time_on_80_columns(narrow: Callable[..., str]) -> None:
    text = narrow("--model llama-2-7b --method lora --gpu t4 --checkpointing --engine formulas")
    assert "llama-2-7b on NVIDIA T4 16 GB" in text
    assert "6,738,415,616 parameters, 19,988,480 learn (0.30%)" in text
    assert "lora, rank 8, all-linear, adapters in fp32, fp16, 1 × 512 tokens, adamw" in text
    head, weights = (next(line for line in text.splitlines() if line.startswith(name)) for name in ("GB ", "weights"))
    assert head.split() == ["GB", "load", "forward", "loss", "backward", "step"]
    assert weights.split() == ["weights", *["13.48"] * 5]
    for word in ("of live tensors, in phase", "in nvidia-smi", "per optimizer step", "its 15.63 GB"):
        assert word in " ".join(text.split())


def test_both_engines_stand_side_by_side_and_what_does_not_fit_is_followed_by_what_would_help(
    narrow: Callable[..., str], tiny: Path
) -> None:
    text = narrow("--model", tiny, "--gpu t4 --engine both")
    rows = [line.split() for line in text.splitlines()]
    assert ["MB", "at", "the", "peak", "trace", "formulas", "difference"] in rows
    assert any(row[:3] == ["the", "process", "holds"] and row[-1].endswith("%") for row in rows)
    assert "Fits NVIDIA T4 16 GB" in text
    assert "What would help" not in text
    text = narrow("--model llama-2-7b --gpu t4 --engine formulas")
    assert "Does not fit NVIDIA T4 16 GB" in text
    assert "What would help" in text


def test_several_gpus_and_the_list_fit_80_columns_too(narrow: Callable[..., str]) -> None:
    text = narrow("--model llama-2-70b --gpu h100 --devices 8 --sharding zero3 --engine formulas")
    assert "zero3 over 8 GPUs" in text
    assert "on each GPU" in text
    assert "sent by each GPU" in text
    narrow("--list")


def test_a_plan_can_be_said_in_one_line(tiny: Path) -> None:
    from course_lib.memory.plan import plan

    found = plan(tiny, method="lora", gpu="t4", seq_len=64, engine="formulas")
    said = report.line(found)
    assert said.startswith(f"{tiny.name}, lora: ")
    assert report.verdict(found) in said
    assert "\n" not in said


# -- cost --------------------------------------------------------------------------------------------------------------


def alone(*arguments: object) -> tuple[dict[str, Any], set[str], int]:
    """JSON of a `course plan` in a process of its own, the libraries it imported, and its peak of memory in bytes."""
    code = "import sys\nfrom pathlib import Path\nfrom course_lib.cli import main\nassert main(sys.argv[1:]) == 0\n"
    code += "heavy = {'torch', 'transformers', 'numpy', 'pandas'} & set(sys.modules)\n"
    # not from getrusage, where a process begins with the peak of the one that started it
    code += "peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
    code += "print(*sorted(heavy), int(peak) * 1024)"
    command = [sys.executable, "-c", code, "plan", *words(arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    answer, _, last = done.stdout.strip().rpartition("\n")
    *imported, size = last.split()
    return json.loads(answer), set(imported), int(size)


def test_the_formulas_need_no_library() -> None:
    found, imported, size = alone("--model llama-2-70b --method qlora --gpu a100-80 --engine formulas")
    assert found["total_params"] == 68_976_648_192
    assert imported == set()
    assert size < 200e6


def test_the_trace_of_70_billion_parameters_takes_less_than_2_gb_of_main_memory() -> None:
    found, _, size = alone("--model llama-2-70b --method qlora --gpu a100-80 --checkpointing")
    assert found["engine"] == "trace"
    assert found["fits"]
    assert found["peak_bytes"] > 34e9
    assert size < 2e9
