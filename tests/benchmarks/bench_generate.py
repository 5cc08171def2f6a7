"""CPU time per token of the course's Writer against transformers' generate, on the same weights and prompts.

    python tests/benchmarks/bench_generate.py [--new 48] [--repeats 5] [--threads N] [--record]

The model has the shape of the larger base model and random weights; both begin with texts and end with texts, and
neither may end early, so that both write the same number of tokens. The two take turns, and who begins changes.
Reported are CPU milliseconds (all threads) per written token and the ratio of the two with its spread over the turns.

The cases: one prompt and 32 of different lengths (padded on the left), the likeliest token and draws; 32 samples of one
prompt, which transformers reads 32 times; and 32 texts that end at a stop string, each at its own place.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from recording import about, write

from course_lib import hardware
from course_lib.assets import asset
from course_lib.decoder import Decoder, DecoderConfig, initialise
from course_lib.generate import Decoding, Writer
from course_lib.pretrain.tokenizer import train_tokenizer

SHAPE = DecoderConfig(
    vocab_size=3072, hidden_size=256, intermediate_size=704, num_hidden_layers=7, num_attention_heads=4,
    num_key_value_heads=2, head_dim=64,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What both are asked."""

    name: str
    prompts: int
    decoding: Decoding


def cases(new: int) -> list[Case]:
    """``new`` tokens for each text."""
    greedy = Decoding(max_new=new)
    drawn = Decoding(max_new=new, temperature=0.8, top_k=50, top_p=0.9)
    return [
        Case("1 prompt, greedy", 1, greedy),
        Case("1 prompt, drawn", 1, drawn),
        Case("32 prompts, greedy", 32, greedy),
        Case("32 prompts, drawn", 32, drawn),
        Case("32 prompts, penalised", 32, Decoding(max_new=new, repetition_penalty=1.2)),
        Case("1 prompt, 32 samples", 1, Decoding(max_new=new, temperature=0.8, n=32)),
        Case("32 prompts, stop string", 32, Decoding(max_new=new, temperature=1.0, stop=(" the", "."))),
    ]


def models(seed: int) -> tuple[Writer, Any, list[str]]:
    """The writer, the same model in transformers, and prompts of 60 to 120 words' beginnings."""
    import transformers

    texts = asset("reviews.csv").read_text(encoding="utf-8").splitlines()[1:]
    chance = random.Random(seed)
    prompts = [" ".join(chance.sample(texts, 8))[: chance.randint(200, 450)] for _ in range(32)]
    tokenizer = train_tokenizer(texts, SHAPE.vocab_size, SHAPE.max_position_embeddings)
    model = Decoder(SHAPE)
    initialise(model, seed)
    writer = Writer(model, tokenizer, ends=())
    plain = {name: value for name, value in SHAPE.to_hf().items() if name not in ("architectures", "model_type")}
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**plain)).eval()
    llama.load_state_dict(model.state_dict())
    llama.generation_config.pad_token_id = tokenizer.pad_token_id
    llama.generation_config.eos_token_id = None
    return writer, llama, prompts


def by_writer(writer: Writer, prompts: list[str], decoding: Decoding) -> int:
    """Tokens written."""
    return sum(len(one.ids) for own in writer.generate(prompts, decoding) for one in own)


def by_transformers(llama: Any, tokenizer: Any, prompts: list[str], decoding: Decoding) -> int:
    """Tokens written; of texts that ended, those before the padding."""
    given = tokenizer(prompts, padding=True, return_tensors="pt", return_token_type_ids=False)
    options: dict[str, Any] = {"do_sample": decoding.temperature > 0}
    if decoding.temperature > 0:
        options |= {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}
    if decoding.stop:
        options |= {"stop_strings": list(decoding.stop), "tokenizer": tokenizer}
    out = llama.generate(
        **given, **options, max_new_tokens=decoding.max_new, num_return_sequences=decoding.n,
        repetition_penalty=decoding.repetition_penalty,
    )[:, given["input_ids"].shape[1] :]  # fmt: skip
    tokenizer.batch_decode(out, skip_special_tokens=True)
    return int((out != tokenizer.pad_token_id).sum())


def measure(case: Case, writer: Writer, llama: Any, prompts: list[str], repeats: int) -> dict[str, Any]:
    """CPU milliseconds per token of both, and their ratio, as [least, median, most] over the turns."""
    some = prompts[: case.prompts]
    runs: dict[str, Callable[[], int]] = {
        "course": lambda: by_writer(writer, some, case.decoding),
        "transformers": lambda: by_transformers(llama, writer.tokenizer, some, case.decoding),
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            tokens = runs[name]()
            if turn:  # the first turn warms up
                found[name].append((time.process_time() - start) * 1e3 / tokens)
    ratios = [ours / theirs for ours, theirs in zip(found["course"], found["transformers"], strict=True)]
    return {"case": case.name, **{name: _spread(values) for name, values in (*found.items(), ("ratio", ratios))}}


def _spread(values: list[float]) -> list[float]:
    return [round(value, 3) for value in (min(values), statistics.median(values), max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the course uses on this machine")
    parser.add_argument("--record", action="store_true", help="write assets/recordings/generate_benchmark.json")
    options = parser.parse_args()
    hardware.use_threads(options.threads or None)
    writer, llama, prompts = models(seed=0)
    print(f"{torch.get_num_threads()} threads, {options.new} new tokens; CPU ms per token, medians; ratio least-most")
    results = []
    for case in cases(options.new):
        found = measure(case, writer, llama, prompts, options.repeats)
        low, middle, high = found["ratio"]
        times = f"{found['course'][1]:8.3f}{found['transformers'][1]:14.3f}"
        print(f"{case.name:28}{times}   ratio {middle:.2f} ({low:.2f}-{high:.2f})", flush=True)
        results.append(found)
    if options.record:
        command = f"python tests/benchmarks/bench_generate.py --new {options.new} --repeats {options.repeats} --record"
        facts = about(command, seed=0, threads=torch.get_num_threads(), repeats=options.repeats, new=options.new)
        write("generate_benchmark.json", {"recorded": facts, "cases": results})


if __name__ == "__main__":
    main()
