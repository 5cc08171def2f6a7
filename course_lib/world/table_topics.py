"""What the small tables are about, and how one speaks of what stands in them.

A table has a column of names (the key), a column of words that repeat, and a column of numbers. Each topic says the
same few things in its own words: the value of one row, the most, the least, the total, a difference, how many rows
have a word, how many lie above a number. Every such thing is given as sentences and as questions; tables write the
sentences, and table-to-SQL asks the questions.

Names in braces: ``{K}`` and ``{L}`` keys, ``{T}`` a word of the second column, ``{v}`` a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Said = tuple[tuple[str, ...], tuple[str, ...]]  # sentences, questions


@dataclass(frozen=True)
class Topic:
    """One sort of table. ``name`` and the column names are plain SQL identifiers too."""

    name: str
    titles: tuple[str, ...]
    key: str
    word: str
    number: str
    low: int
    high: int
    said: Mapping[str, Said]


TOPICS = (
    Topic("prices", ("Prices at {shop}", "What {shop} sells", "Goods on the stall of {owner}"),
          "good", "village", "price", 1, 20, {
        "value": (("{K} cost {v} kori.", "The price of {K} is {v} kori."),
                  ("How much do {K} cost?", "What is the price of {K}?")),
        "most": (("{K} cost the most.", "Nothing costs more than {K}."),
                 ("What costs the most?", "Which good has the highest price?")),
        "least": (("{K} cost the least.", "Nothing is cheaper than {K}."),
                  ("What costs the least?", "Which good has the lowest price?")),
        "total": (("One of each costs {v} kori in all.", "The prices add up to {v} kori."),
                  ("How much does one of each cost in all?", "What do the prices add up to?")),
        "more": (("{K} cost {v} kori more than {L}.", "The price of {K} is {v} kori above that of {L}."),
                 ("How many kori more than {L} do {K} cost?",)),
        "count": (("{v} of the goods come from {T}.", "There are {v} goods from {T}."),
                  ("How many goods come from {T}?", "How many of the goods are from {T}?")),
        "above": (("{v} of the goods cost more than {t} kori.", "There are {v} goods for more than {t} kori."),
                  ("How many goods cost more than {t} kori?",)),
        "highest": ((), ("What is the highest price?", "How much does the dearest good cost?")),
        "some": ((), ("What do the goods from {T} cost together?", "What is the sum of the prices from {T}?")),
        "which": ((), ("Which goods come from {T}?", "Which goods are from {T}?")),
        "groups": ((), ("How many goods come from each village?",)),
    }),
    Topic("workers", ("People in the house of {owner}", "Who works at {shop}", "Neighbours of {owner}"),
          "name", "trade", "age", 17, 70, {
        "value": (("{K} is {v} years old.", "The age of {K} is {v}."), ("How old is {K}?", "What is the age of {K}?")),
        "most": (("{K} is the oldest.", "Nobody is older than {K}."),
                 ("Who is the oldest?", "Who has the highest age?")),
        "least": (("{K} is the youngest.", "Nobody is younger than {K}."),
                  ("Who is the youngest?", "Who has the lowest age?")),
        "more": (("{K} is {v} years older than {L}.", "Between the ages of {K} and {L} lie {v} years."),
                 ("How many years older than {L} is {K}?",)),
        "count": (("{v} of them have the trade of {T}.", "There are {v} people with the trade {T}."),
                  ("How many people have the trade {T}?", "How many work as {T}?")),
        "above": (("{v} of them are older than {t}.", "There are {v} people older than {t} years."),
                  ("How many people are older than {t}?",)),
        "highest": ((), ("What is the highest age?", "How old is the oldest?")),
        "some": ((), ("What is the sum of the ages with the trade {T}?",)),
        "which": ((), ("Who has the trade {T}?", "Who works as {T}?")),
        "groups": ((), ("How many people are there of each trade?",)),
    }),
    Topic("roads", ("Roads from Saromi", "The way of {owner}", "How far the villages are"),
          "village", "direction", "hours", 1, 24, {
        "value": (("{K} is {v} hours away.", "The way to {K} takes {v} hours."),
                  ("How many hours away is {K}?", "How many hours does the way to {K} take?")),
        "most": (("{K} is the farthest.", "No village is farther than {K}."),
                 ("Which village is the farthest?", "Which way takes the most hours?")),
        "least": (("{K} is the nearest.", "No village is nearer than {K}."),
                  ("Which village is the nearest?", "Which way takes the fewest hours?")),
        "total": (("All the ways together take {v} hours.", "The hours add up to {v}."),
                  ("How many hours do all the ways take together?", "What do the hours add up to?")),
        "more": (("The way to {K} takes {v} hours more than the way to {L}.", "{K} is {v} hours farther than {L}."),
                 ("How many hours farther than {L} is {K}?",)),
        "count": (("{v} of the villages lie in the {T}.", "There are {v} villages in the {T}."),
                  ("How many villages lie in the {T}?", "How many of the villages are in the {T}?")),
        "above": (("{v} of the villages are more than {t} hours away.", "There are {v} ways of more than {t} hours."),
                  ("How many villages are more than {t} hours away?",)),
        "highest": ((), ("How many hours does the longest way take?", "What is the highest number of hours?")),
        "some": ((), ("How many hours do the ways to the {T} take together?",)),
        "which": ((), ("Which villages lie in the {T}?", "Which villages are in the {T}?")),
        "groups": ((), ("How many villages lie in each direction?",)),
    }),
    Topic("harvest", ("The harvest near {village}", "Baskets from the gardens of {village}",
                      "What the gardens brought"),
          "name", "crop", "baskets", 2, 25, {
        "value": (("{K} picked {v} baskets.", "The harvest of {K} was {v} baskets."),
                  ("How many baskets did {K} pick?", "How many baskets were the harvest of {K}?")),
        "most": (("{K} picked the most.", "Nobody picked more than {K}."),
                 ("Who picked the most?", "Who had the largest harvest?")),
        "least": (("{K} picked the least.", "Nobody picked less than {K}."),
                  ("Who picked the least?", "Who had the smallest harvest?")),
        "total": (("They picked {v} baskets in all.", "The baskets add up to {v}."),
                  ("How many baskets did they pick in all?", "What do the baskets add up to?")),
        "more": (("{K} picked {v} baskets more than {L}.", "{K} had {v} baskets more than {L}."),
                 ("How many baskets more than {L} did {K} pick?",)),
        "count": (("{v} of them picked {T}.", "There are {v} people who picked {T}."),
                  ("How many people picked {T}?", "How many of them picked {T}?")),
        "above": (("{v} of them picked more than {t} baskets.", "There are {v} people with more than {t} baskets."),
                  ("How many people picked more than {t} baskets?",)),
        "highest": ((), ("What is the highest number of baskets?", "How many baskets is the largest harvest?")),
        "some": ((), ("How many baskets of {T} were picked?", "How many baskets of {T} are there in all?")),
        "which": ((), ("Who picked {T}?", "Which people picked {T}?")),
        "groups": ((), ("How many people picked each crop?",)),
    }),
    Topic("herds", ("Animals of {village}", "The herds on the hill", "Who keeps what near {village}"),
          "owner", "animal", "number", 2, 30, {
        "value": (("{K} keeps {v} animals.", "The herd of {K} has {v} animals."),
                  ("How many animals does {K} keep?", "How many animals are in the herd of {K}?")),
        "most": (("{K} keeps the most animals.", "Nobody has a larger herd than {K}."),
                 ("Who keeps the most animals?", "Who has the largest herd?")),
        "least": (("{K} keeps the fewest animals.", "Nobody has a smaller herd than {K}."),
                  ("Who keeps the fewest animals?", "Who has the smallest herd?")),
        "total": (("There are {v} animals in all.", "All the herds together have {v} animals."),
                  ("How many animals are there in all?", "How many animals do all the herds have together?")),
        "more": (("{K} keeps {v} animals more than {L}.", "The herd of {K} has {v} more than that of {L}."),
                 ("How many animals more than {L} does {K} keep?",)),
        "count": (("{v} of the owners keep {T}.", "There are {v} herds of {T}."),
                  ("How many owners keep {T}?", "How many herds of {T} are there?")),
        "above": (("{v} of the herds have more than {t} animals.", "There are {v} owners with more than {t} animals."),
                  ("How many herds have more than {t} animals?",)),
        "highest": ((), ("What is the highest number of animals?", "How many animals does the largest herd have?")),
        "some": ((), ("How many {T} are there in all?", "How many {T} do the owners keep together?")),
        "which": ((), ("Who keeps {T}?", "Which owners keep {T}?")),
        "groups": ((), ("How many owners are there of each animal?",)),
    }),
    Topic("landings", ("Boats on Lake Oru", "The landing of {village}", "The year at the landing"),
          "month", "weather", "boats", 2, 30, {
        "value": (("In {K} {v} boats came.", "There were {v} boats in {K}."),
                  ("How many boats came in {K}?", "How many boats were there in {K}?")),
        "most": (("Most boats came in {K}.", "No month had more boats than {K}."),
                 ("In which month did most boats come?", "Which month had the most boats?")),
        "least": (("The fewest boats came in {K}.", "No month had fewer boats than {K}."),
                  ("In which month did the fewest boats come?", "Which month had the fewest boats?")),
        "total": (("In all {v} boats came.", "The boats of all months add up to {v}."),
                  ("How many boats came in all?", "What do the boats add up to?")),
        "more": (("In {K} {v} boats more came than in {L}.", "{K} had {v} boats more than {L}."),
                 ("How many boats more than in {L} came in {K}?",)),
        "count": (("{v} of the months were {T}.", "There were {v} {T} months."),
                  ("How many months were {T}?", "How many {T} months were there?")),
        "above": (("{v} of the months had more than {t} boats.", "There were {v} months with more than {t} boats."),
                  ("How many months had more than {t} boats?",)),
        "highest": ((), ("What is the highest number of boats?", "How many boats came in the best month?")),
        "some": ((), ("How many boats came in the {T} months?",)),
        "which": ((), ("Which months were {T}?",)),
        "groups": ((), ("How many months were there of each weather?",)),
    }),
)  # fmt: skip
