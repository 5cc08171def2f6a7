"""Batches: every record once per epoch, an order that can be found again, and little padding."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from course_lib.batching import IGNORE, POOL, Batches, label_count, pad, padding_share
from course_lib.errors import CourseError


def collate(items: list[int]) -> dict[str, torch.Tensor]:
    return {"labels": torch.tensor(items)}


def make(lengths: list[int], batch_size: int = 4, **settings: bool | int) -> Batches:
    return Batches(list(range(len(lengths))), lengths, collate, batch_size, **settings)


def skewed(n: int = 2000, seed: int = 0) -> list[int]:
    """Lengths like those of reviews: many short ones, a few very long ones."""
    return np.clip(np.random.default_rng(seed).lognormal(3.2, 0.6, n).astype(int), 3, 256).tolist()


@pytest.mark.parametrize("n", [1, 3, 4, 5, 53, 2000])
@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"bucket": False}])
def test_an_epoch_has_every_record_once_in_full_batches_but_one(n: int, settings: dict[str, bool]) -> None:
    batches = make(skewed(n), batch_size=4, **settings)
    for epoch in range(3):
        order = batches.epoch(epoch)
        assert Counter(k for batch in order for k in batch) == Counter(range(n))
        assert len(order) == -(-n // 4)
        assert sorted(map(len, order))[1:] == [4] * (len(order) - 1)


def test_the_order_depends_on_the_seed_and_the_number_of_the_epoch_alone() -> None:
    first, again, other = make(skewed(), seed=3), make(skewed(), seed=3), make(skewed(), seed=4)
    np.random.seed(1)
    for epoch in (2, 0, 1, 0):
        assert first.epoch(epoch) == again.epoch(epoch)
        assert first.epoch(epoch) != other.epoch(epoch)
    assert len({str(first.epoch(epoch)) for epoch in range(5)}) == 5


def test_asking_for_an_epoch_again_gives_the_same_even_after_others_were_asked_for() -> None:
    batches = make(skewed())
    before = batches.epoch(1)
    batches.epoch(0)
    assert batches.epoch(1) == before


def test_a_larger_batch_size_is_that_of_two_processes_together() -> None:
    assert make(skewed(), batch_size=4).epoch(1, batch_size=8) == make(skewed(), batch_size=8).epoch(1)


@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_bucketing_leaves_less_than_half_of_the_padding_of_random_batches(batch_size: int) -> None:
    bucketed = padding_share(make(skewed(), batch_size))
    unsorted = padding_share(make(skewed(), batch_size, bucket=False))
    print(f"batches of {batch_size}: {unsorted:.1%} padding in random order, {bucketed:.1%} bucketed")
    assert bucketed < unsorted / 2


def test_the_padding_share_is_the_part_of_a_batch_that_is_no_token() -> None:
    # lengths 1 and 3 in one batch: 2 * 3 = 6 positions are computed, 4 are tokens, so 2 / 6 is padding
    assert padding_share(make([1, 3], batch_size=2)) == pytest.approx(2 / 6)
    assert padding_share(make([5, 5, 5], batch_size=2)) == 0


@pytest.mark.parametrize("n", [64, 400, 4000])
def test_records_meet_others_in_every_epoch_also_where_there_are_few(n: int) -> None:
    """Sorting all records at once would make nearly the same batches every time."""
    batches = make(np.random.default_rng(0).permutation(n).tolist(), batch_size=8)  # no two of one length

    def meetings(epoch: int) -> set[frozenset[int]]:
        return {frozenset((a, b)) for batch in batches.epoch(epoch) for a in batch for b in batch if a != b}

    shared = len(meetings(0) & meetings(1)) / len(meetings(0))
    assert shared < 0.5, f"{shared:.0%} of the pairs of one epoch meet again in the next"


def test_batches_of_one_length_come_in_random_places() -> None:
    lengths = sorted(skewed())
    middles = [lengths[batch[0]] for batch in make(lengths, batch_size=8).epoch(0)]
    assert abs(np.corrcoef(np.arange(len(middles)), middles)[0, 1]) < 0.3


def test_without_shuffling_the_shortest_come_first() -> None:
    assert make([5, 1, 4, 1, 3], batch_size=2, shuffle=False).epoch(7) == [[1, 3], [4, 2], [0]]


def test_a_pool_is_a_whole_number_of_batches() -> None:
    """Otherwise every pool, not only the last, would end in a batch that is not full."""
    n = 8 * POOL * 9 + 5
    assert sorted(map(len, make(skewed(n), batch_size=8).epoch(0)))[:2] == [5, 8]


def test_fetching_collates_the_records_asked_for() -> None:
    batches = Batches("abcd", [1] * 4, lambda items: {"labels": torch.tensor([ord(item) for item in items])}, 2)
    assert batches.fetch([2, 0])["labels"].tolist() == [ord("c"), ord("a")]


def test_pad_fills_up_and_its_mask_marks_what_was_there() -> None:
    padded, mask = pad([torch.tensor([7, 8, 9]), torch.tensor([5])], value=1)
    assert padded.tolist() == [[7, 8, 9], [5, 1, 1]]
    assert padded.dtype == torch.long
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_pad_keeps_what_follows_the_first_dimension() -> None:
    rows = [torch.randn(2, 6), torch.randn(4, 6), torch.randn(1, 6)]
    padded, mask = pad(rows)
    assert padded.shape == (3, 4, 6)
    assert mask.shape == (3, 4)
    assert padded.dtype == torch.float32
    for k, row in enumerate(rows):
        assert torch.equal(padded[k, : len(row)], row)
        assert not padded[k, len(row) :].any()


def test_labels_to_ignore_do_not_count() -> None:
    assert label_count({"labels": torch.tensor([0, IGNORE, 2, IGNORE])}) == 2
    assert label_count({"labels": torch.tensor([[1, IGNORE], [IGNORE, IGNORE]])}) == 1
    assert label_count({"labels": torch.tensor([IGNORE])}) == 0


def test_settings_that_cannot_be_are_said_in_a_sentence() -> None:
    with pytest.raises(CourseError, match="batch_size must be at least 1, not 0"):
        make([1, 2], batch_size=0)
    with pytest.raises(CourseError, match="seed must be at least 0, not -1"):
        make([1, 2], seed=-1)
    with pytest.raises(ValueError, match="2 items, but 1 lengths"):
        Batches([1, 2], [1], collate, 2)
