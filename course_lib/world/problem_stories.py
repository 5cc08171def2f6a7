"""Stories for word problems whose steps belong together: buying two goods, sharing a rest, comparing two people.

Each story has a programme and a rule. The programme says what is written under "Steps": ``"a*b c-1"`` is "a times b;
then c minus the result of step 1". The rule is the same answer as one formula, written down separately, so that a slip
in either is found by comparing them. Everything is told in the past tense, which spares us he/she/they agreement.

Names in braces: numbers ``{a}`` to ``{e}``; people ``{n}``, ``{m}``, ``{k}`` with the first one's ``{he}``, ``{him}``,
``{his}``; ``{X}`` and ``{Y}`` are things in the plural, ``{x}`` and ``{y}`` in the singular; ``{v}`` is a village.
Every wording names ``{n}``: the people of train and test differ, and so do the stories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """A story of fixed steps: ``things`` is the sort of thing it is about (see `problems.THINGS`)."""

    name: str
    things: str
    programme: str
    rule: Callable[..., float]
    wordings: tuple[str, ...]

    @property
    def n_steps(self) -> int:
        """How many operations the programme has."""
        return len(self.programme.split())


ONE_STEP = (
    Story("buy", "ware", "a*b", lambda a, b: a * b, (
        "{n} bought {a} {X} for {b} kori each. How many kori did {he} pay?",
        "One {x} cost {b} kori. {n} took {a} {X}. What did {n} pay in kori?",
        "At the market {n} paid {b} kori for each {x} and bought {a} of them. How much was that in kori?",
    )),
    Story("share", "food", "a/b", lambda a, b: a / b, (
        "{n} shared {a} {X} equally among {b} friends. How many {X} did each friend get?",
        "{b} children got {a} {X} from {n}, the same number each. How many {X} did each child get?",
    )),
    Story("join", "ware", "a+b", lambda a, b: a + b, (
        "{n} had {a} {X} and {m} had {b} {X}. How many {X} did they have together?",
        "{n} brought {a} {X}. {m} brought {b} more. How many {X} were there in all?",
        "There were {a} {X} in {n}'s house and {b} in {m}'s house. How many {X} were in both houses?",
    )),
    Story("compare", "food", "a-b", lambda a, b: a - b, (
        "{n} picked {a} {X} and {m} picked {b} {X}. How many more {X} did {n} pick?",
        "{n} sold {a} {X}. {m} sold only {b} {X}. How many fewer did {m} sell?",
    )),
    Story("rows", "plant", "a*b", lambda a, b: a * b, (
        "{n} planted {a} rows of {X} with {b} in each row. How many {X} did {n} plant?",
        "In {n}'s garden there were {a} rows of {X}. Each row had {b}. How many {X} were in the garden?",
    )),
    Story("pack", "food", "a/b", lambda a, b: a / b, (
        "{n} packed {a} {X} into boxes of {b}. How many boxes did {he} fill?",
        "A box held {b} {X}. {n} had {a} {X} to pack. How many boxes did {n} need?",
    )),
    Story("two_ways", "ware", "a+b", lambda a, b: a + b, (
        "{n} walked {a} hours to {v} and rode {b} hours home. How many hours was {he} on the road?",
        "The way to {v} took {n} {a} hours and the way back took {b} hours. How many hours were that in all?",
    )),
    Story("change", "ware", "a-b", lambda a, b: a - b, (
        "{n} paid {a} kori for {ax} that cost {b} kori. How many kori did {he} get back?",
        "{Ax} cost {b} kori, and {n} had {a} kori. How many kori did {n} keep?",
    )),
    Story("days", "craft", "a*b", lambda a, b: a * b, (
        "{n} made {b} {X} a day for {a} days. How many {X} did {n} make?",
        "For {a} days {n} finished {b} {X} every day. How many {X} did {he} finish?",
    )),
    Story("wage", "ware", "a/b", lambda a, b: a / b, (
        "{n} earned {a} kori in {b} days, the same every day. How many kori did {he} earn in a day?",
        "{m} paid {n} {a} kori for {b} days of work. How many kori was that for one day?",
    )),
)  # fmt: skip

TWO_STEPS = (
    Story("buy_change", "ware", "a*b c-1", lambda a, b, c: c - a * b, (
        "{n} had {c} kori. {He} bought {a} {X} for {b} kori each. How many kori did {n} have left?",
        "{n} went to the market with {c} kori and bought {a} {X} at {b} kori each. How many kori were left?",
        "{a} {X} cost {b} kori each. {n} bought them and had {c} kori before. How many kori did {he} keep?",
    )),
    Story("buy_extra", "ware", "a*b 1+c", lambda a, b, c: a * b + c, (
        "{n} bought {a} {X} for {b} kori each and {ay} for {c} kori. How many kori did {he} pay?",
        "{n} paid {b} kori each for {a} {X}. {He} also paid {c} kori for {ay}. How much did {n} pay in all?",
    )),
    Story("gather_share", "food", "a+b 1/c", lambda a, b, c: (a + b) / c, (
        "{n} had {a} {X} and {m} had {b}. They shared all of them equally among {c} children. "
        "How many {X} did each child get?",
        "{n} picked {a} {X} in the morning and {b} in the evening. {He} put them into {c} equal heaps. "
        "How many {X} were in a heap?",
    )),
    Story("lose_share", "food", "a-b 1/c", lambda a, b, c: (a - b) / c, (
        "{n} had {a} {X}, but {b} of them were bad. {He} shared the rest equally among {c} friends. "
        "How many {X} did each friend get?",
        "{n} took {a} {X} to {v} and lost {b} on the way. The rest went to {c} houses, the same number to each. "
        "How many {X} did each house get?",
    )),
    Story("stall_rent", "ware", "a*b 1-c", lambda a, b, c: a * b - c, (
        "{n} sold {a} {X} for {b} kori each and paid {c} kori for the stall. How many kori did {n} keep?",
        "{n} sold {a} {X} at {b} kori each. The stall cost {c} kori. How many kori did {he} earn?",
    )),
    Story("rows_extra", "plant", "a*b 1+c", lambda a, b, c: a * b + c, (
        "{n} planted {a} rows of {b} {X} and {c} more by the gate. How many {X} did {n} plant?",
        "{n} had {a} rows of {X} with {b} in each row. {m} gave {him} {c} more. How many {X} did {n} have?",
    )),
    Story("times_both", "ware", "a*b a+1", lambda a, b: a * (b + 1), (
        "{n} had {a} {X}. {m} had {b} times as many. How many {X} did they have together?",
        "{n} sold {a} {X} and {m} sold {b} times as many. How many {X} did both sell?",
    )),
    Story("more_both", "food", "a+b a+1", lambda a, b: 2 * a + b, (
        "{n} picked {a} {X}. {m} picked {b} more than {n}. How many {X} did they pick together?",
        "{n} had {a} {X}, and {m} had {b} more than {n}. How many {X} did both have?",
    )),
    Story("fewer_both", "craft", "a-b a+1", lambda a, b: 2 * a - b, (
        "{n} made {a} {X}. {m} made {b} fewer than {n}. How many {X} did they make together?",
        "{n} carried {a} {X} and {m} carried {b} fewer. How many {X} did both carry?",
    )),
    Story("bundles", "food", "a/b 1*c", lambda a, b, c: a * c / b, (
        "{n} tied {a} {X} into bundles of {b} and sold each bundle for {c} kori. How many kori did {n} get?",
        "{n} packed {a} {X}, {b} in a box. A box cost {c} kori. How many kori were all the boxes?",
    )),
    Story("share_give", "food", "a/b 1-c", lambda a, b, c: a / b - c, (
        "{n} was one of {b} people who shared {a} {X} equally. {n} ate {c} of {his} {X}. "
        "How many did {he} have left?",
        "{b} people, {n} among them, got the same share of {a} {X}. {n} gave {m} {c} {X}. How many did {n} keep?",
    )),
    Story("share_get", "food", "a/b 1+c", lambda a, b, c: a / b + c, (
        "{a} {X} were shared equally among {b} people. {n} was one of them. {m} gave {him} {c} more. "
        "How many {X} did {n} have?",
        "{n} put {a} {X} into {b} bowls, the same number in each. Then {he} put {c} more into one bowl. "
        "How many {X} were in that bowl?",
    )),
    Story("long_way", "ware", "a*b c-1", lambda a, b, c: c - a * b, (
        "The way to {v} took {c} hours. {n} walked {a} hours a day for {b} days. How many hours were left?",
        "{n} had to walk {c} hours. {He} walked {a} hours on each of {b} days. "
        "How many hours did {he} still have to walk?",
    )),
)  # fmt: skip

THREE_STEPS = (
    Story("two_goods", "ware", "a*b c*d 1+2", lambda a, b, c, d: a * b + c * d, (
        "{n} bought {a} {X} for {b} kori each and {c} {Y} for {d} kori each. How many kori did {he} pay?",
        "{n} sold {a} {X} at {b} kori each. {He} also sold {c} {Y} at {d} kori each. How many kori did {n} get?",
        "{a} {X} cost {b} kori each and {c} {Y} cost {d} kori each. {n} took them all. How many kori was that?",
    )),
    Story("earn_spend", "ware", "a*b c*d 1-2", lambda a, b, c, d: a * b - c * d, (
        "{n} sold {a} {X} for {b} kori each. Then {he} bought {c} {Y} for {d} kori each. "
        "How many kori did {n} have left?",
        "{n} got {b} kori for each of {a} {X} and paid {d} kori for each of {c} {Y}. How many kori did {he} keep?",
    )),
    Story("gather_share_eat", "food", "a+b 1/c 2-d", lambda a, b, c, d: (a + b) / c - d, (
        "{n} had {a} {X} and {m} had {b}. {c} people shared them equally. {n} was one of them and ate {d}. "
        "How many {X} did {n} have left?",
        "{n} picked {a} {X} and then {b} more. {He} put them into {c} equal baskets and took {d} out of one basket. "
        "How many {X} were left in that basket?",
    )),
    Story("change_shared", "ware", "a*b c-1 2/d", lambda a, b, c, d: (c - a * b) / d, (
        "{n} had {c} kori. {He} bought {a} {X} for {b} kori each and shared the rest equally among {d} children. "
        "How many kori did each child get?",
        "{n} took {c} kori to {v} and bought {a} {X} at {b} kori each. {d} friends shared what was left. "
        "How many kori did each friend get?",
    )),
    Story("rows_sold", "plant", "a*b 1+c 2/d", lambda a, b, c, d: (a * b + c) / d, (
        "{n} grew {a} rows of {b} {X} and {c} more by the well. {He} sold them to {d} people, the same number to each. "
        "How many {X} did each buy?",
        "{n} had {a} trays with {b} {X} each and {c} {X} in a pot. {He} planted them in {d} equal rows. "
        "How many {X} were in a row?",
    )),
    Story("sell_rest", "food", "a-b 1*c 2+d", lambda a, b, c, d: (a - b) * c + d, (
        "{n} picked {a} {X} and ate {b}. {He} sold the rest for {c} kori each. {He} had {d} kori before. "
        "How many kori did {n} have then?",
        "{n} brought {a} {X} to the market. {b} were bad, and the others sold for {c} kori each. "
        "{m} gave {him} {d} kori more. How many kori did {n} have?",
    )),
    Story("three_people", "craft", "a+b 1-c 1+2", lambda a, b, c: 2 * (a + b) - c, (
        "{n} had {a} {X}. {m} had {b} more than {n}. {k} had {c} fewer than {m}. "
        "How many {X} did {m} and {k} have together?",
        "{n} made {a} {X}, {m} made {b} more than {n}, and {k} made {c} fewer than {m}. "
        "How many {X} did {m} and {k} make?",
    )),
    Story("bundles_rent", "food", "a/b 1*c 2-d", lambda a, b, c, d: a * c / b - d, (
        "{n} tied {a} {X} into bundles of {b}. {He} sold each bundle for {c} kori and paid {d} kori for the stall. "
        "How many kori did {n} keep?",
        "{n} packed {a} {X}, {b} in a box, and sold each box for {c} kori. {He} spent {d} kori on the way home. "
        "How many kori were left?",
    )),
    Story("three_days", "food", "a+b 1+c 2*d", lambda a, b, c, d: (a + b + c) * d, (
        "{n} sold {a} {X} on the first day, {b} on the second and {c} on the third. Each cost {d} kori. "
        "How many kori did {n} get?",
        "{n} had {a} {X}, {m} had {b} and {k} had {c}. They sold all of them for {d} kori each. "
        "How many kori did they get?",
    )),
    Story("times_sold", "craft", "a*b a+1 2-c", lambda a, b, c: a * (b + 1) - c, (
        "{n} had {a} {X} and {m} had {b} times as many. Together they sold {c}. How many {X} were left?",
        "{n} made {a} {X}. {m} made {b} times as many. {c} of them broke. How many {X} did they have then?",
    )),
    Story("wages", "ware", "a*b 1+c 2-d", lambda a, b, c, d: a * b + c - d, (
        "{n} worked {a} days for {b} kori a day and got {c} kori more as a gift. {He} paid {d} kori for {ax}. "
        "How many kori did {n} have left?",
        "{m} paid {n} {b} kori a day for {a} days. {n} had {c} kori before and spent {d} kori. "
        "How many kori did {n} have then?",
    )),
)  # fmt: skip

FOUR_STEPS = (
    Story("two_goods_change", "ware", "a*b c*d 1+2 e-3", lambda a, b, c, d, e: e - (a * b + c * d), (
        "{n} had {e} kori. {He} bought {a} {X} for {b} kori each and {c} {Y} for {d} kori each. "
        "How many kori did {n} have left?",
        "{n} went to {v} with {e} kori and bought {a} {X} at {b} kori each and {c} {Y} at {d} kori each. "
        "How many kori were left?",
    )),
    Story("two_goods_shared", "ware", "a*b c*d 1+2 3/e", lambda a, b, c, d, e: (a * b + c * d) / e, (
        "{n} bought {a} {X} for {b} kori each and {c} {Y} for {d} kori each. {e} friends paid for them, "
        "the same number of kori each. How many kori did each friend pay?",
        "{n} sold {a} {X} at {b} kori each and {c} {Y} at {d} kori each. {He} gave the money to {e} children "
        "in equal parts. How many kori did each child get?",
    )),
    Story("heaps", "food", "a+b 1-c 2/d 3*e", lambda a, b, c, d, e: (a + b - c) * e / d, (
        "{n} had {a} {X} and {m} gave {him} {b} more. {He} ate {c}. {He} tied the rest into bundles of {d} "
        "and sold each bundle for {e} kori. How many kori did {n} get?",
        "{n} picked {a} {X} and then {b} more, but {c} were bad. {He} packed the others in boxes of {d}. "
        "A box cost {e} kori. How many kori were all the boxes?",
    )),
    Story("rest_shared", "food", "a-b 1*c 2+d 3/e", lambda a, b, c, d, e: ((a - b) * c + d) / e, (
        "{n} had {a} {X} and ate {b}. {He} sold the rest for {c} kori each and had {d} kori before. "
        "{He} shared the money equally among {e} people. How many kori did each get?",
        "{n} took {a} {X} to {v} and lost {b}. The others sold for {c} kori each. {m} gave {him} {d} kori more. "
        "{e} children got equal parts of the money. How many kori did each child get?",
    )),
    Story("season", "plant", "a*b 1-c 2+d 3/e", lambda a, b, c, d, e: (a * b - c + d) / e, (
        "{n} planted {a} rows of {b} {X}. {c} died, and {he} planted {d} new ones. {He} sold them to {e} people, "
        "the same number to each. How many {X} did each get?",
        "{n} grew {a} rows of {b} {X}. Goats ate {c}. {m} brought {d} more. {n} set them in {e} equal beds. "
        "How many {X} were in a bed?",
    )),
)  # fmt: skip

STORIES: dict[int, tuple[Story, ...]] = {1: ONE_STEP, 2: TWO_STEPS, 3: THREE_STEPS, 4: FOUR_STEPS}
