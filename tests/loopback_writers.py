"""Tiny Llamas, word problems and instructions for the loopback hub, in the shape of the real repositories.

Tensor names and types (bf16, embeddings tied), the kind of tokenizer (bytes, digits apart, chat tokens first; the base
models have no padding token and none begins a text) and the columns are those of SmolLM2, GSM8K and Dolly.
"""

from __future__ import annotations

import io
import json
import struct

import numpy as np

SMALL_WRITER = ("HuggingFaceTB/SmolLM2-135M", "93efa2f097d58c2a74874c7e644dbc9b0cee75a2")
MEDIUM_WRITER = ("HuggingFaceTB/SmolLM2-360M", "f8027fd0eaeea54caa13c31d31b9fdc459c38b49")
LARGE_WRITER = ("HuggingFaceTB/SmolLM2-1.7B", "effd688a12921b4cc83e3312b6feb579f70f9c71")
WRITER = ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "31b70e2e869a7173562077fd711b654946d38674")
GSM8K = ("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866")
DOLLY = ("databricks/databricks-dolly-15k", "bdd27f4d94b9c1f951818a7da7fd7aeea5dbff1a")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def writer_files(chat: bool, layers: int = 2, heads: int = 4, kv_heads: int = 4) -> dict[str, bytes]:
    """A Llama with random weights, 8 numbers to a head; ``chat``: as the instruction model comes, else the base."""
    width, hidden = 8 * heads, 16 * heads
    files = bytes_tokenizer(chat)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(json.loads(files["vocab.json"])),
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 8192,
        "rope_theta": 130000 if chat else 100000,
        "rope_scaling": None,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 1 if chat else 0,
        "eos_token_id": 2 if chat else 0,
        "torch_dtype": "bfloat16",
    } | ({"pad_token_id": 2} if chat else {})
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    for layer in range(layers):
        block = f"model.layers.{layer}"
        shapes |= {f"{block}.{norm}_layernorm.weight": (width,) for norm in ("input", "post_attention")}
        for name, rows, columns in (
            ("self_attn.q", 8 * heads, width),
            ("self_attn.k", 8 * kv_heads, width),
            ("self_attn.v", 8 * kv_heads, width),
            ("self_attn.o", width, 8 * heads),
            ("mlp.gate", hidden, width),
            ("mlp.up", hidden, width),
            ("mlp.down", width, hidden),
        ):
            shapes[f"{block}.{name}_proj.weight"] = (rows, columns)
    rng = np.random.default_rng(4)
    tensors = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return files | {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": json.dumps({"eos_token_id": config["eos_token_id"]}).encode(),
        "model.safetensors": bf16_safetensors(tensors),
        "README.md": b"# A tiny Llama with random weights\n",
        "onnx/model.onnx": b"another format that nobody should ask for",
    }


def bytes_tokenizer(chat: bool) -> dict[str, bytes]:
    """A byte-level BPE without merges, stored in the three files that such tokenizers come in."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    digits, letters = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    names = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0], "pad_token": SPECIAL[2]}
    if not chat:
        names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), SPECIAL[0])
    settings = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 8192, "add_prefix_space": False, **names}
    return {
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(settings | ({"chat_template": CHAT} if chat else {})).encode(),
        "special_tokens_map.json": json.dumps(names).encode(),
        "vocab.json": json.dumps(vocabulary).encode(),
        "merges.txt": b"#version: 0.2\n",
    }


def bf16_safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    """A safetensors file of bf16 numbers, which numpy does not have: the upper half of each float32."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        content = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def word_problems(count: int, seed: int) -> list[tuple[str, str]]:
    """Questions and answers as GSM8K writes them: notes for calculators, commas in thousands, #### and the number."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        each, days, gone = (int(value) for value in (rng.integers(20, 90), rng.integers(20, 60), rng.integers(1, 20)))
        made, left = each * days, each * days - gone
        question = (
            f"Potter {seed}-{number} makes {each} bowls a day for {days} days, and {gone} break. How many are left?"
        )
        steps = f"In {days} days {each}*{days}=<<{each}*{days}={made}>>{made:,} bowls are made.\n"
        steps += f"Whole are {made:,}-{gone}=<<{made}-{gone}={left}>>{left:,}"
        rows.append((question, f"{steps}\n#### {left:,}"))
    return rows


def problems_files(train: int = 40, test: int = 24) -> dict[str, bytes]:
    """The data set's two configurations; the course reads ``main``."""
    files = {"README.md": b"# Toy word problems\n"}
    for config in ("main", "socratic"):
        for part, count, seed in (("train", train, 1), ("test", test, 2)):
            name = f"{config}/{part}-00000-of-00001.parquet"
            files[name] = answers_parquet(word_problems(count, seed))
    return files


def instructions_files() -> dict[str, bytes]:
    """Instructions as Dolly has them: one file of lines, a context that is often empty, and what kind each is of."""
    rows = [
        ("Who runs the mill?", "Ada runs the mill at Elmbrook since 1990.", "Ada runs it.", "closed_qa"),
        ("Name three colours.", "", "Red, green\nand blue.", "brainstorming"),
        ("Is a heron a bird or a fish?", "", "A bird.", "classification"),
    ]
    rows += [(f"How many legs have {n} goats?", "", f"They have {4 * n} legs.", "open_qa") for n in range(2, 59)]
    names = ("instruction", "context", "response", "category")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    return {"README.md": b"# Toy instructions\n", "databricks-dolly-15k.jsonl": "\n".join(lines).encode() + b"\n"}


def answers_parquet(rows: list[tuple[str, str]], columns: tuple[str, str] = ("question", "answer")) -> bytes:
    """A parquet file of two columns of strings, with the metadata of the hub's own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = list(zip(*rows, strict=True))
    features = {name: {"dtype": "string", "_type": "Value"} for name in columns}
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(columns, values, strict=True)})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()
