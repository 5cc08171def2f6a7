"""The fused forward of LoRA: peft's numbers and peft's gradients, and peft's own forward wherever it is not plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from course_lib.instruct.fused import Merged, fuse

pytestmark = pytest.mark.usefixtures("one_thread")


class Two(nn.Module):
    """Two linear layers, one of them with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 10), nn.Linear(10, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x)))


def adapted(base: nn.Module | None = None, rank: int = 3, alpha: float = 12.0, **more: Any) -> Any:
    """LoRA on both layers that changes something."""
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["up", "down"], **more)
    model = peft.get_peft_model(base or Two(), settings)
    shaken(model)
    return model


def shaken(model: nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.2)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that the fused forward computes."""
    made: list[int] = []
    apply: Callable[..., Tensor] = Merged.apply

    def counted(*given: Any) -> Tensor:
        made.append(1)
        return apply(*given)

    monkeypatch.setattr(Merged, "apply", counted)
    return made


def results(model: Any, x: Tensor) -> dict[str, Tensor]:
    """The output, the gradient of the input, and those of what learns."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return {**found, "x": x.grad, "y": y.detach()}


def test_the_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(2)
    make = lambda *shape, learn=True: torch.randn(*shape, dtype=torch.float64, requires_grad=learn)  # noqa: E731
    given = (make(5, 6), make(4, 6, learn=False), make(4, learn=False), make(3, 6), make(4, 3), 2.5)
    assert torch.autograd.gradcheck(Merged.apply, given)
    assert torch.autograd.gradcheck(Merged.apply, (*given[:2], None, *given[3:]))
    still = (given[0].detach(), *given[1:])  # the first layer of a model: nobody asks for the gradient of its input
    assert torch.autograd.gradcheck(Merged.apply, still)


def test_by_hand() -> None:
    # x = (1, 2), W = (3 4), A = (5 6), B = (7), s = 1/2: A x = 17, W x = 11, y = 11 + 7 * 17 / 2 = 70.5
    x, weight = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0, 4.0]])
    a, b = torch.tensor([[5.0, 6.0]], requires_grad=True), torch.tensor([[7.0]], requires_grad=True)
    y = Merged.apply(x, weight, None, a, b, 0.5)
    assert y.item() == 70.5
    y.backward()
    assert b.grad is not None
    assert b.grad.item() == 8.5  # 17 / 2
    assert a.grad is not None
    assert a.grad.tolist() == [[3.5, 7.0]]  # 7 x / 2
    assert x.grad is not None
    assert x.grad.tolist() == [[3 + 17.5, 4 + 21]]  # W + 7 A / 2


@pytest.mark.parametrize("shape", [(9, 6), (2, 5, 6), (1, 6)])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}])
def test_forward_and_backward_are_pefts(shape: tuple[int, ...], options: dict[str, Any], calls: list[int]) -> None:
    model, x = adapted(**options), torch.randn(shape)
    expected = results(model, x)
    assert fuse(model) == 2
    found = results(model, x)
    assert len(calls) == 2
    assert found.keys() == expected.keys()
    assert len(found) == 6
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


def test_the_base_gets_no_gradient_and_is_not_changed(calls: list[int]) -> None:
    model = adapted()
    fuse(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    results(model, torch.randn(3, 6))
    assert calls
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert (p.grad is None) == ("lora_" not in name)


def test_without_gradients_pefts_forward_computes(calls: list[int]) -> None:
    model = adapted()
    fuse(model)
    with torch.no_grad():
        y = model(torch.randn(3, 6))
    assert y.shape == (3, 4)
    assert not calls


def unlike(change: str, model: Any) -> None:
    """Make the adapter of a model something else than plain."""
    if change == "another adapter":
        torch.manual_seed(5)
        model.add_adapter("second", peft.LoraConfig(r=2, target_modules=["up", "down"]))
        shaken(model)
        model.base_model.set_adapter(["default", "second"])
    elif change == "merged":
        model.merge_adapter()
    elif change == "disabled":
        model.base_model.disable_adapter_layers()
    elif change == "half precision":
        model.to(torch.bfloat16)


@pytest.mark.parametrize("change", ["another adapter", "merged", "disabled", "half precision"])
def test_what_becomes_of_a_model_later_is_noticed(change: str, calls: list[int]) -> None:
    one, other = adapted(), adapted()
    assert fuse(one) == 2
    for model in (one, other):
        unlike(change, model)
    x = torch.randn(4, 6, dtype=next(one.parameters()).dtype)
    assert torch.equal(one(x), other(x))
    assert not calls


@pytest.mark.parametrize("options", [{"lora_dropout": 0.2}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_not_plain_from_the_beginning_stays_pefts(options: dict[str, Any]) -> None:
    base = Two()
    if options.get("lora_bias"):
        base.down = nn.Linear(10, 4)
    assert fuse(adapted(base, **options)) == 0


@pytest.mark.parametrize("change", ["another adapter", "merged", "disabled", "half precision"])
def test_what_is_not_plain_is_not_counted(change: str) -> None:
    model = adapted()
    unlike(change, model)
    assert fuse(model) == 0


def test_a_switched_back_adapter_is_fused_again(calls: list[int]) -> None:
    model = adapted()
    x = torch.randn(4, 6)
    expected = model(x)
    fuse(model)
    model.merge_adapter()
    model.unmerge_adapter()
    with model.disable_adapter():
        model(x)
    assert not calls
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
    assert len(calls) == 2


def test_a_base_in_four_bits_stays_pefts() -> None:
    import bitsandbytes

    class Quantized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = bitsandbytes.nn.Linear4bit(64, 64, quant_type="nf4")
            self.down = nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.up(x))

    model = adapted(Quantized().to("cpu"))
    assert fuse(model) == 1  # the other one
