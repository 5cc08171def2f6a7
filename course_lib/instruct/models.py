"""From a model's name to a model that is ready to learn, and its tokenizer and chat format with it.

All of it is the libraries' work: transformers loads, bitsandbytes keeps a base in 4 bits (NF4 with its scales quantized
as well), peft adds the matrices of LoRA. What is decided here is what learns, and in which numbers (`settings`). QLoRA
is no method of its own: it is LoRA on a base that was loaded in 4 bits, and reads like that below.

Adapters stay in float32 whatever the base is in: in fp16 their small steps vanish, and the gradient
scaler refuses them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib import decoder, hardware, hub
from course_lib.errors import CourseError
from course_lib.hardware import Hardware
from course_lib.instruct.settings import Numbers, Tuning, numbers
from course_lib.prompts import Chat

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

LONGEST = 2048  # tokens of an example, unless somebody asks for more


@dataclass(frozen=True)
class Learner:
    """A model that is ready to be tuned."""

    name: str
    model: Any  # of transformers, perhaps within peft's
    tokenizer: PreTrainedTokenizerBase
    chat: Chat
    tuning: Tuning  # with everything settled
    numbers: Numbers
    packing: bool  # whether its attention can be told where a text ends
    trained: nn.Module  # what computes in training: the course's decoder with the same weights, or the model itself

    @property
    def limit(self) -> int:
        """The longest example in tokens."""
        positions = int(getattr(self.model.config, "max_position_embeddings", None) or LONGEST)
        return min(self.tuning.max_length or LONGEST, positions)

    @property
    def parameters(self) -> tuple[int, int]:
        """All parameters, and those that learn; of a weight in 4 bits both halves of a byte count."""
        whole = sum(_count(p) for p in self.model.parameters())
        return whole, sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.tuning.rate(int(self.model.config.get_text_config().hidden_size))

    def save(self, folder: Path) -> None:
        """Write the model, or of an adapter only what was added, and the tokenizer with its chat template.

        A whole model can be loaded by transformers as it is, an adapter by peft on the same base.
        """
        model: Any = self.model
        if self.tuning.adapts:
            model.peft_config["default"].base_model_name_or_path = self.name
            # Asked to find out by itself whether embeddings were trained, too, peft looks for the base on the hub.
            model.save_pretrained(folder, save_embedding_layers=False)
        else:
            model.config.use_cache = True
            model.generation_config.eos_token_id = sorted(self.chat.stop_ids)  # so that other programs stop, too
            model.save_pretrained(folder)
        self.tokenizer.chat_template = self.chat.template
        self.tokenizer.save_pretrained(folder)


def load(name: str, tuning: Tuning, machine: Hardware | None = None) -> Learner:
    """The model of this name (short name, folder or hub id) with ``tuning.method`` put on it, on this machine's device.

    Raises CourseError when it cannot be had, continues no texts, or has no layers of the names in ``tuning.targets``.
    """
    import torch

    from course_lib.instruct.attention import use_packing
    from course_lib.instruct.fused import fuse

    machine = machine or hardware.detect()
    folder = hub.causal_folder(name)
    found = numbers(tuning.method, machine)
    model = _base(folder, found, tuning.method == "qlora", machine.device)
    parameters = sum(_count(p) for p in model.parameters())
    tuning = tuning.settled(machine, parameters)
    tokenizer = hub.load_tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tuning.seed)  # LoRA's first matrices are drawn
        model = choose(model, tuning)
    model.config.use_cache = False
    if tuning.checkpointing:
        # Renamed in transformers 5.23.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    packing = tuning.packing and use_packing(model.get_base_model() if tuning.adapts else model)
    trained = model
    if packing and not tuning.checkpointing and not decoder.unlike_llama(model):
        trained = decoder.adopt(model)
        if found.computed == "float32":
            fuse(trained)
    return Learner(_lasting(name), model, tokenizer, Chat(tokenizer), tuning, found, packing, trained)


def choose(model: Any, tuning: Tuning) -> Any:
    """Mark what learns, or put it on."""
    if tuning.method == "full":
        return model.requires_grad_(True)
    model.requires_grad_(False)
    if tuning.method == "last-n":
        blocks = _blocks(model)
        if tuning.blocks > len(blocks):
            raise CourseError(f"The model has {len(blocks)} blocks: train 1 to {len(blocks)} of them.")
        for block in blocks[-tuning.blocks :]:
            block.requires_grad_(True)
        return model
    with hub.quiet():
        import peft

    named = [name.strip() for name in tuning.targets.split(",")]
    # None: peft's own choice, queries and values.
    targets: Any = {"all-linear": "all-linear", "qv": None}.get(tuning.targets, named)
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=tuning.rank,
        lora_alpha=tuning.alpha,  # scaled by alpha / r
        lora_dropout=tuning.dropout,
        target_modules=targets,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
            return peft.get_peft_model(model, settings, autocast_adapter_dtype=True)
    except ValueError as error:
        raise CourseError(
            f"LoRA cannot be put on this model ({str(error).splitlines()[0]}): change targets."
        ) from error


def _base(folder: Path, found: Numbers, four_bits: bool, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {}
    if four_bits:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, found.computed),
        )
        options["device_map"] = {"": device}
    with hub.sound(folder):
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, found.held), use_safetensors=True, **hub.SAFE, **options
        )
    if not four_bits:
        return model.to(device)
    for module in model.modules():
        # On processors with bf16, bitsandbytes rearranges a weight when it is first used outside of training, for a
        # kernel that the course does not install; the optimizer, checkpoints and the planner want what was loaded.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def _lasting(name: str) -> str:
    """The name under which a base can be found from wherever its adapter is used: of a folder, the whole path."""
    path = Path(name).expanduser()
    return name if name in hub.MODELS or not path.is_dir() else str(path.resolve())


def _blocks(model: Any) -> Any:
    from torch import nn

    depth = model.config.get_text_config().num_hidden_layers
    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)


def _count(parameter: Any) -> int:
    return parameter.numel() * (2 if parameter.__class__.__name__ == "Params4bit" else 1)
