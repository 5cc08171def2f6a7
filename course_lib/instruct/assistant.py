"""A model that is asked: messages go in, an answer comes out.

Between the two lie the chat template, which says with which tokens a question ends and an answer begins, and the tokens
that end an answer. `Assistant` joins both to a `generate.Writer`, for a model on disk as well as for one that is being
trained, which is asked as it is at that moment and left as it was.

An adapter is a difference to a base model. On a base in full numbers it is added to the weights once, for speed
(``merged``); on a base in 4 bits it stays beside them, because weights rounded to 4 bits again would answer otherwise.

Left out: several adapters on one base (lesson 05), and requests that come and go while others are answered.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from course_lib import hardware, hub
from course_lib.errors import CourseError
from course_lib.generate import Decoding, writer_of
from course_lib.generate.hf import load, load_theirs
from course_lib.generate.writer import asking_dtype
from course_lib.hub.models import has_tokenizer, read_json
from course_lib.prompts.chat import Chat

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

ADAPTER, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # peft's
RECORD = "finetune.json"  # the course's own: how the model in a folder was made
Messages = Sequence[Mapping[str, str]]


class Assistant:
    """A causal model, its tokenizer and its chat template.

    ``model`` is a `Decoder` or a live model of transformers, bare or within peft; its weights are shared, and it stays
    in the mode of training or evaluation in which it is. Without ``chat`` it is the tokenizer's own template, or the
    one that suits it.
    """

    def __init__(self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, chat: Chat | None = None) -> None:
        self.model, self.tokenizer, self.chat = model, tokenizer, chat or Chat(tokenizer)
        self.writer = writer_of(model, tokenizer, self.chat.stop_ids)

    @classmethod
    def from_name(cls, name: str | Path, device: str | None = None) -> Assistant:
        """The model of this name, on ``device`` (None: what this machine has).

        The name is a short name, a hub id, a folder with a model, or a folder with an adapter of peft, whose base is
        found and loaded. Raises CourseError when something of it is missing, damaged or does not fit.
        """
        device = device or hardware.device()
        folder = Path(name).expanduser()
        if (folder / ADAPTER).is_file():
            model, tokens = _adapted(folder, device)
        else:
            tokens = hub.causal_folder(str(name))
            model = load(tokens, asking_dtype(device)).to(device)
        return cls(model, hub.load_tokenizer(tokens))

    def answer(
        self,
        prompts: Sequence[Messages],
        *,
        max_new: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = 32,
    ) -> list[str]:
        """One answer to each prompt (messages that end with one of the user), without spaces around it.

        Raises CourseError for a prompt that does not leave room for ``max_new`` tokens.
        """
        decoding = Decoding(max_new=max_new, temperature=temperature, top_p=top_p, seed=seed)
        ids = [self.chat.prompt_ids(messages) for messages in prompts]
        return [own[0].text.strip() for own in self.writer.generate(ids, decoding, batch_size)]

    def reply(
        self, messages: Messages, *, max_new: int = 64, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> Iterator[str]:
        """One answer in pieces, as it is written; together they are what `answer` gives."""
        decoding = Decoding(max_new=max_new, temperature=temperature, top_p=top_p, seed=seed)
        return _stripped(self.writer.stream(self.chat.prompt_ids(messages), decoding))

    def scores(self, pairs: Sequence[tuple[Messages, str]], batch_size: int = 32) -> list[float]:
        """The log-probability of each answer, with the token that ends it, after its prompt (natural logarithm)."""
        whole = self.chat.encode_all([[*before, {"role": "assistant", "content": text}] for before, text in pairs])
        return self.writer.scores([_last_answer(one.ids, one.learn) for one in whole], batch_size)

    def perplexity(self, texts: Sequence[str]) -> float:
        """Of plain texts, without the template (see `Writer.perplexity`)."""
        return self.writer.perplexity(texts)

    def continue_(self, texts: Sequence[str], decoding: Decoding | None = None) -> list[str]:
        """What follows plain texts, without the template, as a base model is asked."""
        return [own[0].text for own in self.writer.generate(texts, decoding)]


def _last_answer(ids: Sequence[int], learn: Sequence[bool]) -> tuple[Sequence[int], Sequence[int]]:
    """The tokens before the last answer, and the answer's with its end."""
    end = max(k for k, learned in enumerate(learn) if learned) + 1
    start = end
    while start and learn[start - 1]:
        start -= 1
    return ids[:start], ids[start:end]


def _stripped(pieces: Iterator[str]) -> Iterator[str]:
    """The same text without the spaces around it."""
    held = None
    for piece in pieces:
        text = piece.lstrip() if held is None else held + piece
        kept = text.rstrip()
        if kept:
            yield kept
            held = text[len(kept) :]
        elif held is not None:
            held = text


# -- adapters ----------------------------------------------------------------------------------------------------------


def _adapted(folder: Path, device: str) -> tuple[Any, Path]:
    """The base model with the adapter in ``folder`` on it, in evaluation mode, and the folder of the tokenizer."""
    config = read_json(folder / ADAPTER)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    name = record.get("base") or config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise CourseError(f"The adapter in {folder} does not say what its base model is: write it into {RECORD}.")
    if not (folder / WEIGHTS).is_file():
        raise CourseError(f"The folder {folder} lacks {WEIGHTS}: copy or download the adapter again.")
    try:
        base = hub.causal_folder(name)
    except CourseError as error:
        raise CourseError(f"The adapter in {folder} needs its base model {name!r}. {error}") from error
    four_bits = record.get("method") == "qlora"
    model = _put_on(_base(base, four_bits, device), folder, name)
    if not four_bits:
        model = model.merge_and_unload()
    held = has_tokenizer(path.name for path in folder.iterdir())
    return model.eval(), folder if held else base


def _base(folder: Path, four_bits: bool, device: str) -> Any:
    dtype = asking_dtype(device)
    if not four_bits:
        return load_theirs(folder, dtype).to(device)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise CourseError("A base model in 4 bits needs bitsandbytes: pip install bitsandbytes.")
    from transformers import BitsAndBytesConfig

    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return load_theirs(folder, dtype, quantization_config=bits, device_map={"": device})


def _put_on(model: Any, folder: Path, base: str) -> Any:
    import peft

    try:
        with hub.quiet(), warnings.catch_warnings():
            # Peft warns of tensors that it lacks, not of those too many, and asks transformers by old names.
            warnings.simplefilter("ignore")
            made = peft.PeftModel.from_pretrained(model, folder)
            here = set(peft.get_peft_model_state_dict(made, save_embedding_layers=False))
        with safe_open(folder / WEIGHTS, "pt") as file:
            apart = sorted(name for name in here.symmetric_difference(file.keys()) if "lora_" in name)
        if apart:
            raise ValueError(f"{apart[0]} is in one of them only")
    except Exception as error:  # peft, torch and safetensors each have their own for what does not fit
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise CourseError(
            f"The adapter in {folder} does not fit the base model {base!r} ({reason}): it was made for another one, or "
            "its files are damaged."
        ) from error
    return made
