"""What kind of model is in a folder, and the loading of encoders and tokenizers.

A text model is of one of three kinds. An encoder sees the whole text and gives each token a vector. A causal model sees
each token's past only, and continues a text. An encoder-decoder reads one text and writes another. A configuration says
which by its type, and a lesson that needs one kind says so before the weights of another are downloaded.

Left out: loading causal models. The course's own decoder reads the Llamas (`course_lib.decoder`), and what is tuned is
loaded where its method is known (`course_lib.instruct.models`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.hub.models import config_file, model_folder, read_json
from course_lib.hub.sources import encoders, writers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAFE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


def load_encoder(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder and its tokenizer, in float32 and evaluation mode, from a short name, a folder or a hub id.

    Only safetensors are read and no code from the model's repository is run. Raises CourseError when the model is no
    text encoder, needs code of its own, or its files are damaged.
    """
    check_encoder(name, read_json(config_file(name)))
    folder = model_folder(name)
    import torch
    from transformers import AutoModel

    with sound(folder):
        model, report = AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **SAFE
        )
    tokenizer = load_tokenizer(folder)
    lost = [key for key in report["missing_keys"] if "pooler" not in key]  # the course pools the tokens itself
    if lost:
        raise CourseError(
            f"The weights in {folder} lack {len(lost)} of the model's tensors ({lost[0]}, ...), which would stay "
            "random: get a complete copy, or a config.json that belongs to these weights."
        )
    return model.eval(), tokenizer


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's folder. Raises CourseError when its files are damaged."""
    from transformers import AutoTokenizer

    with sound(Path(folder)):
        return AutoTokenizer.from_pretrained(folder, **SAFE)


def causal_folder(name: str) -> Path:
    """The folder of a model that continues texts: a short name, a folder, or a hub id.

    What an encoder's configuration gives away is said before its weights are downloaded. Raises CourseError for every
    model that is not causal, and where `model_folder` does.
    """
    check_causal(name, read_json(config_file(name)))
    return model_folder(name)


def check_encoder(name: str, config: dict[str, Any]) -> None:
    """Raise CourseError unless the configuration is one of a text encoder that transformers itself knows."""
    kind = known_type(name, config)
    found = architecture(config)
    if found != "encoder":
        why = "a decoder, which sees each word's past only" if found == "decoder" else "no plain text encoder"
        raise CourseError(
            f"The model {name!r} (type {kind!r}) is {why}: this lesson needs an encoder such as BERT, DistilBERT or "
            f"RoBERTa; {' or '.join(encoders())} will do."
        )


def check_causal(name: str, config: dict[str, Any]) -> None:
    """Raise CourseError unless the configuration is one of a model that continues texts and that transformers knows."""
    kind = known_type(name, config)
    found = architecture(config)
    if found != "decoder":
        why = {
            "encoder": "an encoder, which reads a whole text at once and cannot continue one",
            "both": "an encoder-decoder, which turns one text into another",
        }.get(found, "no language model that continues a text")
        raise CourseError(
            f"The model {name!r} (type {kind!r}) is {why}: this lesson needs a causal model such as a Llama; "
            f"{' or '.join(writers())} will do."
        )


def known_type(name: str, config: dict[str, Any]) -> str:
    """The type of a model that transformers knows without code from elsewhere; CourseError for every other."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = str(config.get("model_type", "unknown"))
    if kind in CONFIG_MAPPING_NAMES:
        return kind
    if "auto_map" in config:
        raise CourseError(
            f"The model {name!r} needs Python code from its own repository, which the course never runs: "
            "choose a model that transformers knows without it."
        )
    raise CourseError(f"The installed transformers does not know the model type {kind!r} of {name!r}: upgrade it.")


def architecture(config: dict[str, Any]) -> str:
    """ "encoder", "decoder", "both", or "" for what is none of them, such as a model of pictures."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = str(config.get("model_type"))
    if config.get("is_encoder_decoder"):
        return "both"
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:  # some of these have a causal variant, which nobody publishes
        return "encoder"
    return "decoder" if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else ""


@contextmanager
def sound(folder: Path) -> Iterator[None]:
    """Load quietly, and turn whatever a damaged file raises into one sentence."""
    with quiet():
        try:
            yield
        except Exception as error:  # tokenizers and safetensors raise bare exceptions for a damaged file
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise CourseError(
                f"The model in {folder} cannot be loaded ({reason}): its files are damaged or of another version; "
                "delete the folder, get the model again and try once more."
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without progress bars and loading reports, as before afterwards; what matters is checked here.

    And bitsandbytes without advice to install a package that fetches kernels from the hub.
    """
    import logging as standard

    from transformers.utils import logging

    standard.getLogger("bitsandbytes.backends.cpu").setLevel(standard.ERROR)
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
