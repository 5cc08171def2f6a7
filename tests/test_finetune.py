"""From a file of examples to a saved model: what is in its folder, who can load it, what a run refuses to do."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

import tiny_writer
from course_lib import checkpoint
from course_lib.errors import CourseError
from course_lib.instruct import card, finetune
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.finetune import Done, Job
from course_lib.instruct.models import Learner
from course_lib.instruct.settings import METHODS, Tuning
from course_lib.instruct.tune import tune
from course_lib.memory import gpus
from course_lib.prompts.chat import TEMPLATES
from course_lib.records.conversations import Conversation
from course_lib.records.exchange import FORMATS, write_conversations
from tests import hub_fixtures
from tests.loopback_hub import LoopbackHub
from tests.loopback_writers import LARGE_WRITER

pytestmark = pytest.mark.usefixtures("one_thread")
server, loopback = hub_fixtures.server, hub_fixtures.loopback
QUICK = {"epochs": 2, "batch_size": 4, "rank": 4, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_writer.save(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve examples, as prompt and completion."""
    file = tmp_path_factory.mktemp("mine") / "mine.jsonl"
    write_conversations(file, talks(), "prompt-completion")
    return file


def talks(n: int = 12, seed: int = 0) -> list[Conversation]:
    return [Conversation.of(question, output=answer) for question, answer in tiny_writer.questions(n, seed)]


def a_job(data: Path | str, model: Path | str, out: Path, **more: Any) -> Job:
    """A run of a few seconds: two epochs, two questions asked."""
    tuning = Tuning(**{**QUICK, **{name: more.pop(name) for name in [*more] if name in Tuning.__dataclass_fields__}})
    return Job(str(data), str(model), out, tuning, **{"items": 2, **more})


def heard(run: Callable[[Callable[[str], None]], Done]) -> tuple[Done, str]:
    """What came out of a run, and what it said meanwhile."""
    said: list[str] = []
    done = run(said.append)
    return done, "\n".join(said)


def refused(job: Job, **options: Any) -> str:
    with pytest.raises(CourseError) as caught:
        finetune.finetune(job, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# -- a whole run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=METHODS)
def made(request: pytest.FixtureRequest, base: Path, mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run of each method: the job, what it gave, what it said."""
    job = a_job(mine, base, tmp_path_factory.mktemp(request.param) / "run", method=request.param)
    return (job, *heard(lambda say: finetune.finetune(job, say=say)))


def test_a_run_leaves_a_model_a_card_and_figures(made: tuple[Job, Done, str]) -> None:
    job, done, said = made
    assert done.folder == job.out / "model"
    held = {path.name for path in done.folder.iterdir()}
    weights = "adapter_model.safetensors" if job.tuning.adapts else "model.safetensors"
    assert {"README.md", "finetune.json", "tokenizer.json", "chat_template.jinja", weights} <= held
    assert not [name for name in held if name.startswith(".")]
    assert {path.name for path in job.out.iterdir()} == {
        "run.json", "checkpoints", "before.json", "after.json", "model", "report.json",
    }  # fmt: skip
    assert json.loads((job.out / "report.json").read_text(encoding="utf-8")) == done.report
    for fact in ("11 examples to learn from, 1 to test on", "parameters", "learn; about", "The model is in"):
        assert fact in said


def test_the_figures_are_those_of_the_run(made: tuple[Job, Done, str]) -> None:
    job, done, _ = made
    report = done.report
    assert report["examples"] == {"train": 11, "test": 1, "copies": 0}
    assert len(report["loss"]) == 6
    assert [point["step"] for point in report["held_out"]] == [3, 6]
    assert report["loss"][-1] < report["loss"][0]
    assert report["tuning"]["method"] == job.tuning.method
    assert report["tuning"]["optimizer"] == "adamw"
    assert 0 < report["parameters"]["learned"] <= report["parameters"]["all"]
    assert 0 < report["tokens"]["learned"] < report["tokens"]["train"]
    assert report["seconds"]["measured"] > 0
    assert set(report["versions"]) == set(card.PACKAGES)


def test_the_card_has_the_facts(made: tuple[Job, Done, str]) -> None:
    job, done, _ = made
    text = (done.folder / "README.md").read_text(encoding="utf-8")
    report = done.report
    method = {"full": "all weights", "last-n": "the last 2 blocks", "lora": "LoRA of rank 4", "qlora": "in NF4"}
    for fact in (
        report["fingerprint"], f"{report['parameters']['learned']:,}", "11 examples", "1 held out", "2 epochs",
        "steps of 4 examples", "adamw", "learning rate 0.005", "seed 0", report["date"], report["versions"]["torch"],
        method[job.tuning.method], "| step | loss |", "exact match", f"base_model: {job.model}",
    ):  # fmt: skip
        assert fact in text, fact
    assert text.startswith("---\nbase_model:")


def test_the_model_answers_as_it_did_at_the_end_of_its_run(made: tuple[Job, Done, str]) -> None:
    job, done, _ = made
    assistant = Assistant.from_name(done.folder)
    data = finetune.read(job)
    from course_lib.instruct import examples

    most = min(examples.longest_answer(assistant.chat, data.test), 64)
    again = examples.evaluate(assistant, data.test[: job.items], "after", max_new=most)
    assert json.loads(json.dumps(again.to_json())) == done.report["after"]


def test_a_finished_run_is_not_done_again(made: tuple[Job, Done, str], monkeypatch: pytest.MonkeyPatch) -> None:
    job, done, _ = made
    monkeypatch.setattr(finetune.models, "load", lambda *given: pytest.fail("the model was loaded"))
    again, said = heard(lambda say: finetune.finetune(job, resume=True, say=say))
    assert again == done
    assert "This run is finished" in said


PLAIN = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
base, ids, folders = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
scores = []
for folder in folders:
    if folder.endswith("adapter"):
        from peft import PeftModel
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        scores.append(model.eval()(torch.tensor([ids])).logits[0].double().tolist())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    question = [{"role": "user", "content": "Hello?"}]
    scores[-1].append(tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False))
assert not any(name.startswith("course_lib") for name in sys.modules)
print(json.dumps(scores))
"""


def test_what_is_saved_can_be_loaded_without_the_course(base: Path, mine: Path, tmp_path: Path) -> None:
    """By transformers as a model, by peft as an adapter, in a process that has never heard of the course."""
    ids, expected, folders = [1, 60, 70, 80, 90, 100], [], []
    for method, name in (("full", "model"), ("lora", "adapter")):
        job = a_job(mine, base, tmp_path / method, method=method)
        learner = finetune.models.load(str(base), job.tuning)
        from course_lib.instruct import examples

        tune(learner, examples.items(learner.chat, talks(), learner.limit)[0])
        learner.save(tmp_path / name)
        folders.append(str(tmp_path / name))
        with torch.no_grad():
            logits = learner.model(torch.tensor([ids])).logits[0].double()
        text = learner.chat.text([{"role": "user", "content": "Hello?"}], reply=True)
        expected.append((logits, text))
    command = [sys.executable, "-c", PLAIN, str(base), json.dumps(ids), *folders]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    for (logits, text), rows in zip(expected, json.loads(found.stdout), strict=True):
        torch.testing.assert_close(torch.tensor(rows[:-1], dtype=torch.float64), logits, atol=1e-4, rtol=1e-4)
        assert rows[-1] == text


def test_an_adapter_finds_its_base_from_wherever_it_is_asked(
    base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base, tmp_path / "here" / "base")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = finetune.finetune(a_job(mine, "base", Path("run"), items=0))
    folder = done.folder.absolute()
    monkeypatch.chdir(tmp_path / "there")
    assert Assistant.from_name(folder).answer([[{"role": "user", "content": "Say it loudly: 4 red bags of tea"}]])


# -- data in every format, models of every kind ------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_the_same_run(format: str, base: Path, mine: Path, tmp_path: Path) -> None:
    file = tmp_path / ("mine.csv" if format == "csv" else "mine.jsonl")
    write_conversations(file, talks(), format)
    expected, found = (finetune.read(a_job(data, base, tmp_path / "run")) for data in (mine, file))
    assert found == expected
    assert found.fingerprint == expected.fingerprint


def test_a_model_of_the_hub_with_a_chat_template_of_its_own_is_tuned(
    loopback: LoopbackHub, mine: Path, tmp_path: Path
) -> None:
    """Its weights are in bf16 there, and its tokenizer has no padding token."""
    done = finetune.finetune(a_job(mine, LARGE_WRITER[0], tmp_path / "run", epochs=1))
    record = json.loads((done.folder / "finetune.json").read_text(encoding="utf-8"))
    assert record["base"] == LARGE_WRITER[0]
    config = json.loads((done.folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == LARGE_WRITER[0]
    assert Assistant.from_name(done.folder).answer([[{"role": "user", "content": "4 red bags"}]], max_new=3)


def test_another_family_is_tuned_with_its_own_template(mine: Path, tmp_path: Path) -> None:
    qwen = tiny_writer.save(tmp_path / "qwen", "Qwen2", TEMPLATES["plain"], vocab_size=3080)
    done, said = heard(lambda say: finetune.finetune(a_job(mine, qwen, tmp_path / "run", method="full"), say=say))
    assert done.report["packing"]
    assert (done.folder / "chat_template.jinja").read_text(encoding="utf-8") == TEMPLATES["plain"]
    assert done.report["loss"][-1] < done.report["loss"][0]
    assert "Note:" not in said


def test_a_test_file_is_taken_and_its_copies_are_not_learned(base: Path, tmp_path: Path) -> None:
    write_conversations(tmp_path / "train.jsonl", talks(10), "alpaca")
    write_conversations(tmp_path / "test.jsonl", talks(3), "chat")  # the first three of the ten
    job = a_job(tmp_path / "train.jsonl", base, tmp_path / "run", test=str(tmp_path / "test.jsonl"), items=0)
    done, said = heard(lambda say: finetune.finetune(job, say=say))
    assert done.report["examples"] == {"train": 7, "test": 3, "copies": 3}
    assert "7 examples to learn from, 3 to test on; 3 copies of test examples left out" in said
    assert done.report["before"] is done.report["after"] is None
    assert "Not measured." in (done.folder / "README.md").read_text(encoding="utf-8")
    shutil.copy(tmp_path / "train.jsonl", tmp_path / "same.jsonl")
    job = a_job(tmp_path / "train.jsonl", base, tmp_path / "other", test=str(tmp_path / "same.jsonl"))
    assert "Every training example is a copy of a test example" in refused(job)


def test_fewer_examples_may_be_learned_from(base: Path, mine: Path, tmp_path: Path) -> None:
    found = finetune.read(a_job(mine, base, tmp_path, max_train=4))
    assert (len(found.train), len(found.test)) == (4, 1)
    assert found.train == finetune.read(a_job(mine, base, tmp_path)).train[:4]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_too_few_examples_are_refused(base: Path, tmp_path: Path) -> None:
    write_conversations(tmp_path / "few.jsonl", talks(3), "chat")
    job = a_job(tmp_path / "few.jsonl", base, tmp_path / "run")
    assert "3 examples are too few" in refused(job)
    assert not job.out.exists()


def test_an_answer_longer_than_the_limit_is_named_with_its_file_and_line(base: Path, tmp_path: Path) -> None:
    long = Conversation.of("Tell me more.", output="bread " * 200)
    write_conversations(tmp_path / "long.jsonl", [*talks(7), long], "prompt-completion")
    job = a_job(tmp_path / "long.jsonl", base, tmp_path / "run", test_share=0.2)
    assert "long.jsonl, line 8: " in refused(job)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_test_share_that_is_none_is_refused(base: Path, mine: Path, tmp_path: Path, share: float) -> None:
    assert "The test share must lie between 0 and 1" in refused(a_job(mine, base, tmp_path / "run", test_share=share))


def test_models_that_cannot_be_tuned_are_refused_before_anything_is_written(mine: Path, tmp_path: Path) -> None:
    assert "encoder" in refused(a_job(mine, "minilm", tmp_path / "run"))
    assert "nowhere" in refused(a_job(mine, "./nowhere", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_in_use_is_left_alone(base: Path, mine: Path, tmp_path: Path) -> None:
    job = a_job(mine, base, tmp_path / "run")
    job.out.mkdir()
    (job.out / "thesis.txt").write_text("mine")
    assert "holds something else: name a folder" in refused(job)
    assert "holds something else" in refused(job, resume=True)
    assert [path.name for path in job.out.iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("mine")
    assert "is a file: name a folder" in refused(dataclasses.replace(job, out=tmp_path / "file"))
    assert "name another folder" in refused(dataclasses.replace(job, out=tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def finished(base: Path, mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = a_job(mine, base, tmp_path_factory.mktemp("finished") / "run", items=0, epochs=1)
    finetune.finetune(job)
    return job


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tuning": {"rank": 8}}, "rank 4, not 8"),
        ({"tuning": {"seed": 1}}, "another"),  # the seed decides the split, too
        ({"tuning": {"method": "full"}}, "method 'lora', not 'full'"),
        ({"items": 5}, "items 0, not 5"),
        ({"max_train": 5}, "data another"),
        ({"model": "course-base"}, "model"),
    ],
)
def test_another_run_does_not_go_on_in_the_folder(finished: Job, change: dict[str, Any], said: str) -> None:
    tuning = dataclasses.replace(finished.tuning, **change.pop("tuning", {}))
    other = dataclasses.replace(finished, tuning=tuning, **change)
    sentence = refused(other, resume=True)
    assert "was started with" in sentence
    assert said in sentence


def test_a_run_is_not_overwritten_without_resume(finished: Job) -> None:
    before = (finished.out / "report.json").read_bytes()
    assert "holds a run already: add --resume" in refused(finished)
    assert (finished.out / "report.json").read_bytes() == before


def test_figures_that_are_damaged_are_named(finished: Job, tmp_path: Path) -> None:
    shutil.copytree(finished.out, tmp_path / "run")
    (tmp_path / "run" / "report.json").write_text("{")
    assert "report.json cannot be read" in refused(dataclasses.replace(finished, out=tmp_path / "run"), resume=True)


def tiny_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU on which nothing fits."""
    card_ = dataclasses.replace(gpus.gpu("t4"), usable=gpus.gpu("t4").context + 2**20)
    monkeypatch.setattr(gpus, "this_machine", lambda: card_)


def test_what_cannot_fit_is_refused_with_advice_before_weights_are_loaded(
    base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_card(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(finetune.models, "load", lambda *given: pytest.fail("the model was loaded"))
        sentence = refused(a_job(mine, base, tmp_path / "run", method="full"))
    assert "--ignore-memory tries it as it is" in sentence
    assert "fit" in sentence
    assert sentence.count(".") >= 2  # the verdict, advice, and the way out
    # Nothing was done yet, so the same folder may be used by what the advice says.
    done = finetune.finetune(a_job(mine, base, tmp_path / "run", method="lora", memory="ignore", epochs=1, items=0))
    assert done.folder.is_dir()


# -- interruptions -----------------------------------------------------------------------------------------------------


def stopping_at(step: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training stop with an error after so many steps."""
    from course_lib.train.loop import Run

    take = Run.take

    def stops(run: Run, indices: list[list[int]]) -> None:
        if run.step == step:
            raise error
        take(run, indices)

    monkeypatch.setattr(Run, "take", stops)


def test_an_interrupted_run_goes_on_to_the_same_losses_and_asks_nothing_twice(
    base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finetune.finetune(a_job(mine, base, tmp_path / "whole", save_every=1)).report
    job = a_job(mine, base, tmp_path / "run", save_every=1)
    with monkeypatch.context() as patched:
        stopping_at(4, KeyboardInterrupt(), patched)
        with pytest.raises(KeyboardInterrupt):
            finetune.finetune(job)
    assert not (job.out / "model").exists()
    asked, evaluate = [], finetune.examples.evaluate
    monkeypatch.setattr(
        finetune.examples, "evaluate", lambda *given, **more: asked.append(given[2]) or evaluate(*given, **more)
    )
    report = finetune.finetune(job, resume=True).report
    assert asked == ["after"]
    assert report["resumed_at"] == 4
    assert report["seconds"]["measured"] is None
    for name in ("loss", "held_out", "before", "after", "fingerprint"):
        assert report[name] == expected[name]
    assert adapter(tmp_path / "run") == adapter(tmp_path / "whole")


def adapter(run: Path) -> bytes:
    return (run / "model" / "adapter_model.safetensors").read_bytes()


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(mine, base, tmp_path / "run", items=0)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_write_tensors", lambda *given: (_ for _ in ()).throw(full))
        patched.setattr(Learner, "save", lambda *given: (_ for _ in ()).throw(full))
        with pytest.warns(UserWarning, match="could not be saved"), pytest.raises(OSError, match="No space left"):
            finetune.finetune(job)
    assert not (job.out / "model").exists()
    assert finetune.finetune(job, resume=True).report["resumed_at"] == 0


def test_a_disk_that_is_full_while_weights_are_written_is_the_systems_error(
    base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors has an error of its own for it, with the system's number in its text."""
    job = a_job(mine, base, tmp_path / "run", items=0)
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "save", lambda *given: (_ for _ in ()).throw(SafetensorError(words)))
        with pytest.raises(OSError, match="No space left") as caught:
            finetune.finetune(job)
    assert caught.value.errno == errno.ENOSPC
    assert finetune.finetune(job, resume=True).report["resumed_at"] == 6
