"""Past keys as negatives: the queue against a Python list, the loss against its definition."""
import math

import pytest
import torch
import torch.nn.functional as F
from test_info_nce import brute_force, embeddings, head

from simipu.models.losses import InfoNCELoss, KeyQueue

pytestmark = pytest.mark.usefixtures('device')


def vectors(num_rows, seed, width=4):
    torch.manual_seed(seed)
    return torch.randn(num_rows, width)


def past_keys(num_rows, width=5):
    return vectors(num_rows, seed=9, width=width).double()


def brute_force_with(past, query, key, is_negative=lambda i, j: True):
    """The definition, one query at a time, with past keys after those of the pairs."""
    every = torch.cat([key, past])
    losses, ranks = zip(*[brute_force(
        query[i:i + 1], every.roll(-i, 0),  # its own key comes first
        is_negative=lambda _, j, i=i: is_negative(i, (i + j) % len(every)))
        for i in range(len(query))])
    return torch.stack(losses).mean(), torch.cat(ranks)


@pytest.mark.parametrize('max_logits', [1, 20 * 4, 2**22])
def test_extra_keys_are_negatives_of_every_query(max_logits):
    query, key = embeddings(11)
    past = past_keys(9)
    frame, cell = torch.arange(11) % 2, torch.arange(11) // 4

    def is_negative(i, j):
        return j >= 11 or frame[i] != frame[j] or cell[i] != cell[j]

    expected, expected_rank = brute_force_with(past, query, key, is_negative)
    loss, rank = InfoNCELoss(max_logits=max_logits)(query, key, frame, cell=cell, extra_keys=past)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(rank, expected_rank)
    torch.testing.assert_close(torch.autograd.grad(loss, (query, key)),
                               torch.autograd.grad(expected, (query, key)))


def test_gradcheck_with_extra_keys_and_learned_temperature():
    module = InfoNCELoss(learn_temperature=True, max_logits=30).double()
    query, key = embeddings(5)
    past = past_keys(7)

    def loss(query, key, log_scale):
        return torch.func.functional_call(module, {'log_scale': log_scale}, (query, key),
                                          dict(extra_keys=past)).loss

    log_scale = torch.tensor(math.log(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (query, key, log_scale))


def test_keys_that_look_for_their_query_do_not_meet_extra_keys():
    query, key = embeddings(6)
    past = past_keys(4)
    expected = (brute_force_with(past, query, key)[0] + brute_force(key, query)[0]) / 2
    torch.testing.assert_close(InfoNCELoss(symmetric=True)(query, key, extra_keys=past).loss, expected)


def test_queue_is_a_ring_that_fills_gradually():
    queue, seen = KeyQueue(7, 4), []
    for step, num_keys in enumerate((3, 0, 2, 4, 20, 1)):
        keys = vectors(num_keys, seed=step)
        seen += list(F.normalize(keys, dim=1))
        queue.enqueue(keys)
        ring = {number % 7: number for number in range(len(seen))}  # the newest key of each place
        expected = [seen[ring[place]] for place in sorted(ring)]
        torch.testing.assert_close(queue.keys(), torch.stack(expected))
    torch.testing.assert_close(queue.keys().norm(dim=1), torch.ones(7))


def test_empty_queue_has_no_keys():
    queue = KeyQueue(7, 4)
    assert queue.keys().shape == (0, 4)
    query, key = embeddings(6)
    torch.testing.assert_close(InfoNCELoss()(query, key, extra_keys=queue.keys().new_zeros(0, 5)),
                               InfoNCELoss()(query, key))
    with pytest.raises(ValueError, match='size must be positive, got 0'):
        KeyQueue(0, 4)


def test_queue_goes_on_from_its_state_dict():
    whole, first, second = (KeyQueue(7, 4) for _ in range(3))
    for queue in (whole, first):
        queue.enqueue(vectors(5, seed=0))
    second.load_state_dict(first.state_dict())
    for queue in (whole, second):
        queue.enqueue(vectors(4, seed=1))
    assert torch.equal(second.keys(), whole.keys())


def test_head_contrasts_with_the_keys_of_past_batches():
    module = head(queue_size=12)
    batches = [(vectors(8, seed, 6).double(), vectors(8, seed + 9, 5).double()) for seed in range(2)]
    past = module.embed_key(batches[0][1])
    module.loss(*batches[0])
    query, key = module.embed_query(batches[1][0]), module.embed_key(batches[1][1])
    loss = module.loss(*batches[1])['loss']
    torch.testing.assert_close(loss, brute_force_with(past.detach(), query, key)[0])
    before = module.queue.keys().clone()
    assert len(before) == 12
    module.eval()
    module.loss(*batches[0])
    assert torch.equal(module.queue.keys(), before)
