"""The models of transformers behind the call of the course's decoder, so that one loop writes with all of them.

Qwen, Gemma, Mistral or GPT-2 differ from a Llama in a bias, a norm or the way positions come in; the loop of decoding
need not know. What it does need, every causal model of transformers can do: read new tokens behind a cache, heed a mask
of the padding on the left, give the scores of the last token only, and let rows leave the cache. A decoder of our own
takes about three quarters of the time, which is why Llamas are adopted (`course_lib.decoder.adopt`) and only others
are asked this way.

Left out: models without a cache of keys and values, and prompts that were learned (prefix tuning).
"""

from __future__ import annotations

import copy
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import decoder, hub
from course_lib.decoder import Decoder, adopt, unlike_llama
from course_lib.errors import CourseError
from course_lib.hub.models import read_json

NEEDED = ("input_ids", "attention_mask", "past_key_values", "use_cache")


@dataclass(frozen=True)
class Size:
    """The two numbers of a configuration that the loop asks for."""

    vocab_size: int
    max_position_embeddings: int


class HFCache:
    """The cache of transformers, with the names of the decoder's."""

    def __init__(self, config: Any) -> None:
        from transformers import DynamicCache

        self.inner = DynamicCache(config=config)
        self.length = 0

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order (rows may repeat)."""
        self.inner.reorder_cache(rows)

    def __copy__(self) -> HFCache:
        made = HFCache.__new__(HFCache)
        # Some layers write in place, so the copy shares nothing.
        made.inner, made.length = copy.deepcopy(self.inner), self.length
        return made


class HFModel(nn.Module):
    """A causal model of transformers, bare or within peft, called like a `Decoder`. It shares the model's weights.

    Raises CourseError for a model that cannot continue from a cache.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        adapter = getattr(model, "active_peft_config", None)
        bare: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
        known = inspect.signature(type(bare).forward).parameters  # accelerate hides the instance
        lacks = [name for name in NEEDED if name not in known]
        if lacks or (adapter is not None and adapter.is_prompt_learning):
            why = f"its call does not take {lacks[0]}" if lacks else "it begins with a prompt that was learned"
            raise CourseError(f"A {type(bare).__name__} cannot be asked here, because {why}: choose another model.")
        self.inner, self._known, self._config = bare, known, bare.config
        text = bare.config.get_text_config(decoder=True)
        # Some count no positions (ALiBi): they take what fits the memory.
        self.config = Size(text.vocab_size, getattr(text, "max_position_embeddings", None) or sys.maxsize)
        self.lm_head = nn.Identity()  # the model's own call ends with the scores, which some cap or scale

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.inner.parameters()).device

    def cache(self) -> HFCache:
        """An empty cache, which grows as it is written to."""
        return HFCache(self._config)

    def forward(
        self,
        ids_BT: Tensor,
        mask_BS: Tensor | None = None,
        cache: HFCache | None = None,
        last: int = 0,
        scores: bool = True,
    ) -> Tensor:
        """The logits (B, T or ``last``, V), as `Decoder.forward` describes; ``scores`` changes nothing here."""
        T = ids_BT.shape[1]
        options: dict[str, Any] = {}
        if mask_BS is not None:
            options["attention_mask"] = mask_BS.long()
            if "position_ids" in self._known:
                options["position_ids"] = (mask_BS.long().cumsum(-1) - 1).clamp(min=0)[:, -T:]
        if "logits_to_keep" in self._known:
            options["logits_to_keep"] = last
        past = None if cache is None else cache.inner
        logits: Tensor = self.inner(
            input_ids=ids_BT, past_key_values=past, use_cache=cache is not None, **options
        ).logits
        if cache is not None:
            cache.length += T
        return logits[:, -last:]


def readable(model: nn.Module) -> Decoder | HFModel:
    """A model as the loop of decoding takes it: Llamas adopted by the decoder, all others of transformers wrapped."""
    if isinstance(model, Decoder | HFModel):
        return model
    return HFModel(model) if unlike_llama(model) else adopt(model)


def load(folder: Path, dtype: torch.dtype) -> Decoder | HFModel:
    """The causal model in a folder, in evaluation mode: a Llama in the decoder, any other in transformers.

    Raises CourseError when its files are damaged.
    """
    try:
        decoder.DecoderConfig.from_hf(read_json(folder / "config.json"))
    except CourseError:
        return readable(load_theirs(folder, dtype)).eval()
    return decoder.load(folder, dtype)


def load_theirs(folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """The causal model in a folder as transformers loads it.

    Raises CourseError when its files are damaged or weights are missing.
    """
    from transformers import AutoModelForCausalLM

    with hub.sound(folder):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **hub.SAFE, **options
        )
    lost = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if lost:
        raise CourseError(
            f"The weights in {folder} lack {len(lost)} of the model's tensors ({lost[0]}, ...), which would stay "
            "random: get a complete copy."
        )
    return model
