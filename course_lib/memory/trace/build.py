"""The model that is traced: transformers' own code, cut to a few blocks, with peft's own adapters on it.

Everything is built on the meta device, where it costs nothing, and becomes fake tensors on the processor when it is
run (`materialize`, inside a FakeTensorMode). A linear layer quantized to NF4 is bitsandbytes' own class with tensors of
the right sizes in the place of its matrices: quantizing nothing would be work for nothing.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.gpu import OnGPU

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
QUERY_AND_VALUE = ("q_proj", "v_proj", "query_key_value", "qkv_proj", "c_attn", "query", "value", "q_lin", "v_lin")
CLASSES = 2  # of a classifier on an encoder


@dataclass
class Traced:
    """A model ready to run on fake tensors: its blocks in order, the module that makes logits, what learns."""

    model: nn.Module
    blocks: list[nn.Module]
    head: nn.Module
    causal: bool
    loss: Callable[[Tensor, Tensor], Tensor] | None = None  # from token ids and labels; None: as transformers does it
    lingers: bool = False  # the training loop keeps a step's loss, and what hangs on it, until it has the next one

    @property
    def learned(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that learn, with their names."""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]


def shallow(config: Any, layers: int | None) -> Any:
    """A copy of a transformers config with so many blocks (None: all)."""
    config = copy.deepcopy(config)
    if layers is not None:
        config.num_hidden_layers = layers
        kinds = getattr(config, "layer_types", None)
        if kinds:
            config.layer_types = list(kinds)[:layers]
    config.use_cache = False
    return config


def period(config: Any) -> int:
    """After how many blocks their kinds repeat: 1 where all are alike; all of them where nothing repeats."""
    kinds = list(getattr(config, "layer_types", None) or [])
    for length in range(1, len(kinds)):
        if all(kinds[i] == kinds[i % length] for i in range(len(kinds))):
            return length
    return max(1, len(kinds))


def build(config: Any, recipe: Recipe, layers: int | None, *, causal: bool) -> Traced:
    """The model of a config with so many blocks, in the recipe's precision, with what learns marked."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = shallow(config, layers)
    if recipe.program != "transformers":
        from course_lib.memory.trace import litgpt

        return litgpt.build(config, recipe)
    if not causal:
        config.num_labels = CLASSES
    kind = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    attention = "eager" if recipe.attention == "eager" or _caps(config) else "sdpa"
    with quietly(), torch.device("meta"):
        try:
            model = kind.from_config(config, dtype=DTYPES[recipe.held], attn_implementation=attention)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            why = f"{type(error).__name__}: {error}"
            raise CourseError(f"transformers cannot build a {config.model_type} from its config ({why}).") from error
        blocks = _blocks(model, config.num_hidden_layers)
        if recipe.method == "qlora":
            _quantize(model, recipe)
        if recipe.checkpointing:
            model.gradient_checkpointing_enable(recomputing())
        return _finish(model, blocks, recipe, causal=causal)


def _finish(model: Any, blocks: list[nn.Module], recipe: Recipe, *, causal: bool) -> Traced:
    head = model.get_output_embeddings() if causal else _classifier(model)
    model = _learning(model, blocks, recipe, head)
    model.train(recipe.trains)
    return Traced(model, blocks, head, causal)


def recomputing() -> dict[str, Any]:
    """How `torch.utils.checkpoint` is called: what stands in for the GPU is off in a backward pass unless asked for.

    The random state is left alone, because fetching it would be the only real tensor of a fake run.
    """
    return {
        "use_reentrant": False,
        "preserve_rng_state": False,
        "context_fn": lambda: (nullcontext(), OnGPU(OnGPU.active[-1]) if OnGPU.active else nullcontext()),
    }


def materialize(model: nn.Module) -> None:
    """Give every tensor of a model on the meta device bytes, which inside a FakeTensorMode are fake; ties stay tied."""
    made: dict[int, Tensor] = {}

    def real(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            fresh = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
            if isinstance(tensor, nn.Parameter):
                fresh = nn.Parameter(fresh, requires_grad=tensor.requires_grad)
                vars(fresh).update(vars(tensor))
            made[id(tensor)] = fresh
        return made[id(tensor)]

    for module in model.modules():
        for kept in (module._parameters, module._buffers):
            held: dict[str, Any] = kept
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = real(tensor)
        state = getattr(module, "quant_state", None)
        if state is not None:
            state.absmax, state.code = real(state.absmax), real(state.code)
            if state.nested:
                state.offset, inner = real(state.offset), state.state2
                inner.absmax, inner.code = real(inner.absmax), real(inner.code)


def _caps(config: Any) -> bool:
    """Whether attention scores are squashed, which no fused kernel does."""
    return bool(getattr(config, "attn_logit_softcapping", None))


def _blocks(model: nn.Module, count: int) -> list[nn.Module]:
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise CourseError(f"No list of {count} blocks was found in {type(model).__name__}; it cannot be traced.")


def _classifier(model: nn.Module) -> nn.Module:
    for name in ("classifier", "score"):
        if hasattr(model, name):
            return getattr(model, name)
    raise CourseError(f"{type(model).__name__} has no classifier that is known here; it cannot be traced.")


def _learning(model: Any, blocks: list[nn.Module], recipe: Recipe, head: nn.Module) -> Any:
    if recipe.method == "full":
        return model
    model.requires_grad_(False)
    if recipe.method == "last-n":
        if recipe.blocks > len(blocks):
            raise CourseError(f"The model has {len(blocks)} blocks; last-n cannot train {recipe.blocks}.")
        for module in blocks[-recipe.blocks :]:
            module.requires_grad_(True)
        if not model.config.is_encoder_decoder and not hasattr(model, "lm_head"):
            head.requires_grad_(True)
        return model
    if recipe.method in ("lora", "qlora"):
        return _adapt(model, recipe, head)
    if recipe.method == "prompt":
        from peft import PromptTuningConfig, get_peft_model

        settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=recipe.prompt_tokens)
        return get_peft_model(model, settings, low_cpu_mem_usage=True)
    return model


def linear_names(model: nn.Module) -> set[str]:
    """The last parts of the names of a model's linear layers."""
    from transformers.pytorch_utils import Conv1D

    return {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def _adapt(model: Any, recipe: Recipe, head: nn.Module) -> Any:
    from peft import LoraConfig, get_peft_model

    names = linear_names(model)
    wanted: Any = recipe.targets
    if recipe.targets == "qv":
        wanted = [name for name in QUERY_AND_VALUE if name in names]
    elif recipe.targets != "all-linear":
        unknown = [name for name in recipe.targets if name not in names]
        if unknown:
            raise CourseError(
                f"The model has no linear layer {unknown[0]!r}; choose all-linear, qv or some of "
                f"{', '.join(sorted(names))}."
            )
        wanted = list(recipe.targets)
    settings = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, lora_dropout=recipe.lora_dropout, target_modules=wanted
    )
    with quietly():
        adapted = get_peft_model(model, settings, autocast_adapter_dtype=False, low_cpu_mem_usage=True)
    for p in adapted.parameters():
        if p.requires_grad:  # peft does this itself, except on the meta device
            p.data = p.data.to(DTYPES[recipe.learned])
    return adapted


def _quantize(model: nn.Module, recipe: Recipe) -> None:
    """As transformers does it: GPT-2's Conv1D is a linear layer to it, Falcon's subclass of Linear is none."""
    from transformers.pytorch_utils import Conv1D

    for module in list(model.modules()):
        for child, linear in list(module.named_children()):
            is_head = "head" in child or child in ("embed_out", "score", "classifier")
            linears = type(linear) is nn.Linear or isinstance(linear, Conv1D)
            if linears and (recipe.quantize_head or not is_head):
                setattr(module, child, nf4(linear, recipe))


def nf4(linear: Any, recipe: Recipe) -> nn.Module:
    """bitsandbytes' 4-bit layer in the place of a linear one, its tensors fake: codes, scales, and scales of scales."""
    import bitsandbytes as bnb
    from bitsandbytes.functional import QuantState

    outputs, inputs = linear.weight.shape if isinstance(linear, nn.Linear) else linear.weight.shape[::-1]
    values, width, dtype = linear.weight.numel(), linear.weight.dtype, torch.float32
    blocks = -(-values // 64)
    layer = bnb.nn.Linear4bit(
        inputs,
        outputs,
        bias=linear.bias is not None,
        compute_dtype=DTYPES[recipe.compute],
        compress_statistics=recipe.double_quantization,
        quant_type="nf4",
    )
    absmax, nested = torch.empty(blocks, dtype=dtype), {}
    if recipe.double_quantization:
        absmax = torch.empty(blocks, dtype=torch.uint8)
        inner = QuantState(absmax=torch.empty(-(-blocks // 256)), blocksize=256, code=torch.empty(256), dtype=dtype)
        nested = {"offset": torch.empty(()), "state2": inner}
    shape = torch.Size((outputs, inputs))
    state = QuantState(
        absmax=absmax, shape=shape, code=torch.empty(16), blocksize=64, quant_type="nf4", dtype=width, **nested
    )
    weight = nn.Parameter(torch.empty((values + 1) // 2, 1, dtype=torch.uint8), requires_grad=False)
    vars(weight).update(
        compress_statistics=recipe.double_quantization, quant_type="nf4", quant_state=state, bnb_quantized=True
    )
    del layer._parameters["weight"]
    layer.weight, layer.quant_state, layer.bias = weight, state, linear.bias
    layer.support_avx512bf16_for_cpu = False  # a GPU packs no weights for a processor
    return layer


def states(module: nn.Module) -> Iterator[Tensor]:
    """The tensors of quantized weights that are neither parameters nor buffers."""
    state = getattr(module, "quant_state", None)
    if state is not None:
        yield from (state.absmax, state.code)
        if state.nested:
            yield from (state.offset, state.state2.absmax, state.state2.code)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the libraries' remarks about a model that will never be used out of the output."""
    names = ("transformers", "peft", "torch", "bitsandbytes")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
