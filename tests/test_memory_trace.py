"""The trace: a log that extends exactly, peaks that are added up right, optimizers that keep what real ones keep."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from course_lib.errors import CourseError
from course_lib.memory.models import model_config
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace import OUTSIDE, Layout, Log, NotRepeating, Segment, extend, optimizer, peaks, trace
from course_lib.memory.trace.optimizer import Learned
from course_lib.memory.traced import history, reserved, steady

pytestmark = pytest.mark.usefixtures("one_thread")


def llama(**changes: object) -> LlamaConfig:
    settings = {"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 6}
    return LlamaConfig(**{**settings, "num_attention_heads": 4, "num_key_value_heads": 2, **changes})


def by_place(log: Log) -> dict[tuple[str, str, int], list[tuple[bool, int]]]:
    """What each segment allocates and frees, as sorted sizes: the order of frees in one moment means nothing."""
    return {
        (s.phase, s.name, s.block): sorted((e >= 0, log.sizes[max(e, ~e)]) for e in log.events[s.start : s.end])
        for s in log.segments
    }


# -- the log -----------------------------------------------------------------------------------------------------------


def test_the_peak_of_a_phase_counts_what_is_alive_before_it() -> None:
    # load 100; forward +30 +20 -20; backward +60 -30: peaks 100, 150, 130 + 60 = 190
    log = Log([100, 30, 20, 60], ["weights", "activations", "activations", "gradients"], [0, 1, 2, ~2, 3, ~1])
    log.segments = [
        Segment(*s) for s in (("load", -1, "", 0, 1), ("forward", -1, "", 1, 4), ("backward", -1, "", 4, 6))
    ]
    found, alive = peaks(log)
    assert {name: peak.bytes for name, peak in found.items()} == {"load": 100, "forward": 150, "backward": 190}
    assert found["backward"].parts == {"weights": 100, "activations": 30, "gradients": 60}
    assert alive == {0, 3}


def stack(blocks: int) -> Log:
    """A run of so many blocks, written by hand: each keeps 10, needs 5, and frees its neighbour's 1 on the way."""
    log, kept, passed = Log(), {}, {}
    for block in range(blocks):
        start = len(log.events)
        kept[block] = log.add(10, "activations")
        log.free(log.add(5, "activations"))
        passed[block] = log.add(1, "activations")
        if block:
            log.free(passed[block - 1])
        log.segments.append(Segment("forward", block, "", start, len(log.events)))
    start = len(log.events)
    log.free(passed[blocks - 1])
    log.segments.append(Segment("loss", OUTSIDE, "", start, len(log.events)))
    for block in reversed(range(blocks)):
        start = len(log.events)
        log.free(kept[block])
        log.segments.append(Segment("backward", block, "", start, len(log.events)))
    return log


def test_a_log_of_four_blocks_extends_to_nine() -> None:
    deep = extend(stack(4), Layout(9))
    assert deep.sizes == stack(9).sizes
    assert deep.events == stack(9).events
    assert deep.segments == stack(9).segments


def test_blocks_that_differ_are_not_extended() -> None:
    log = stack(4)
    log.sizes[log.events[log.segments[2].start]] = 11
    with pytest.raises(NotRepeating):
        extend(log, Layout(9))


PRESETS = ("gpt2", "pythia-1.4b", "qwen2.5-0.5b", "llama-3.2-1b", "phi-1.5", "gemma-2-2b", "smollm2-135m", "falcon-7b")


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", PRESETS)
def test_four_blocks_extended_are_the_whole_model(name: str, method: str, checkpointing: bool) -> None:
    config = model_config(name)
    recipe = Recipe(method=method, checkpointing=checkpointing, seq_len=256, micro_batch=2)
    short, whole = trace(config, recipe), trace(config, recipe, whole=True)
    assert by_place(short) == by_place(whole)
    assert short.parameters == whole.parameters
    for phase, peak in peaks(whole)[0].items():
        assert peaks(short)[0][phase].bytes == pytest.approx(peak.bytes, rel=0.005)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "qlora", "checkpointing": True},
        {"method": "qlora", "double_quantization": False, "quantize_head": True},
        {"method": "prompt"},
        {"method": "last-n", "blocks": 2},
        {"method": "full", "precision": "bf16-mixed"},
        {"method": "full", "optimizer": "adamw-foreach", "accumulate": 4},
        {"method": "full", "attention": "eager", "checkpointing": True},
        {"method": "lora", "chunked_loss": 16, "lora_dropout": 0.1},
        {"method": "inference", "new_tokens": 20},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_method_extends_to_the_whole_model(changes: dict[str, object]) -> None:
    config, recipe = llama(num_hidden_layers=9), Recipe(seq_len=64, **changes)  # type: ignore[arg-type]
    assert by_place(trace(config, recipe)) == by_place(trace(config, recipe, whole=True))


# -- what is in it -----------------------------------------------------------------------------------------------------


def test_static_parts_of_full_fine_tuning_are_the_parameters_times_their_widths() -> None:
    config = llama()
    log = trace(config, Recipe(method="full", seq_len=8))
    n, learned = log.parameters
    assert n == learned
    step = peaks(log)[0]["step"].parts
    tensors = sum(part == "weights" for part in log.parts)
    # bf16 throughout: 2 bytes each for weights and gradients, 2 + 2 for the moments, 4 per tensor for its step count
    assert step["gradients"] == 2 * n
    inverse_frequencies = 2 * 8 * 4  # the rotary table and its original copy: head_dim / 2 = 8 float32 each
    assert step["weights"] == 2 * n + inverse_frequencies
    assert step["optimizer"] == 4 * n + 4 * (tensors - 2)


def test_adapters_are_held_in_float32_and_only_they_have_gradients() -> None:
    log = trace(llama(), Recipe(method="lora", targets="qv", rank=8, seq_len=8))
    # q: 64 -> 64, v: 64 -> 32 (two of four heads): 8 * (64 + 64) + 8 * (64 + 32) per block, six blocks
    assert log.parameters[1] == 6 * 8 * (128 + 96)
    assert peaks(log)[0]["step"].parts["adapters"] == 4 * log.parameters[1]
    assert peaks(log)[0]["step"].parts["gradients"] == 4 * log.parameters[1]


def test_nf4_takes_half_a_byte_and_one_scale_for_64() -> None:
    plain = peaks(trace(llama(), Recipe(method="lora", seq_len=8)))[0]["load"].parts["weights"]
    quantized = trace(llama(), Recipe(method="qlora", double_quantization=False, seq_len=8))
    # per block q, o 64x64; k, v 64x32; gate, up, down 64x160: 43,008 values; 2 bytes become 1/2 + 4/64, plus 16 codes
    linear, matrices = 6 * 43_008, 6 * 7
    assert plain - peaks(quantized)[0]["load"].parts["weights"] == linear * (2 - 0.5 - 4 / 64) - matrices * 64


def test_checkpointing_keeps_one_input_per_block() -> None:
    kept = trace(llama(), Recipe(checkpointing=True, seq_len=100))
    deeper = trace(llama(num_hidden_layers=7), Recipe(checkpointing=True, seq_len=100))
    more = [peaks(log)[0]["loss"].parts["activations"] for log in (kept, deeper)]
    assert more[1] - more[0] == 100 * 64 * 2


def test_the_loss_on_whole_logits_needs_ten_bytes_per_token_and_entry() -> None:
    tokens, vocab = 200, 50_000
    log = trace(llama(vocab_size=vocab), Recipe(seq_len=tokens))
    # 2 for the logits in 16 bits, 4 for the copy in float32, 4 for the logarithm of the softmax; then 4 + 4 + 4 on the
    # way back: the logarithm, the loss's gradient and the logits', before the last is cut to 16 bits
    assert peaks(log)[0]["loss"].parts["logits"] == pytest.approx(10 * tokens * vocab, rel=0.01)
    back = peaks(log)[0]["backward"].parts
    assert back["logits"] + back["temporary"] >= 12 * tokens * vocab


def test_a_chunked_loss_needs_one_chunk_of_logits() -> None:
    log = trace(llama(vocab_size=50_000), Recipe(seq_len=200, chunked_loss=50))
    assert peaks(log)[0]["loss"].parts["logits"] == pytest.approx(10 * 50 * 50_000, rel=0.02)


def test_eager_attention_grows_with_the_square_of_the_length() -> None:
    def kept(length: int, attention: str) -> int:
        return peaks(trace(llama(), Recipe(seq_len=length, attention=attention)))[0]["forward"].parts["activations"]

    assert kept(2048, "sdpa") / kept(1024, "sdpa") == pytest.approx(2, rel=0.01)
    assert kept(2048, "eager") / kept(1024, "eager") > 3


def test_the_cache_of_a_generation_has_every_token() -> None:
    log = trace(llama(), Recipe(method="inference", seq_len=40, new_tokens=10, micro_batch=3))
    cache = max(peak.parts.get("kv_cache", 0) for peak in peaks(log)[0].values())
    # keys and values, 6 blocks, 2 heads of 16, 2 bytes, 40 tokens read and 9 written before the last one is chosen
    assert cache >= 2 * 6 * 2 * 16 * 2 * 49 * 3


def test_a_second_micro_batch_finds_the_gradients_of_the_first() -> None:
    once, more = (peaks(trace(llama(), Recipe(accumulate=k, seq_len=64)))[0] for k in (1, 4))
    assert "gradients" not in once["forward"].parts
    assert more["forward"].parts["gradients"] == once["step"].parts["gradients"]


def test_an_unknown_target_is_named_with_the_layers_there_are() -> None:
    with pytest.raises(CourseError, match=r"no linear layer 'wq'.*down_proj.*q_proj"):
        trace(llama(), Recipe(method="lora", targets="wq"))


# -- optimizers --------------------------------------------------------------------------------------------------------


def real_state(make: object, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    parameter = nn.Parameter(torch.zeros(shape, dtype=dtype))
    parameter.grad = torch.ones_like(parameter)
    made = make([parameter])  # type: ignore[operator]
    made.step()
    tables = ("qmap1", "qmap2")  # one for all parameters
    kept = {k: v for k, v in made.state[parameter].items() if isinstance(v, torch.Tensor) and k not in tables}
    return sum(v.untyped_storage().nbytes() for v in kept.values())


def makers() -> dict[str, object]:
    import bitsandbytes as bnb
    from transformers.optimization import Adafactor

    return {
        "adamw": lambda p: torch.optim.AdamW(p, fused=True),
        "adamw-foreach": lambda p: torch.optim.AdamW(p, foreach=True),
        "adamw-8bit": bnb.optim.AdamW8bit,
        "adafactor": lambda p: Adafactor(p, lr=1e-3, relative_step=False, scale_parameter=False),
        "sgd": lambda p: torch.optim.SGD(p, momentum=0.9),
    }


@pytest.mark.parametrize("shape", [(300, 64), (1000,)], ids=["matrix", "vector"])
@pytest.mark.parametrize("name", ["adamw", "adamw-foreach", "adamw-8bit", "adafactor", "sgd"])
def test_an_optimizer_keeps_what_the_real_one_keeps(name: str, shape: tuple[int, ...]) -> None:
    predicted = sum(optimizer.state(Learned(0, shape, 4), Recipe(optimizer=name)))
    on_the_host = 4 if name == "adamw-foreach" else 0  # its step count, which stays off the GPU
    assert predicted + on_the_host == real_state(makers()[name], shape, torch.float32)


def test_paged_state_is_not_on_the_gpu() -> None:
    assert optimizer.state(Learned(0, (1000, 1000), 2), Recipe(optimizer="paged-adamw")) == []
    assert sum(optimizer.state(Learned(0, (100, 100), 2), Recipe(optimizer="paged-adamw"))) == 80_000


# -- what the allocator makes of it ------------------------------------------------------------------------------------


class Card:
    capability, usable, context, is_cuda = (8, 0), 40 * 2**30, 0, True


def test_a_later_step_allocates_no_optimizer_state() -> None:
    log = trace(llama(), Recipe(seq_len=16))
    assert sum(log.parts[e] == "optimizer" for e in log.events if e >= 0) > 0
    assert sum(log.parts[e] == "optimizer" for e in steady(log).events if e >= 0) == 0


def test_steps_of_other_lengths_share_what_stays() -> None:
    long, short = (trace(llama(), Recipe(seq_len=length)) for length in (64, 32))
    sizes, events = history([short, long, short])
    alive = set()
    for event in events:  # every allocation of something dead, every free of something alive
        assert (event not in alive) if event >= 0 else (~event in alive)
        (alive.add if event >= 0 else alive.remove)(event if event >= 0 else ~event)
    assert sum(sizes[n] for n in alive) == sum(long.sizes[n] for n in peaks(long)[1])


def test_varying_lengths_reserve_more_than_one_length() -> None:
    recipe = Recipe(method="lora", seq_len=1024, micro_batch=4, checkpointing=True)
    config = llama(hidden_size=1024, vocab_size=32_000)
    long = trace(config, recipe)
    shorter = [trace(config, recipe.but(seq_len=length)) for length in (300, 500, 700)]
    one, _ = reserved([long], recipe, Card())  # type: ignore[arg-type]
    many, _ = reserved([*shorter, long], recipe, Card())  # type: ignore[arg-type]
    allocated = max(peak.bytes for peak in peaks(long)[0].values())
    assert allocated <= one < many


def test_a_run_that_does_not_fit_is_found_out() -> None:
    class Small(Card):
        usable = 2 * 2**20

    assert not reserved([trace(llama(), Recipe(seq_len=64))], Recipe(seq_len=64), Small())[1]  # type: ignore[arg-type]
