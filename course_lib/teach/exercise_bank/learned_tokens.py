"""Lesson 04: which tokens count for the loss. The slips are the masks that make a model never stop, or learn to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Tokens = list[str]
START, END = "<|assistant|>", "<|end|>"


def learned(tokens: Tokens, roles: Tokens) -> list[bool]:
    """True for the tokens of the assistant's turns and their end tokens, not for the markers that open them."""
    return [role == "assistant" and token != START for token, role in zip(tokens, roles, strict=True)]


def _row(*turns: tuple[str, str], padding: int = 0) -> tuple[Tokens, Tokens]:
    """Tokens and roles of turns (role, text), with end tokens as padding behind them."""
    tokens, roles = [], []
    for role, text in turns:
        turn = [f"<|{role}|>", *text.split(), END]
        tokens += turn
        roles += [role] * len(turn)
    return tokens + [END] * padding, roles + ["padding"] * padding


LEARNED_CASES = (
    Case(_row(("user", "Two plus two ?"), ("assistant", "Four ."))),
    Case(
        _row(("user", "Who bakes ?"), ("assistant", "Ada ."), padding=3),
        "Behind the last turn there is padding, made of the end token; its role is padding.",
    ),
    Case(
        _row(("user", "Hello"), ("assistant", "Good day"), ("user", "Who are you ?"), ("assistant", "A model")),
        "There are two answers in it, and both are learnt.",
    ),
    Case(_row(("system", "Be short ."), ("user", "Why ?"), ("assistant", "So ."), padding=1)),
)


def _where(test: Callable[[str, str], bool]) -> Callable[[Tokens, Tokens], list[bool]]:
    def mask(tokens: Tokens, roles: Tokens) -> list[bool]:
        return [test(token, role) for token, role in zip(tokens, roles, strict=True)]

    return mask


def _only(tokens: Tokens, roles: Tokens, last: bool) -> list[bool]:
    """The mask of the first or the last answer alone."""
    right, turn, turns = learned(tokens, roles), 0, []
    for token in tokens:
        turn += token == START
        turns.append(turn)
    wanted = max(turns) if last else 1
    return [keep and number == wanted for keep, number in zip(right, turns, strict=True)]


LEARNED_SLIPS = (
    Slip("The end tokens do not count in your mask. Then nothing ever teaches the model to stop: it answers and goes on"
         " writing.", _where(lambda t, r: r == "assistant" and t not in (START, END))),
    Slip("Every end token counts in your mask, also the one behind the user's turn (and padding). The model does not"
         " write those; only the end of its own turn counts.",
         _where(lambda t, r: t == END or (r == "assistant" and t != START))),
    Slip("Padding counts in your mask, since it looks like the end token. Go by the role: what is padding teaches"
         " nothing, and there may be more of it than of answers.",
         _where(lambda t, r: r == "padding" or (r == "assistant" and t != START))),
    Slip("The marker `<|assistant|>` counts in your mask. When the model is used, the prompt ends with it, so the model"
         " never has to write it.", _where(lambda t, r: r == "assistant")),
    Slip("The whole text counts in your mask: the model then learns to write questions as well.",
         _where(lambda t, r: True)),
    Slip("All but the padding counts in your mask: the model then learns to write questions as well.",
         _where(lambda t, r: r != "padding")),
    Slip("All but markers and padding counts in your mask: the model then learns to write questions as well.",
         _where(lambda t, r: r != "padding" and not (t.startswith("<|") and t != END))),
    Slip("It is the wrong way round: True is for the tokens that count.",
         lambda t, r: [not keep for keep in learned(t, r)]),
    Slip("What counts in your mask is the user's part; the model learns the assistant's.",
         _where(lambda t, r: r == "user")),
    Slip("Only the last answer counts in your mask. The earlier ones are answers too, and each is learnt from what"
         " stands before it.", lambda t, r: _only(t, r, last=True)),
    Slip("Only the first answer counts in your mask; the later ones are learnt as well.",
         lambda t, r: _only(t, r, last=False)),
    Slip("Only the end tokens of the answers count in your mask: the model would learn to stop, and nothing to say.",
         _where(lambda t, r: r == "assistant" and t == END)),
)  # fmt: skip


def _read_mask(value: Any) -> tuple[int, ...]:
    if isinstance(value, str | dict | set) or not hasattr(value, "__len__"):
        raise Wrong(f"{described(value)} where a list of True and False is wanted")
    flags = tuple(value.tolist() if hasattr(value, "tolist") else value)
    if any(flag not in (0, 1) for flag in flags):
        raise Wrong(f"{described(list(flags))}; there must be True or False for each token")
    return tuple(int(flag) for flag in flags)


def learned_problems(answer: Any) -> list[str]:
    """What is wrong with a mask."""
    return judge(answer, "learned", LEARNED_CASES, _expected, _SLIPS, _read_mask, lambda a, b: a == b)


def _expected(tokens: Tokens, roles: Tokens) -> tuple[int, ...]:
    return _read_mask(learned(tokens, roles))


_SLIPS = tuple(Slip(s.sentence, lambda t, r, made=s.compute: _read_mask(made(t, r))) for s in LEARNED_SLIPS)

EXERCISE = Exercise(
    id="04-mask",
    title="Which tokens are learnt?",
    prompt=(
        "`tokens` are the tokens of a conversation, `roles` says for each whose turn it belongs to: `system`, `user`,"
        " `assistant` or `padding`. A turn begins with its marker, such as `<|assistant|>`, and ends with `<|end|>`;"
        " padding is made of `<|end|>` too. Write a function that returns a list with True for each token that counts"
        " for the loss: all that the model has to write itself. When the model is used, the prompt ends with the marker"
        " `<|assistant|>`."
    ),
    stub="def learned(tokens, roles):\n    ...",
    hints=(
        "Whose turn is it? That decides nearly everything, and it tells padding from the end of a turn.",
        "Within an assistant's turn only one token is not written by the model: the marker that opens it.",
        '`role == "assistant" and token != "<|assistant|>"` for each token with its role.',
    ),
    code=(
        "def learned(tokens, roles):\n"
        '    return [role == "assistant" and token != "<|assistant|>" for token, role in zip(tokens, roles)]'
    ),
    why=(
        "The end token belongs to the answer: it is the model's decision to stop. A tool that pads with the end token"
        " and then masks every padding token *by its id* takes that decision out of the training, and the tuned model"
        " never stops. Here the role decides, so both can look alike."
    ),
    problems=learned_problems,
)
