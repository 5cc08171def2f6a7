"""What the loopback hub serves: tiny repositories made on the fly, in the shape of the real ones.

The models have the tensor names, the configuration and the kind of tokenizer of DistilBERT, the data set the columns
and the metadata of the film reviews; only the sizes and the contents are toys.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np

from tests.loopback_writers import (
    DOLLY,
    GSM8K,
    LARGE_WRITER,
    MEDIUM_WRITER,
    SMALL_WRITER,
    WRITER,
    answers_parquet,
    instructions_files,
    problems_files,
    word_problems,
    writer_files,
)

DISTILBERT = ("distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be")
IMDB = ("stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31")
LARGE = (".safetensors", ".bin", ".h5", ".parquet")  # files the hub keeps in git-lfs and serves after a redirect


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


GOOD = words(
    """
    brilliant wonderful charming moving superb delightful gripping funny tender masterful fresh clever warm honest
    beautiful rich lovely perfect stunning memorable
    """
)
BAD = words(
    """
    dull awful boring clumsy tedious shallow lifeless predictable messy painful stale weak cheap silly hollow ugly
    lazy pointless dreadful forgettable
    """
)
PLAIN = words(
    """
    the a an of and to in it is was that with for on as at by this film movie plot scene actor story director
    camera music script role cast ending beginning middle part character dialogue theme tone pace house city road
    night morning winter summer train river village mother father sister brother friend stranger doctor teacher
    soldier king queen dog horse letter song dance dream secret promise journey war peace money work school
    kitchen window door garden street mountain island ship plane car bridge market church office court prison
    hospital hotel theatre screen hour minute year day time life death love hate fear hope anger joy silence voice
    face hand eye heart mind body word line page chapter picture colour light shadow sound noise colourful early
    late long short old young small large first last next other many few some most all each every both again never
    always often sometimes perhaps almost quite rather very too also then there here where when while because
    although however before after during between under over through into about against without within along across
    behind beyond he she they we you i his her their our my your one two three four
    """
)


@dataclass(frozen=True)
class Repo:
    """Files of one repository at one commit; a gated one hands out no file without the token."""

    kind: str  # "models" or "datasets", as in the hub's addresses
    id: str
    files: dict[str, bytes]
    commit: str = ""
    gated: bool = False

    @property
    def sha(self) -> str:
        return self.commit or hashlib.sha1(self.id.encode()).hexdigest()

    def entry(self, name: str) -> dict[str, object]:
        """A file as the hub's tree lists it."""
        content = self.files[name]
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": etag(name, content)}
        if name.endswith(LARGE):
            entry["oid"] = git_sha1(b"pointer to " + name.encode())
            entry["lfs"] = {"oid": etag(name, content), "size": len(content), "pointerSize": 134}
        return entry

    def info(self) -> dict[str, object]:
        """The repository as the hub describes it, with sizes and hashes of its files."""
        siblings = []
        for name in self.files:
            entry = self.entry(name)
            sibling = {"rfilename": name, "size": entry["size"], "blobId": entry["oid"]}
            if "lfs" in entry:
                lfs = entry["lfs"]
                sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 134}  # type: ignore[index]
            siblings.append(sibling)
        gated = "manual" if self.gated else False
        return {"id": self.id, "sha": self.sha, "private": False, "gated": gated, "siblings": siblings}


def git_sha1(content: bytes) -> str:
    """The name git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(name: str, content: bytes) -> str:
    """The hash under which the hub's clients store a file."""
    return hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else git_sha1(content)


def tokenizer_files() -> dict[str, bytes]:
    """A lower-casing WordPiece tokenizer of BERT's kind over the toy vocabulary, spelling out every other word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *".,;:!?'\"-()", *letters, *(f"##{letter}" for letter in letters), *PLAIN, *GOOD, *BAD]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(special)
    return {
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps({"do_lower_case": True, "model_max_length": 512}).encode(),
        "vocab.txt": "\n".join(vocabulary).encode(),
    }


def distilbert_files(layers: int, width: int = 32, seed: int = 0) -> dict[str, bytes]:
    """A DistilBERT with random weights: the files and tensors of the real repository, pickles and heads included."""
    from safetensors.numpy import save

    files = tokenizer_files()
    config = {
        "architectures": ["DistilBertForMaskedLM"],
        "model_type": "distilbert",
        "activation": "gelu",
        "attention_dropout": 0.1,
        "dropout": 0.1,
        "dim": width,
        "hidden_dim": 2 * width,
        "n_heads": 4,
        "n_layers": layers,
        "max_position_embeddings": 512,
        "initializer_range": 0.02,
        "pad_token_id": 0,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
        "vocab_size": len(files["vocab.txt"].split(b"\n")),
    }
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        tensors[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    for table, rows in (("word", config["vocab_size"]), ("position", 512)):
        values = rng.normal(0, 1 if table == "word" else 0.02, (rows, width))
        tensors[f"distilbert.embeddings.{table}_embeddings.weight"] = values.astype(np.float32)
    norm("distilbert.embeddings.LayerNorm")
    for layer in range(layers):
        block = f"distilbert.transformer.layer.{layer}"
        for part in ("q", "k", "v", "out"):
            linear(f"{block}.attention.{part}_lin", width, width)
        linear(f"{block}.ffn.lin1", width, 2 * width)
        linear(f"{block}.ffn.lin2", 2 * width, width)
        norm(f"{block}.sa_layer_norm")
        norm(f"{block}.output_layer_norm")
    linear("vocab_transform", width, width)
    norm("vocab_layer_norm")
    tensors["vocab_projector.bias"] = np.zeros(config["vocab_size"], np.float32)
    pickle = b"a pickle that nobody should ask for"
    return files | {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save(tensors, {"format": "pt"}),
        "pytorch_model.bin": pickle,
        "tf_model.h5": pickle,
        "README.md": b"# A tiny DistilBERT with random weights\n",
    }


def reviews(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Made-up film reviews of 40 to 110 words whose label can be learnt from single words, though not perfectly."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for number in range(count):
        label = number % 2
        words = rng.choice(PLAIN, rng.integers(40, 111))
        for place in np.flatnonzero(rng.random(len(words)) < 0.12):
            words[place] = rng.choice(GOOD if (rng.random() < 0.8) == label else BAD)
        texts.append(" ".join(words).capitalize() + ".")
        labels.append(label)
    return texts, labels


def chats(part: str) -> bytes:
    """One conversation in the format of messages, about the part it is in."""
    turns = [{"role": "user", "content": f"Which part is {part}?"}, {"role": "assistant", "content": "This one."}]
    return json.dumps({"messages": turns}).encode()


def parquet(texts: list[str], labels: list[int]) -> bytes:
    """A parquet file as the data set's own: the columns, their types, and the class names in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"_type": "ClassLabel", "names": ["neg", "pos"]}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": names}
    table = pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.int64())})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def repositories(layers: int, train: int, test: int) -> list[Repo]:
    """The repositories of the course's tables, and one for everything that can be wrong with a repository."""
    model = distilbert_files(layers)
    csv = b"text,label\nfine,1\npoor,0\n"
    without = lambda *names: {name: content for name, content in model.items() if name not in names}  # noqa: E731
    config = json.loads(model["config.json"])

    def configured(**changes: object) -> dict[str, bytes]:
        return model | {"config.json": json.dumps(config | changes).encode()}

    imdb = {
        "README.md": b"# Toy film reviews\n",
        "plain_text/train-00000-of-00001.parquet": parquet(*reviews(train, seed=1)),
        "plain_text/test-00000-of-00001.parquet": parquet(*reviews(test, seed=2)),
        "plain_text/unsupervised-00000-of-00001.parquet": parquet(reviews(8, seed=3)[0], [-1] * 8),
    }
    rows = word_problems(12, seed=3)
    renamed = {f"{part}.parquet": answers_parquet(rows, columns=("problem", "solution")) for part in ("train", "test")}
    code = {"AutoConfig": "configuration_odd.OddConfig", "AutoModel": "modeling_odd.OddModel"}
    return [
        Repo("models", DISTILBERT[0], model, DISTILBERT[1]),
        Repo("datasets", IMDB[0], imdb, IMDB[1]),
        Repo("models", SMALL_WRITER[0], writer_files(chat=False, heads=3, kv_heads=1), SMALL_WRITER[1]),
        Repo("models", MEDIUM_WRITER[0], writer_files(chat=False, heads=3, kv_heads=1), MEDIUM_WRITER[1]),
        Repo("models", LARGE_WRITER[0], writer_files(chat=False), LARGE_WRITER[1]),
        Repo("models", WRITER[0], writer_files(chat=True), WRITER[1]),
        Repo("datasets", GSM8K[0], problems_files(), GSM8K[1]),
        Repo("datasets", DOLLY[0], instructions_files(), DOLLY[1]),
        Repo("datasets", "course-tests/chats", {f"{part}.jsonl": chats(part) for part in ("train", "test")}),
        Repo("datasets", "course-tests/problems", {"train.parquet": answers_parquet(rows)}),
        Repo("datasets", "course-tests/renamed-problems", renamed),
        Repo("models", "course-tests/tiny", model),
        Repo("models", "tiny-legacy", model),
        Repo("models", "course-tests/gated", model, gated=True),
        Repo("models", "course-tests/pickled", without("model.safetensors")),
        Repo("models", "course-tests/no-tokenizer", without("tokenizer.json", "vocab.txt")),
        Repo("models", "course-tests/custom-code", configured(model_type="odd", auto_map=code)),
        Repo("models", "course-tests/decoder", configured(model_type="gpt2", architectures=["GPT2LMHeadModel"])),
        Repo("models", "course-tests/both", configured(model_type="t5", is_encoder_decoder=True)),
        Repo("models", "course-tests/deeper-config", configured(n_layers=layers + 1)),
        Repo("models", "course-tests/not-safetensors", model | {"model.safetensors": b"no header here" * 9}),
        Repo("datasets", "course-tests/csv", {"train.csv": csv, "test.csv": csv, "dataset_infos.json": b"{}"}),
        Repo("datasets", "course-tests/two-in-one", {f"{part}/train.jsonl": b'{"text": "a"}\n' for part in "ab"}),
        Repo("datasets", "course-tests/script", {"script.py": b"raise SystemExit('never run')\n"}),
        Repo("datasets", "course-tests/gated-data", {"train.csv": csv}, gated=True),
    ]
