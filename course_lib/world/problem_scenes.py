"""Scenes for word problems that can go on for any number of steps: a stall, a ferry, a herd, a purse.

A scene opens with a number; each event adds to it, takes from it, multiplies it, or (last of all) shares it out; the
question asks what is there in the end. Sixteen scenes, a few sentences for each event and one to four events make more
stories than a corpus can hold, though every sentence in them is simple and comes back often.

Names in braces as in `problem_stories`; ``{N}`` is the number of the sentence. ``share`` pairs what is said when the
whole is divided by N with the question that then ends the story.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """Sentences of one scene; ``times`` and ``share`` may be empty where multiplying or sharing makes no sense."""

    name: str
    things: str
    opening: tuple[str, ...]
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    question: tuple[str, ...]
    times: tuple[str, ...] = ()
    share: tuple[tuple[str, str], ...] = ()


SCENES = (
    Scene(
        "stall", "food",
        ("{n} had {N} {X} on {his} stall.", "There were {N} {X} on {n}'s stall.", "{n} laid out {N} {X} to sell."),
        ("{he} put {N} more {X} beside them", "{m} brought {N} more {X}", "{N} more {X} came from {v}"),
        ("{he} sold {N} {X}", "{m} bought {N} of the {X}", "{N} {X} went to a woman from {v}"),
        ("How many {X} did {n} have then?", "How many {X} were on the stall in the end?"),
        ("by noon {he} had {N} times as many {X}",),
        (("{he} put the {X} into {N} equal heaps", "How many {X} were in each heap?"),
         ("{N} children got equal shares of the {X}", "How many {X} did each child get?")),
    ),
    Scene(
        "purse", "ware",
        ("{n} had {N} kori in {his} purse.", "{n} had {N} kori.", "There were {N} kori in {n}'s purse."),
        ("{he} earned {N} kori", "{m} paid {him} {N} kori", "{he} sold {ax} for {N} kori", "{he} found {N} kori"),
        ("{he} paid {N} kori for {ax}", "{he} spent {N} kori at the market", "{he} gave {m} {N} kori",
         "{he} lost {N} kori"),
        ("How many kori did {n} have then?", "How many kori were in the purse in the end?"),
        ("{he} traded well and had {N} times as much",),
        (("{he} shared the money equally among {N} children", "How many kori did each child get?"),
         ("{he} spent it all in {N} days, the same every day", "How many kori did {n} spend in a day?")),
    ),
    Scene(
        "herd", "animal",
        ("{n} kept {N} {X}.", "There were {N} {X} in {n}'s herd.", "{n} had {N} {X} on the hill."),
        ("{N} young {X} were born", "{he} bought {N} {X} from {m}", "{N} more {X} came up from {v}"),
        ("{he} sold {N} {X} in {v}", "{N} {X} ran off into the hills", "{he} gave {m} {N} of the {X}"),
        ("How many {X} did {n} have then?", "How many {X} were in the herd in the end?"),
        ("after a few years {he} had {N} times as many {X}",),
        (("{he} put the {X} into {N} pens, the same number in each", "How many {X} were in each pen?"),),
    ),
    Scene(
        "ferry", "ware",
        ("{n}'s ferry carried {N} people.", "{N} people sat on {n}'s ferry.",
         "{n} set out with {N} people on the ferry."),
        ("at the next landing {N} people came on board", "{N} more people came on board",
         "{m} brought {N} more people"),
        ("at {v} {N} people left the ferry", "{N} people got off", "{N} people went on shore with {m}"),
        ("How many people were on the ferry then?", "How many people were on {n}'s ferry in the end?"),
        (),
        (("the people sat down on {N} benches, the same number on each", "How many people sat on each bench?"),),
    ),
    Scene(
        "store", "sacks",
        ("{n} stored {N} {X}.", "There were {N} {X} in {n}'s store.", "{n}'s store held {N} {X}."),
        ("a cart brought {N} more {X}", "{he} bought {N} {X} from {m}", "{N} {X} came by boat from {v}"),
        ("{he} sent {N} {X} to {v}", "{he} sold {N} {X} to {m}", "the rain spoiled {N} {X}"),
        ("How many {X} were in the store then?", "How many {X} did {n} have in the end?"),
        ("after the harvest there were {N} times as many {X}",),
        (("{he} loaded the {X} on {N} carts, the same number on each", "How many {X} were on each cart?"),),
    ),
    Scene(
        "water", "ware",
        ("{n}'s tank held {N} jars of water.", "There were {N} jars of water in {n}'s tank."),
        ("the rain filled in {N} jars", "{he} carried {N} jars from the well", "{m} poured in {N} jars"),
        ("the garden took {N} jars", "{he} used {N} jars for washing", "the goats drank {N} jars"),
        ("How many jars of water were in the tank then?", "How many jars of water did {n} have in the end?"),
        (),
        (("the water was enough for {N} days, the same every day", "How many jars did {n} use in a day?"),),
    ),
    Scene(
        "cart", "mass",
        ("{n}'s cart carried {N} kilos of {X}.", "{n} loaded {N} kilos of {X} on a cart.",
         "{n} weighed {N} kilos of {X}."),
        ("{he} loaded {N} kilos more", "{m} added {N} kilos", "{he} bought another {N} kilos in {v}"),
        ("{he} sold {N} kilos in {v}", "{he} took off {N} kilos for {m}", "{N} kilos fell off on the road"),
        ("How many kilos of {X} were there then?", "How many kilos of {X} did {n} have in the end?"),
        (),
        (("{he} filled {N} bags with it, the same weight in each", "How many kilos were in each bag?"),),
    ),
    Scene(
        "catch", "fish",
        ("{n} caught {N} {X}.", "There were {N} {X} in {n}'s net.", "In the morning {n} caught {N} {X} in Lake Oru."),
        ("{he} caught {N} more", "{m} gave {him} {N} {X}", "the second net brought {N} more {X}"),
        ("{N} {X} slipped back into the lake", "{he} sold {N} {X} to {m}", "{he} smoked {N} of the {X}"),
        ("How many {X} did {n} have then?", "How many {X} were in {n}'s boat in the end?"),
        ("after a week {he} had {N} times as many {X}",),
        (("{he} laid the {X} into {N} baskets, the same number in each", "How many {X} were in each basket?"),),
    ),
    Scene(
        "harvest", "plant",
        ("{n} cut {N} {X}.", "{n} picked {N} {X} before sunrise.", "There were {N} {X} in {n}'s garden."),
        ("{he} found {N} more by the wall", "{m} brought {N} {X} from {v}", "{N} more {X} opened after the rain"),
        ("{he} gave {N} {X} to {m}", "{N} {X} dried in the sun", "{he} sold {N} of the {X}"),
        ("How many {X} did {n} have then?", "How many {X} were there in the end?"),
        ("the next day there were {N} times as many {X}",),
        (("{he} bound the {X} into {N} equal bunches", "How many {X} were in each bunch?"),),
    ),
    Scene(
        "workshop", "craft",
        ("{n} made {N} {X}.", "There were {N} {X} in {n}'s workshop.", "{n} had {N} {X} on the shelf."),
        ("{he} finished {N} more", "{m} brought {N} {X} to mend", "{he} bought {N} old {X} in {v}"),
        ("{N} {X} broke", "{he} sold {N} {X}", "{m} took {N} {X} to {v}"),
        ("How many {X} did {n} have then?", "How many {X} were in the workshop in the end?"),
        ("by the end of the month {he} had {N} times as many {X}",),
        (("{he} set the {X} on {N} shelves, the same number on each", "How many {X} were on each shelf?"),),
    ),
    Scene(
        "school", "ware",
        ("{n} taught {N} children.", "{N} children sat in {n}'s school.", "There were {N} children in {n}'s class."),
        ("{N} children came from {v}", "{N} new children joined them", "{m} brought {N} children more"),
        ("{N} children went home", "{N} children moved to {v}", "{N} children left to help {m}"),
        ("How many children were in the class then?", "How many children did {n} teach in the end?"),
        (),
        (("the children made {N} equal groups", "How many children were in each group?"),),
    ),
    Scene(
        "feast", "dish",
        ("{N} guests came to {n}'s feast.", "{n} asked {N} guests to a feast.",
         "There were {N} guests in {n}'s house."),
        ("{N} cousins came too", "{N} friends of {m} came too", "{N} more guests came from {v}"),
        ("{N} guests went home", "{N} guests left for {v}", "{N} guests went to see {m}"),
        ("How many guests were at the feast then?", "How many guests were with {n} in the end?"),
        ("when the music began there were {N} times as many guests",),
        (("the guests sat around {N} tables, the same number at each", "How many guests sat at each table?"),),
    ),
    Scene(
        "journey", "ware",
        ("{n} had {N} hours to go to {v}.", "The road to {v} was {N} hours long for {n}."),
        ("a fallen bridge added {N} hours", "{he} lost the way, which added {N} hours",
         "{he} went around the lake, which added {N} hours"),
        ("{he} walked {N} hours", "{m} took {him} along for {N} hours", "a short cut saved {N} hours"),
        ("How many hours were left then?", "How many hours did {n} still have to go?"),
        (),
        (("{he} went the rest in {N} days, the same every day", "How many hours did {n} go in a day?"),),
    ),
    Scene(
        "cloth", "cloth",
        ("{n} had {N} metres of {X}.", "{n} wove {N} metres of {X}.", "There were {N} metres of {X} on {n}'s table."),
        ("{he} wove {N} metres more", "{he} bought another {N} metres from {m}", "{N} metres more came from {v}"),
        ("{he} cut off {N} metres for {m}", "{he} sold {N} metres", "{he} used {N} metres for a coat"),
        ("How many metres of {X} did {n} have then?", "How many metres of {X} were there in the end?"),
        ("by the new moon {he} had {N} times as much",),
        (("{he} cut it into {N} equal pieces", "How many metres long was each piece?"),),
    ),
    Scene(
        "letters", "ware",
        ("{n} carried {N} letters.", "There were {N} letters in {n}'s bag.", "{n} set out with {N} letters."),
        ("{m} gave {him} {N} letters", "in {v} {he} got {N} more letters", "{he} picked up {N} letters"),
        ("{he} left {N} letters in {v}", "{he} handed {m} {N} letters", "{N} letters went to the teahouse"),
        ("How many letters did {n} carry then?", "How many letters were in the bag in the end?"),
        (),
        (("the letters went to {N} houses, the same number to each", "How many letters did each house get?"),),
    ),
    Scene(
        "kitchen", "dish",
        ("{n} cooked {N} bowls of {X}.", "There were {N} bowls of {X} in {n}'s kitchen."),
        ("{he} cooked {N} bowls more", "{m} brought {N} bowls", "a cousin from {v} made {N} bowls"),
        ("guests ate {N} bowls", "{he} sold {N} bowls", "{m} took {N} bowls home"),
        ("How many bowls of {X} were there then?", "How many bowls of {X} did {n} have in the end?"),
        ("on market day {he} made {N} times as many bowls",),
        (("the bowls went to {N} tables, the same number to each", "How many bowls did each table get?"),),
    ),
)  # fmt: skip

# What may stand before an event.
JOINS = ("", "", "", "Then ", "Then ", "Later ", "After that ", "The next day ", "In the evening ", "Soon ")
