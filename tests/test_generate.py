"""Decoding against transformers: the same filters, the same greedy texts; and what it promises beyond."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from course_lib import decoder
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.errors import CourseError
from course_lib.generate import Completion, Decoding, Writer
from course_lib.generate.pick import draws, keep_top_k, keep_top_p, penalise, pick
from course_lib.generate.reading import pad_left
from course_lib.generate.text import UNFINISHED
from course_lib.pretrain.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "The market of the town opens at dawn, and the tea seller pours 12 cups.",
    "A naïve café sells crêpes 🙂 for 3 coins; 三 people ask: why so cheap?",
    "Yusra weighs figs, dates and salt, then she writes the prices on a slate.",
]
PROMPTS = ["The market", "A café sells", "Yusra weighs figs, dates and", "12", "three people ask why"]
SAMPLED = Decoding(max_new=24, temperature=0.9, top_k=40, top_p=0.9, seed=7)


def random_writer(tokenizer: Any, seed: int = 0) -> Writer:
    """A random model that is sure enough of its next tokens to go its own way after each prompt."""
    config = DecoderConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=12, max_position_embeddings=128,
    )  # fmt: skip
    model, generator = Decoder(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.25, generator=generator) if weight.dim() == 2 else weight.fill_(1)
    return Writer(model, tokenizer)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS * 3, entries=360, positions=128)


@pytest.fixture(scope="module")
def writer(tokenizer: Any) -> Writer:
    return random_writer(tokenizer)


@pytest.fixture(scope="module")
def folder(writer: Writer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("writer")
    decoder.save(writer.model, path, eos_token_id=writer.tokenizer.eos_token_id, pad_token_id=writer.pad)
    writer.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def llama(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return 3 * torch.randn(6, 200, generator=torch.Generator().manual_seed(3))


def close(found: list[Completion], expected: list[Completion]) -> None:
    """The same but for rounding."""
    assert [one.ids for one in found] == [one.ids for one in expected]
    assert [(one.text, one.finish) for one in found] == [(one.text, one.finish) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


# -- one token ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 199, 200, 1000])
def test_top_k_keeps_what_transformers_keeps(logits: torch.Tensor, k: int) -> None:
    from transformers import TopKLogitsWarper

    assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(None, logits))


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999])
def test_top_p_keeps_what_transformers_keeps(logits: torch.Tensor, p: float) -> None:
    from transformers import TopPLogitsWarper

    assert torch.equal(keep_top_p(logits, p), TopPLogitsWarper(p)(None, logits))


def test_top_p_by_hand() -> None:
    """0.5 alone is less than 0.7; 0.5 + 0.3 is enough; of 0.99, 0.005, 0.005 the first is."""
    kept = keep_top_p(torch.tensor([[0.5, 0.2, 0.3], [0.99, 0.005, 0.005]]).log(), 0.7).isfinite()
    assert kept.tolist() == [[True, False, True], [True, False, False]]


@pytest.mark.parametrize("penalty", [0.8, 1.0, 1.3])
def test_the_repetition_penalty_is_that_of_transformers(logits: torch.Tensor, penalty: float) -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    ids = torch.randint(0, 200, (6, 30), generator=torch.Generator().manual_seed(4))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    torch.testing.assert_close(penalise(logits, seen, penalty), expected)


def test_draws_follow_the_probabilities() -> None:
    """20,000 draws at temperature 2 from scores log(p): probabilities in proportion to sqrt(p)."""
    p = torch.tensor([0.64, 0.0, 0.04, 0.32])
    decoding, numbers = Decoding(temperature=2.0), draws(0, (1, 2), 0, 20_000)
    found = pick(p.log().expand(20_000, 4), decoding, numbers).bincount(minlength=4) / 20_000
    expected = p.sqrt() / p.sqrt().sum()
    assert found[1] == 0
    # three standard deviations of a share of 20,000 are at most 3 * sqrt(0.25 / 20,000) = 0.011
    torch.testing.assert_close(found, expected, rtol=0, atol=0.011)


def test_the_ends_of_the_unit_interval_draw_possible_tokens() -> None:
    scores = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]).repeat(2, 1)
    assert pick(scores, Decoding(temperature=1.0), torch.tensor([0.0, 1 - 2**-24])).tolist() == [1, 2]


def test_draws_belong_to_seed_prompt_and_sample() -> None:
    base = draws(1, (5, 6), 0, 20)
    assert torch.equal(base, draws(1, (5, 6), 0, 20))
    assert torch.equal(base[:7], draws(1, (5, 6), 0, 7))
    for other in (draws(2, (5, 6), 0, 20), draws(1, (5, 7), 0, 20), draws(1, (5, 6), 1, 20)):
        assert not torch.equal(base, other)


# -- whole texts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [1.0, 1.4], ids=["plain", "penalised"])
def test_greedy_texts_are_those_of_transformers(writer: Writer, llama: Any, penalty: float) -> None:
    found = writer.generate(PROMPTS, Decoding(max_new=40, repetition_penalty=penalty))
    for prompt, (one,) in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([writer.tokenizer(prompt)["input_ids"]])
        out = llama.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, repetition_penalty=penalty
        )
        assert list(one.ids) == out[0, ids.shape[1] :].tolist()
        assert one.prompt_tokens == ids.shape[1] == writer.tokens(prompt)
    assert len({one.ids for (one,) in found}) == len(PROMPTS)


@torch.inference_mode()
def test_log_probabilities_are_the_models_own(writer: Writer, llama: Any) -> None:
    """Not those after temperature, penalty and filters."""
    decoding = replace(SAMPLED, repetition_penalty=1.2)
    for prompt, (one,) in zip(PROMPTS, writer.generate(PROMPTS, decoding), strict=True):
        ids = torch.tensor([[*writer.tokenizer(prompt)["input_ids"], *one.ids]])
        table = llama(ids).logits[0, one.prompt_tokens - 1 : -1].log_softmax(-1)
        assert one.logprobs == pytest.approx(
            [row[token].item() for row, token in zip(table, one.ids, strict=True)], abs=1e-4
        )


def test_a_sample_does_not_depend_on_its_neighbours(writer: Writer) -> None:
    decoding = replace(SAMPLED, n=3, stop=(" the",))
    together = writer.generate(PROMPTS, decoding)
    assert len({one.ids for own in together for one in own}) == 3 * len(PROMPTS)
    for prompt, own in zip(PROMPTS, together, strict=True):
        close(writer.generate([prompt], decoding)[0], own)
    for size in (1, 2, 4):  # fewer rows than samples, too
        for found, own in zip(writer.generate(PROMPTS, decoding, batch_size=size), together, strict=True):
            close(found, own)
    for found, own in zip(writer.generate(PROMPTS[::-1], decoding)[::-1], together, strict=True):
        close(found, own)
    close([own[0] for own in writer.generate(PROMPTS, replace(decoding, n=1))], [own[0] for own in together])


def test_seeds_give_other_samples_and_a_cold_draw_is_greedy(writer: Writer) -> None:
    assert writer.generate(PROMPTS, SAMPLED) == writer.generate(PROMPTS, SAMPLED)
    assert writer.generate(PROMPTS, SAMPLED) != writer.generate(PROMPTS, replace(SAMPLED, seed=8))
    greedy = [own[0] for own in writer.generate(PROMPTS)]
    close([own[0] for own in writer.generate(PROMPTS, Decoding(temperature=1e-4))], greedy)
    close([own[0] for own in writer.generate(PROMPTS, Decoding(temperature=5.0, top_k=1))], greedy)


def test_a_prompt_is_read_once_for_all_its_samples(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []
    forward = writer.model.forward

    def counting(ids: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        read.append(tuple(ids.shape))
        return forward(ids, *args, **more)

    monkeypatch.setattr(writer.model, "forward", counting)
    writer.generate(PROMPTS[:1], replace(SAMPLED, n=5, max_new=2), batch_size=3)
    length = writer.tokens(PROMPTS[0])
    assert read == [(1, length), (3, 1), (2, 1)]
    read.clear()
    writer.score(PROMPTS[0], [" a", " b", " the market opens"])
    assert [shape[0] for shape in read] == [1, 3]
    read.clear()
    writer.score(PROMPTS[0], ["!", "?"])  # a choice among single tokens needs no more than one look
    assert read == [(1, length)]


def test_finished_rows_leave_the_batch(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    long = writer.generate(PROMPTS, Decoding(max_new=30))
    letters = [own[0].text[3] for own in long]  # each prompt's text ends early at its own place but one's
    rows: list[int] = []
    forward = writer.model.forward

    def counting(ids: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        rows.append(len(ids))
        return forward(ids, *args, **more)

    monkeypatch.setattr(writer.model, "forward", counting)
    found = writer.generate(PROMPTS, Decoding(max_new=30, stop=tuple(letters[1:])))
    assert rows[0] == 5
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 5
    for (one,), (whole,) in zip(found, long, strict=True):
        assert one.ids == whole.ids[: len(one.ids)]
        assert whole.text.startswith(one.text)


# -- stops and streams -------------------------------------------------------------------------------------------------


def test_the_end_token_ends_a_text_and_is_not_shown(writer: Writer) -> None:
    whole = writer.generate(["The market"], Decoding(max_new=20))[0][0]
    place = whole.ids.index(whole.ids[5])
    ender = Writer(writer.model, writer.tokenizer, ends={whole.ids[5], writer.pad})
    one = ender.generate(["The market"], Decoding(max_new=20))[0][0]
    assert one.finish == "end"
    assert one.ids == whole.ids[: place + 1]
    assert one.text == writer.tokenizer.decode(one.ids[:-1])
    assert (whole.finish, len(whole.ids), len(whole.logprobs)) == ("length", 20, 20)
    ids = writer.tokenizer(" figs", add_special_tokens=False)["input_ids"]
    (end,) = writer.ends
    _, one = written(writer, [*ids, end, *ids], Decoding())
    assert (one.text, one.finish, one.ids) == (" figs", "end", (*ids, end))


def written(writer: Writer, ids: list[int], decoding: Decoding) -> tuple[list[str], Completion]:
    """What is shown after each of these tokens, and the completion."""
    line = writer._lines(tuple(writer.tokenizer("A café")["input_ids"]), decoding)[0]
    shown = []
    for token in ids:
        line.add(token, 0.0, writer.ends, decoding.max_new)
        shown.append(line.settled())
        if line.finish is not None:
            break
    return shown, line.completion()


TEXT = " sells 🙂🙂 crêpes; 三 coins. END of it"
STOPS = [
    (";",),
    (" END",),
    ("END of",),
    ("🙂🙂",),
    ("三",),
    ("never", "coins. E"),
    ("s 🙂", "🙂 c"),
    (" crê", "crêp"),
    (" ",),
]


@pytest.mark.parametrize("stop", STOPS, ids=map(str, STOPS))
def test_a_stop_string_ends_a_text_wherever_its_tokens_lie(writer: Writer, stop: tuple[str, ...]) -> None:
    ids = writer.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    shown, one = written(writer, ids, Decoding(max_new=len(ids), stop=stop))
    assert one.text == TEXT[: min(TEXT.index(text) for text in stop if text in TEXT)]
    assert one.finish == "stop"
    after = writer.tokenizer.decode(one.ids)
    before = writer.tokenizer.decode(one.ids[:-1])
    assert any(text in after for text in stop)
    assert not any(text in before for text in stop)
    for piece in shown:  # what is shown stays: no stop string, not its beginning, no piece of a character
        assert one.text.startswith(piece)
        assert UNFINISHED not in piece


def test_an_almost_stop_is_shown_once_it_is_none(writer: Writer) -> None:
    ids = writer.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    shown, one = written(writer, ids, Decoding(max_new=len(ids), stop=("coins!", "it is")))
    assert (one.text, one.finish) == (TEXT, "length")
    assert shown[-1] == TEXT
    assert not any(piece.endswith("coins") for piece in shown)
    assert not any(piece.endswith(" it") for piece in shown[:-1])


def test_special_tokens_within_a_stop_string_do_not_hide_it(writer: Writer) -> None:
    first, second = (writer.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a#", "#b"))
    hidden = [writer.pad] * 20
    _, one = written(writer, [*first, *hidden, *second], Decoding(max_new=99, stop=("##",)))
    assert (one.text, one.finish) == ("a", "stop")


@pytest.mark.parametrize("stop", [(), ("e",), ("\n", " t")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stream_is_the_text_in_pieces(writer: Writer, stop: tuple[str, ...], temperature: float) -> None:
    decoding = Decoding(max_new=60, temperature=temperature, stop=stop, seed=3)
    for prompt in PROMPTS:
        pieces = list(writer.stream(prompt, decoding))
        (one,) = writer.generate([prompt], decoding)[0]
        assert "".join(pieces) == one.text
        assert all(pieces)


def test_a_stream_can_be_left_and_lets_others_compute(writer: Writer) -> None:
    stream = writer.stream("The market", Decoding(max_new=60))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()


# -- scores ------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def by_hand(writer: Writer, llama: Any, prompt: str, text: str) -> float:
    """One pair at a time, without cache or padding."""
    ids, more = (writer.tokenizer(one, add_special_tokens=k == 0)["input_ids"] for k, one in enumerate((prompt, text)))
    table = llama(torch.tensor([ids + more])).logits[0].log_softmax(-1)
    return math.fsum(table[len(ids) - 1 + k, token].item() for k, token in enumerate(more))


def test_scores_are_sums_of_log_probabilities(writer: Writer, llama: Any) -> None:
    texts = [" opens", " sells figs at dawn", "!", " why so cheap?"]
    pairs = [(prompt, text) for text in texts for prompt in PROMPTS]
    expected = [by_hand(writer, llama, *pair) for pair in pairs]
    assert writer.scores(pairs) == pytest.approx(expected, abs=1e-3)
    assert writer.scores(pairs, batch_size=3) == pytest.approx(expected, abs=1e-3)
    assert writer.scores([]) == []
    assert writer.score("", texts) == pytest.approx([by_hand(writer, llama, "", text) for text in texts], abs=1e-3)


def test_a_long_prompt_beside_a_long_continuation_fits(writer: Writer, llama: Any) -> None:
    pairs = [("a " * 60, " b"), ("a", " b" * 60), ("c", " d")]
    assert max(writer.tokens(prompt) for prompt, _ in pairs) + writer.tokens(pairs[1][1]) > writer.positions
    assert writer.scores(pairs) == pytest.approx([by_hand(writer, llama, *pair) for pair in pairs], abs=1e-2)


def test_a_token_across_the_border_is_cut_there(writer: Writer, llama: Any) -> None:
    whole = writer.tokenizer(TEXTS[0])["input_ids"]
    cuts = [(TEXTS[0][:k], TEXTS[0][k:]) for k in range(1, len(TEXTS[0]))]
    prompt, text = next(pair for pair in cuts if (ids := writer.tokenizer(pair[0])["input_ids"]) != whole[: len(ids)])
    assert writer.score(prompt, [text]) == pytest.approx([by_hand(writer, llama, prompt, text)], abs=1e-3)


@torch.inference_mode()
def test_perplexity_is_that_of_transformers_loss(writer: Writer, llama: Any) -> None:
    losses, counts = [], []
    for text in TEXTS:
        ids = torch.tensor([writer.tokenizer(text)["input_ids"]])
        losses.append(llama(ids, labels=ids).loss.item())
        counts.append(ids.shape[1] - 1)
    mean = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    assert writer.perplexity(TEXTS) == pytest.approx(math.exp(mean), rel=1e-4)
    assert writer.perplexity([*TEXTS, ""], batch_size=2) == pytest.approx(math.exp(mean), rel=1e-4)


@torch.inference_mode()
def test_next_tokens_are_the_likeliest(writer: Writer, llama: Any) -> None:
    found = writer.next_tokens("The market", top=4)
    ids = torch.tensor([writer.tokenizer("The market")["input_ids"]])
    best = llama(ids).logits[0, -1].softmax(-1).topk(4)
    assert [text for text, _ in found] == [writer.tokenizer.decode([token]) for token in best.indices.tolist()]
    assert [chance for _, chance in found] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert sum(chance for _, chance in writer.next_tokens("12", top=10_000)) == pytest.approx(1, abs=1e-4)


# -- token ids ---------------------------------------------------------------------------------------------------------


def test_token_ids_are_taken_as_they_are(writer: Writer) -> None:
    ids = [writer.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    assert [writer.tokens(one) for one in ids] == [writer.tokens(prompt) for prompt in PROMPTS]
    found = writer.generate([*ids[:2], tuple(ids[2]), *PROMPTS[3:]], SAMPLED)
    for own, other in zip(found, writer.generate(PROMPTS, SAMPLED), strict=True):
        close(own, other)
    assert "".join(writer.stream(ids[0])) == writer.generate(PROMPTS[:1])[0][0].text
    bare = writer.generate([ids[0][1:]])[0][0]  # without the token that begins a text
    assert bare.prompt_tokens == len(ids[0]) - 1
    assert bare.ids != found[0][0].ids


def test_scores_of_token_ids_are_those_of_their_texts(writer: Writer) -> None:
    ids = writer.tokenizer(PROMPTS[0])["input_ids"]
    rest = writer.tokenizer(" opens", add_special_tokens=False)["input_ids"]
    (expected,) = writer.score(PROMPTS[0], [" opens"])
    pairs = [(ids, rest), (PROMPTS[0], rest), (tuple(ids), " opens"), (PROMPTS[0], " opens")]
    assert writer.scores(pairs) == pytest.approx([expected] * 4, abs=1e-4)
    (end,) = writer.ends
    ended = writer.scores([(ids, [*rest, end])])[0]
    assert ended == pytest.approx(expected + writer.scores([([*ids, *rest], [end])])[0], abs=1e-4)


def test_a_model_is_left_in_its_mode(writer: Writer) -> None:
    class Dropping(torch.nn.Dropout):
        """Says whether it is asked in the mode of training."""

        asked: ClassVar[set[bool]] = set()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.asked.add(self.training)
            return super().forward(x)

    model = random_writer(writer.tokenizer).model
    model.model.norm.add_module("drop", torch.nn.Dropout(0.9).eval())
    model.lm_head = torch.nn.Sequential(Dropping(0.9), model.lm_head)
    model.train()
    model.model.norm.eval()
    before = [module.training for module in model.modules()]
    asked = Writer(model, writer.tokenizer)
    assert asked.generate(PROMPTS) == writer.generate(PROMPTS)
    assert asked.score("The", [" a", " b"]) == writer.score("The", [" a", " b"])
    assert asked.perplexity(TEXTS) == writer.perplexity(TEXTS)
    assert asked.next_tokens("The") == writer.next_tokens("The")
    stream = asked.stream("The market", Decoding(max_new=60))
    next(stream)
    assert [module.training for module in model.modules()] == before  # even while a stream waits
    stream.close()
    with pytest.raises(CourseError):
        asked.scores([("The", "")])
    assert [module.training for module in model.modules()] == before
    assert Dropping.asked == {False}


# -- the door ----------------------------------------------------------------------------------------------------------


def test_a_writer_is_found_by_name(writer: Writer, folder: Path) -> None:
    again = Writer.from_name(str(folder))
    assert again.generate(PROMPTS) == writer.generate(PROMPTS)
    assert (again.ends, again.pad, again.positions) == (writer.ends, writer.pad, 128)


def test_no_prompts_give_no_completions(writer: Writer) -> None:
    assert writer.generate([]) == []


def test_left_padding_has_a_mask_only_where_there_is_any() -> None:
    ids, mask = pad_left([[1, 2, 3], [4]], 9, torch.device("cpu"))
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask is not None
    assert mask.tolist() == [[True, True, True], [False, False, True]]
    assert pad_left([[1], [2]], 9, torch.device("cpu"))[1] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_new": 0}, "max_new must be a whole number from 1 on, not 0"),
        ({"max_new": 1.5}, "max_new must be a whole number"),
        ({"n": 0, "temperature": 1.0}, "n must be a whole number from 1"),
        ({"top_k": -1}, "top_k must be a whole number from 0"),
        ({"seed": -1}, "seed must be"),
        ({"temperature": -0.1}, "must not be negative"),
        ({"temperature": float("nan")}, "temperature must be a number"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"top_p": 0.0}, "top_p is a probability"),
        ({"top_p": 1.1}, "top_p is a probability"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0"),
        ({"stop": "\n"}, r"write stop=\('\\n',\)"),
        ({"stop": ("",)}, "at least one character"),
        ({"stop": (3,)}, "at least one character"),
        ({"stop": 3}, "stop is a tuple of strings"),
        ({"n": 2}, "Greedy decoding gives 2 times the same"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        Decoding(**options)


def test_a_list_of_stop_strings_is_taken_as_meant() -> None:
    assert Decoding(stop=["a", "b"]) == Decoding(stop=("a", "b"))  # type: ignore[arg-type]


def test_prompts_that_do_not_fit_are_told_their_length(writer: Writer) -> None:
    long = "a " * 80
    count = writer.tokens(long)
    with pytest.raises(CourseError, match=f"Prompt 2 has {count} tokens, and with 64 new ones .* the 128 positions"):
        writer.generate(["short", long])
    with pytest.raises(CourseError, match=f"Prompt 1 has {count} tokens"):
        writer.stream(long)
    with pytest.raises(CourseError, match=r"A prompt of \d+ tokens with a continuation of \d+ does not fit"):
        writer.score(long, [long])
    with pytest.raises(CourseError, match="positions of this model"):
        writer.perplexity([long * 2])
    fits = Decoding(max_new=128 - count)
    assert len(writer.generate([long], fits)[0][0].ids) == 128 - count


def test_asking_in_the_wrong_way_is_explained(writer: Writer) -> None:
    with pytest.raises(CourseError, match="list of strings"):
        writer.generate("The market")
    with pytest.raises(CourseError, match="list of strings"):
        writer.score("The market", " opens")
    with pytest.raises(CourseError, match="list of strings"):
        writer.generate([None])  # type: ignore[list-item]
    with pytest.raises(CourseError, match="use n=1"):
        writer.stream("The market", replace(SAMPLED, n=2))
    with pytest.raises(CourseError, match="at least one token"):
        writer.score("The market", [""])
    with pytest.raises(CourseError, match="top must be at least 1"):
        writer.next_tokens("The", top=0)
    with pytest.raises(CourseError, match="at least one text"):
        writer.perplexity([""])
    with pytest.raises(CourseError, match="batch_size must be at least 1"):
        writer.generate(["The"], batch_size=0)
