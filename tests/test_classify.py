"""The ladder on tiny random encoders: exact where it claims to be exact, and never losing what is finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.classify import Encoder, LadderConfig, Task, climb, label_curve, load_predictor, rungs, select
from course_lib.classify.encoder import find_blocks
from course_lib.classify.ladder import RungResult
from course_lib.classify.prefix import Cost
from course_lib.classify.rungs import features
from course_lib.errors import CourseError
from course_lib.records import Records

GOOD, BAD = ["lovely", "great", "happy", "fine", "warm"], ["awful", "broken", "sad", "poor", "cold"]
FILLER = ["the", "tea", "cup", "from", "a", "shop", "in", "town", "was", "on", "my", "table", "with", "some", "milk"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLER, "meh", "okay"]
CONFIG = LadderConfig(batch_size=8, epochs=2, head_epochs=4, rnn_epochs=4, head_hidden=16, precision="no")


def texts_with_moods(n: int, classes: int = 2, seed: int = 0) -> Records:
    """Short texts of varied length that carry two words of their class's mood."""
    random = np.random.default_rng(seed)
    moods = [BAD, GOOD, ["meh", "okay"]][:classes]
    texts, labels = [], []
    for k in range(n):
        label = k % classes
        words = [*random.choice(FILLER, random.integers(3, 16)), *random.choice(moods[label], 2)]
        random.shuffle(words)
        texts.append(" ".join(words))
        labels.append(label)
    return Records(tuple(texts), tuple(labels), ("bad", "good", "mixed")[:classes], "moods")


def tiny_encoder(folder: Path, architecture: str = "bert", dropout: float = 0.1) -> Encoder:
    """A random encoder with three blocks, 32 wide, in Hugging Face format, loaded as a user's own folder is."""
    import transformers
    from transformers import BertTokenizerFast

    torch.manual_seed(0)
    size = len(VOCABULARY)
    if architecture == "bert":
        config = transformers.BertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=64, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        )  # fmt: skip
    elif architecture == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=size, dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=64,
            dropout=dropout, attention_dropout=dropout,
        )  # fmt: skip
    else:
        config = transformers.RobertaConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=66, pad_token_id=0, hidden_dropout_prob=dropout,
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return Encoder.load(str(folder), max_length=64)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture
def task(encoder: Encoder) -> Task:
    return Task(texts_with_moods(48), texts_with_moods(40, seed=1), encoder, CONFIG)


# -- the cut -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_any_cut_gives_the_whole_encoders_output(architecture: str, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / architecture, architecture)
    inputs, mask = torch.randint(5, 20, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    mask[1, 5:] = 0
    with torch.no_grad():
        whole = encoder.model(input_ids=inputs, attention_mask=mask).last_hidden_state
        for level in range(1, encoder.depth + 1):
            halves = encoder.span(level)(encoder.span(0, level)(inputs, mask), mask)
            assert torch.allclose(halves[mask == 1], whole[mask == 1], atol=1e-6), level


def test_a_span_is_a_copy_and_holds_only_its_own_blocks(encoder: Encoder) -> None:
    span = encoder.span(2)
    block = sum(p.numel() for p in find_blocks(encoder.model)[1][0].parameters())
    assert sum(p.numel() for p in span.parameters()) == block
    before = [p.clone() for p in encoder.model.parameters()]
    with torch.no_grad():
        for p in span.parameters():
            p.add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.model.parameters(), strict=True))


def test_an_encoder_that_cannot_be_cut_is_refused_in_one_sentence(encoder: Encoder) -> None:
    class NoBlocks(torch.nn.Module):
        config = encoder.model.config

    with pytest.raises(CourseError, match="no plain list of blocks"):
        find_blocks(NoBlocks())


# -- the cache ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", ["last-1", "last-2"])
def test_training_on_cached_states_gives_the_same_losses_and_scores_as_without_the_cache(task: Task, rung: str) -> None:
    (chosen,) = select(3, [rung])
    cached = chosen.run(task, None)
    plain = chosen.run(replace(task, config=replace(CONFIG, cache=False)), None)
    assert cached.level == 3 - int(rung[-1])
    assert plain.level == 0
    assert cached.history is not None
    assert plain.history is not None
    np.testing.assert_allclose(cached.history.loss, plain.history.loss, atol=1e-5)
    np.testing.assert_allclose(cached.scores, plain.scores, atol=1e-4)


def test_cached_features_are_those_of_the_whole_encoder(task: Task) -> None:
    plain = replace(task, config=replace(CONFIG, cache=False))
    for cached, whole in zip(features(task), features(plain), strict=True):
        torch.testing.assert_close(cached, whole, atol=1e-5, rtol=0)


def test_a_level_that_does_not_fit_is_left_out_and_the_rung_still_runs(task: Task) -> None:
    task.cache.budget = task.cache.level_bytes() + 1
    assert task.states(3) is not None  # the highest level saves most
    assert task.states(1) is None
    outcome = select(3, ["last-2"])[0].run(task, None)
    assert outcome.level == 0
    assert outcome.scores.shape == (40, 2)


def test_each_level_costs_what_the_levels_below_it_cost_and_more(task: Task) -> None:
    task.states(3)
    costs = [task.cache.cost(level).cpu_seconds for level in range(4)]
    assert costs[0] == 0
    assert costs == sorted(set(costs))


def test_a_sample_of_a_task_uses_the_states_of_the_whole(task: Task) -> None:
    task.states(3)
    small = task.sample(12)
    states = small.states(3)
    assert states is not None
    assert small.cache is task.cache
    fresh = Task(small.train, small.test, task.encoder, CONFIG).states(3)
    assert fresh is not None
    for mine, theirs in zip([*states[0], *states[1]], [*fresh[0], *fresh[1]], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


# -- the rungs ---------------------------------------------------------------------------------------------------------


def test_the_ladder_has_a_rung_for_every_number_of_blocks_in_order() -> None:
    names = list(rungs(3))
    assert names == [
        "majority", "tfidf", "rnn", "features-logreg", "features-svm", "head", "last-1", "last-2", "last-3",
        "all", "layerwise", "lora",
    ]  # fmt: skip


def test_trainable_parameters_are_those_of_the_parts_that_train(task: Task) -> None:
    found = {result.rung: result.trainable_params for result in climb(task)}
    width, hidden, classes, mlp, rank = 32, 16, 2, 64, 8
    head = width * hidden + hidden + hidden * classes + classes
    block = 4 * (width * width + width) + (width * mlp + mlp) + (mlp * width + width) + 2 * 2 * width
    embeddings = (len(VOCABULARY) + 64 + 2) * width + 2 * width
    assert found["majority"] == 0
    assert found["features-logreg"] == found["features-svm"] == classes * (width + 1)
    assert found["head"] == head
    assert [found[f"last-{n}"] for n in (1, 2, 3)] == [n * block + head for n in (1, 2, 3)]
    assert found["all"] == found["layerwise"] == embeddings + 3 * block + head
    assert found["lora"] == head + 3 * 2 * (width * rank + rank * width)  # queries and values of three blocks


def test_rungs_start_clean_so_their_order_does_not_matter(task: Task, encoder: Encoder) -> None:
    forward = {r.rung: r.predictions for r in climb(task, ["last-1", "all", "lora"])}
    alone = {name: climb(task, [name])[0].predictions for name in ("lora", "all", "last-1")}
    assert forward == alone


def test_layerwise_rates_fall_from_the_head_to_the_embeddings(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from course_lib import train

    seen: list[float] = []
    original = train.fit

    def spy(*args, groups, **kwargs):  # type: ignore[no-untyped-def]
        seen.extend(group["lr"] for group in groups)
        return original(*args, groups=groups, **kwargs)

    monkeypatch.setattr(train, "fit", spy)
    climb(task, ["layerwise"])
    rate = 0.04 / 32
    assert seen == pytest.approx([rate, rate * 0.75, rate * 0.75**2, rate * 0.75**3, CONFIG.head_rate])


def test_a_linear_rung_learns_what_words_show(encoder: Encoder) -> None:
    easy = Task(texts_with_moods(120), texts_with_moods(60, seed=1), encoder, CONFIG)
    majority, tfidf = climb(easy, ["majority", "tfidf"])
    assert majority.accuracy == 0.5
    assert tfidf.accuracy > 0.9
    assert tfidf.accuracy_low < tfidf.accuracy
    assert tfidf.p_value is not None
    assert tfidf.p_value < 0.001


def test_three_classes_go_through_every_rung(encoder: Encoder) -> None:
    results = climb(Task(texts_with_moods(45, 3), texts_with_moods(30, 3, seed=1), encoder, replace(CONFIG, epochs=1)))
    assert len(results) == 12
    assert {p for r in results for p in r.predictions} == {0, 1, 2}


def test_an_unknown_rung_is_named_with_the_choices(task: Task) -> None:
    with pytest.raises(CourseError, match=r"no rung 'last-9'; choose among majority, .*lora"):
        climb(task, ["tfidf", "last-9"])


def test_the_label_curve_has_a_point_for_each_size_and_the_same_test_texts(task: Task) -> None:
    curve = label_curve(task, (8, 16), ["features-logreg", "last-1"])
    assert [r.train_records for r in curve["last-1"]] == [8, 16]
    assert all(len(r.predictions) == 40 for line in curve.values() for r in line)


# -- nothing finished is lost ------------------------------------------------------------------------------------------


class Interrupt(Exception):
    """Stands for Ctrl-C in a test."""


def test_a_second_climb_continues_where_the_first_was_interrupted(task: Task, tmp_path: Path) -> None:
    names = ["majority", "tfidf", "features-logreg", "last-1"]

    def stop_after_features(result: RungResult) -> None:
        if result.rung == "features-logreg":
            raise Interrupt

    with pytest.raises(Interrupt):
        climb(task, names, tmp_path, stop_after_features)
    kept = {path.stem: path.read_bytes() for path in (tmp_path / "rungs").glob("*.json")}
    assert set(kept) == {"majority", "tfidf", "features-logreg"}
    results = climb(task, names, tmp_path)
    assert [r.rung for r in results] == names
    assert all((tmp_path / "rungs" / f"{name}.json").read_bytes() == content for name, content in kept.items())
    fresh = climb(task, names)
    assert [r.predictions for r in results] == [r.predictions for r in fresh]
    assert [r.p_value for r in results] == [r.p_value for r in fresh]


def test_a_rung_killed_in_training_continues_from_its_checkpoint(task: Task, tmp_path: Path) -> None:
    (rung,) = select(3, ["last-1"])
    whole = rung.run(task, None).history
    from course_lib.train.loop import Run

    evaluations = 0
    original = Run.take

    def fail_late(self, step):  # type: ignore[no-untyped-def]
        nonlocal evaluations
        evaluations += 1
        if evaluations == 9:  # epochs have six steps
            raise Interrupt
        original(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "take", fail_late)
        with pytest.raises(Interrupt):
            rung.run(task, tmp_path)
    resumed = rung.run(task, tmp_path).history
    assert whole is not None
    assert resumed is not None
    assert resumed.resumed_at == 6
    assert resumed.loss == whole.loss


def test_a_folder_of_another_task_is_refused_and_says_what_differs(task: Task, tmp_path: Path) -> None:
    climb(task, ["majority"], tmp_path)
    with pytest.raises(CourseError, match="different: settings"):
        climb(replace(task, config=replace(CONFIG, seed=1)), ["majority"], tmp_path)
    with pytest.raises(CourseError, match="different: training records"):
        climb(replace(task, train=texts_with_moods(40)), ["majority"], tmp_path)


# -- the best model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rung", ["majority", "tfidf", "rnn", "features-logreg", "features-svm", "head", "last-1", "last-3", "all", "lora"]
)
def test_the_saved_model_predicts_what_its_rung_predicted(task: Task, rung: str, tmp_path: Path) -> None:
    (result,) = climb(task, [rung], tmp_path)
    predictor = load_predictor(tmp_path / "model")
    predicted = predictor.predict(task.test.texts)
    assert [p.label for p in predicted] == [task.test.classes[k] for k in result.predictions]
    assert all(1 / task.classes <= p.probability <= 1 for p in predicted)


def test_the_model_that_is_kept_is_the_most_accurate_one(encoder: Encoder, tmp_path: Path) -> None:
    easy = Task(texts_with_moods(120), texts_with_moods(60, seed=1), encoder, CONFIG)
    results = climb(easy, ["majority", "tfidf", "rnn"], tmp_path)
    best = max(results, key=lambda r: (r.accuracy, -r.cpu_seconds))
    assert load_predictor(tmp_path).about["rung"] == best.rung


def test_no_texts_give_no_predictions_and_odd_texts_give_one_each(task: Task, tmp_path: Path) -> None:
    climb(task, ["features-logreg"], tmp_path)
    predictor = load_predictor(tmp_path)
    assert predictor.predict([]) == []
    assert len(predictor.predict(["", "word " * 500, "\U0001f600"])) == 3


def test_a_missing_and_a_damaged_model_are_one_sentence_each(task: Task, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="no trained classifier in"):
        load_predictor(tmp_path)
    climb(task, ["tfidf"], tmp_path)
    about = tmp_path / "model" / "classifier.json"
    about.write_text(about.read_text(encoding="utf-8")[:40], encoding="utf-8")
    with pytest.raises(CourseError, match="is damaged"):
        load_predictor(tmp_path)


def test_results_are_plain_json(task: Task, tmp_path: Path) -> None:
    (result,) = climb(task, ["tfidf"], tmp_path)
    saved = json.loads((tmp_path / "rungs" / "tfidf.json").read_text(encoding="utf-8"))
    assert saved["predictions"] == list(result.predictions)
    assert json.dumps(result.row())


def test_costs_add_up_and_keep_the_larger_peak() -> None:
    # 1 + 2 CPU seconds, 3 + 4 wall seconds, the larger of 5 and 6 bytes; half of it is half the seconds, same peak.
    total = Cost(1, 3, 5) + Cost(2, 4, 6)
    assert total == Cost(3, 7, 6)
    assert total.share(0.5) == Cost(1.5, 3.5, 6)
