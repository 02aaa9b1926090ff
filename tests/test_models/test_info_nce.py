"""InfoNCE against a brute-force double-precision version, one pair at a time."""
import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import convert_sync_batchnorm

from simipu.models.heads import ContrastiveHead
from simipu.models.losses import InfoNCELoss
from simipu.models.losses.gather import gather_rows
from simipu.models.projection_mlp import PairBatchNorm, ProjectionMLP


def brute_force(query, key, temperature=0.07, is_negative=lambda i, j: True):
    """Loss and ranks by the definition, with Python loops."""
    def cosine(a, b):
        return torch.dot(a, b) / a.norm() / b.norm()

    losses, ranks = [], []
    for i in range(len(query)):
        positive = cosine(query[i], key[i])
        negatives = [cosine(query[i], key[j]) for j in range(len(key)) if j != i and is_negative(i, j)]
        terms = torch.stack([positive, *negatives]) / temperature
        losses.append(-(terms[0] - terms.exp().sum().log()))
        ranks.append(sum(float(other) >= float(positive) for other in negatives))
    return torch.stack(losses).mean(), torch.tensor(ranks)


def embeddings(num_pairs, seed=0, width=5):
    torch.manual_seed(seed)
    return [torch.randn(num_pairs, width, dtype=torch.float64, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize('max_logits', [1, 13 * 4, 2**22])
def test_equals_brute_force_whatever_the_slab(max_logits, device):
    query, key = embeddings(13)
    expected, expected_rank = brute_force(query, key)
    expected_grads = torch.autograd.grad(expected, (query, key))
    loss, rank = InfoNCELoss(max_logits=max_logits)(query, key)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(rank, expected_rank)
    torch.testing.assert_close(torch.autograd.grad(loss, (query, key)), expected_grads)


def test_gradcheck_with_learned_temperature_and_symmetry(device):
    loss_module = InfoNCELoss(temperature=0.5, learn_temperature=True, symmetric=True,
                              max_logits=7).double()
    query, key = embeddings(6)

    def loss(query, key, log_scale):
        loss_module.log_scale.data = log_scale.data
        return torch.func.functional_call(loss_module, {'log_scale': log_scale}, (query, key)).loss

    log_scale = torch.tensor(math.log(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (query, key, log_scale))


def test_learned_temperature_stays_at_a_hundredth_or_above(device):
    query, key = embeddings(9)
    module = InfoNCELoss(temperature=0.001, learn_temperature=True).double()
    loss = module(query, key).loss
    torch.testing.assert_close(loss, InfoNCELoss(temperature=0.01)(query, key).loss)
    loss.backward()
    assert module.log_scale.grad != 0, 'or it could never come back'


def test_symmetric_is_the_mean_of_both_directions(device):
    query, key = embeddings(9)
    expected = (brute_force(query, key)[0] + brute_force(key, query)[0]) / 2
    torch.testing.assert_close(InfoNCELoss(symmetric=True)(query, key).loss, expected)


def test_near_points_and_shared_cells_of_a_frame_are_no_negatives(device):
    query, key = embeddings(12)
    frame = torch.tensor([0, 1]).repeat(6)
    position = torch.rand(12, 3).double()
    cell = torch.arange(12) // 4

    def is_negative(i, j):
        near = (position[i] - position[j]).norm() <= 0.5 or cell[i] == cell[j]
        return not (near and frame[i] == frame[j])

    excluded = sum(not is_negative(i, j) for i in range(12) for j in range(12) if i != j)
    assert 0 < excluded < 100, 'the case must mask some negatives and keep some'
    expected, expected_rank = brute_force(query, key, is_negative=is_negative)
    result = InfoNCELoss(false_negative_radius=0.5, max_logits=30)(query, key, frame, position, cell)
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.rank, expected_rank)


def test_pairs_of_one_point_are_no_negatives(device):
    query, key = embeddings(12)
    frame, point = torch.tensor([0, 1]).repeat(6), torch.tensor([3, 3, 3, 7, 5, 7, 5, 7, 3, 1, 2, 0])
    expected, expected_rank = brute_force(
        query, key, is_negative=lambda i, j: (frame[i], point[i]) != (frame[j], point[j]))
    assert (expected_rank != brute_force(query, key)[1]).sum() > 0, 'a masked rival must have been above its positive'
    result = InfoNCELoss(mask_same_cell=False, max_logits=30)(query, key, frame, point=point)
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.rank, expected_rank)


def test_pixels_of_two_cameras_find_the_point_that_both_see(device):
    key = torch.eye(8).repeat(2, 1)
    result = InfoNCELoss()(key, key, torch.zeros(16).long(), point=torch.arange(8).repeat(2))
    assert result.top_k_accuracy(1) == 100 and result.loss < 1e-3
    assert InfoNCELoss()(key, key).loss.item() == pytest.approx(math.log(2), abs=1e-3)


def test_radius_without_positions_is_an_error(device):
    with pytest.raises(ValueError, match='false_negative_radius needs the frame and position'):
        InfoNCELoss(false_negative_radius=1.)(*embeddings(3))


def test_accuracies_are_true_top_k_and_ties_are_mistakes(device):
    key = torch.eye(8)
    query = torch.eye(8)[[0, 1, 2, 3, 5, 4, 7, 6]]
    result = InfoNCELoss()(query, key)
    assert result.top_k_accuracy(1) == 50
    collapsed = InfoNCELoss()(torch.ones(8, 4), torch.ones(8, 4))
    assert collapsed.top_k_accuracy(1) == 0 and collapsed.top_k_accuracy(8) == 100
    assert collapsed.loss.item() == pytest.approx(math.log(8), abs=1e-5)


def test_nan_is_never_a_success(device):
    result = InfoNCELoss()(torch.full((6, 3), float('nan')), torch.randn(6, 3))
    assert (result.rank == 5).all()


def test_half_precision_inputs_are_contrasted_in_single_precision(device):
    query, key = (side.detach().bfloat16() for side in embeddings(64))
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = InfoNCELoss()(query, key).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), brute_force(query.double(), key.double())[0],
                               atol=1e-4 if device == 'cpu' else 1e-2, rtol=0)  # on a GPU by TF32


def head(norm_cfg=dict(type='PairBatchNorm'), **kwargs):
    torch.manual_seed(0)
    projectors = [dict(type='ProjectionMLP', in_channels=width, out_channels=4, norm_cfg=norm_cfg)
                  for width in (6, 5)]
    return ContrastiveHead(*projectors, **kwargs).double()


@pytest.mark.parametrize('num_pairs', [0, 1])
def test_too_few_pairs_give_zero_loss_and_zero_gradients(num_pairs, device):
    module = head()
    features = torch.randn(num_pairs, 6).double().requires_grad_()
    loss = module.loss(features, torch.randn(num_pairs, 5).double())['loss']
    assert loss.item() == 0
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and not parameter.grad.any(), name
    assert features.grad.shape == features.shape and not features.grad.any()


def detached(detach_key):
    module = head(detach_key=detach_key)
    features = torch.randn(9, 6).double(), torch.randn(9, 5).double().requires_grad_()
    module.loss(*features)['loss'].backward()
    return features[1].grad is not None, module.key_projector.layers[0][0].weight.grad is not None


def test_detach_key_stops_the_gradient_where_it_says(device):
    assert detached(None) == (True, True)
    assert detached('feature') == (False, True)
    assert detached('projection') == (False, False)


@pytest.mark.parametrize('options', [{}, dict(momentum=None), dict(affine=False, eps=0.1)])
def test_pair_batch_norm_is_batch_norm(options, device):
    ours, theirs = PairBatchNorm(5, **options), torch.nn.BatchNorm1d(5, **options)
    for rows in (7, 2, 30):
        features = torch.randn(rows, 5)
        torch.testing.assert_close(ours(features), theirs(features))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    features = torch.randn(6, 5)
    assert torch.equal(ours.eval()(features), theirs.eval()(features))
    torch.testing.assert_close(ours.train()(features[:1]), theirs(features[:1]))


def test_sync_bn_leaves_pair_batch_norm_alone(device):
    """SyncBatchNorm, to which MMEngine's ``sync_bn='torch'`` turns batch norms, fails on one row."""
    mlp = convert_sync_batchnorm(ProjectionMLP(5, out_channels=4))
    assert mlp(torch.randn(1, 5)).shape == (1, 4)


# ---- several processes -------------------------------------------------------------------------

SHARES = [(5, 9), (0, 8), (7, 0), (1, 6)]  # pairs of each process


def batch(num_pairs):
    generator = torch.Generator().manual_seed(num_pairs)
    return (torch.randn(num_pairs, 6, generator=generator).double(),
            torch.randn(num_pairs, 5, generator=generator).double(),
            dict(frame=torch.arange(num_pairs) % 2,
                 position=torch.rand(num_pairs, 3, generator=generator).double()))


def gathered_head():
    return head(norm_cfg=dict(type='PairBatchNorm', sync=True), detach_key=None, queue_size=20,
                loss=dict(type='InfoNCELoss', gather=True, symmetric=True,
                          false_negative_radius=0.4))


def run_share(rank, shares):
    """What one of two processes computes of a batch that they share."""
    module = gathered_head()
    image, point, place = batch(sum(shares))
    own = slice(0, shares[0]) if rank == 0 else slice(shares[0], None)
    image, point = image[own].requires_grad_(), point[own].requires_grad_()
    place = {name: rows[own] for name, rows in place.items()}
    module.loss(image, point, **place)  # fills the queue
    loss = module.loss(image, point, **place)['loss']
    loss.backward()
    grads = [parameter.grad / 2 for parameter in module.parameters()]  # as DDP does
    for grad in [loss.data.div_(2), *grads]:
        dist.all_reduce(grad)
    return dict(loss=loss.data, grads=grads, feature_grads=[image.grad / 2, point.grad / 2],
                buffers=dict(module.named_buffers()))


def run_norm_in_half_precision(rank):
    """Synchronised batch norm of 4000 rows, in shares of 1000 and 3000, under mixed precision."""
    rows = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = PairBatchNorm(3, momentum=None, affine=False, sync=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = norm(rows[:1000] if rank == 0 else rows[1000:])
    return out.float(), norm.running_var


def run_gather_beside_another_use(rank):
    """Gradients where autograd hands the same tensor to the gathered rows first and to others then."""
    rows = torch.ones(2, 3, requires_grad=True)
    leaf = torch.ones(4, 3, requires_grad=True)
    beside = leaf * 1
    ((gather_rows(rows, [2, 2]) + beside) * torch.ones(4, 3)).sum().backward()
    return leaf.grad, rows.grad


def worker(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    torch.save([run_share(rank, shares) for shares in SHARES], f'{folder}/{rank}.pt')
    torch.save(run_gather_beside_another_use(rank), f'{folder}/gather{rank}.pt')
    torch.save(run_norm_in_half_precision(rank), f'{folder}/norm{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    """Results of both processes for all of SHARES, in one go: starting processes takes long."""
    folder = tmp_path_factory.mktemp('ranks')
    mp.spawn(worker, (str(folder),), nprocs=2)
    return folder


@pytest.fixture(scope='module')
def shares_of_ranks(ranks):
    return [torch.load(ranks / f'{rank}.pt') for rank in range(2)]


def test_synchronised_norm_counts_exactly_in_mixed_precision(ranks):
    (first, var), (second, other_var) = (torch.load(ranks / f'norm{rank}.pt') for rank in range(2))
    rows = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    norm = torch.nn.BatchNorm1d(3, momentum=None, affine=False)
    torch.testing.assert_close(torch.cat([first, second]), norm(rows), atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(var, norm.running_var, atol=1e-4, rtol=0)
    assert torch.equal(var, other_var)


def test_gathering_leaves_the_gradients_of_others_alone(ranks):
    for rank in range(2):
        beside, rows = torch.load(ranks / f'gather{rank}.pt')
        assert (beside == 1).all() and (rows == 2).all()


@pytest.mark.parametrize('case, shares', enumerate(SHARES))
def test_two_processes_equal_one_with_the_joined_batch(shares_of_ranks, case, shares):
    results = [result[case] for result in shares_of_ranks]
    module = gathered_head()
    image, point, place = batch(sum(shares))
    # A process numbers its own frames: those of the two are different frames.
    place['frame'] = place['frame'] + 2 * (torch.arange(sum(shares)) >= shares[0])
    image.requires_grad_(), point.requires_grad_()
    module.loss(image, point, **place)
    loss = module.loss(image, point, **place)['loss']
    loss.backward()
    for result in results:
        torch.testing.assert_close(result['loss'], loss.data)
        for (name, parameter), grad in zip(module.named_parameters(), result['grads']):
            torch.testing.assert_close(grad, parameter.grad, msg=name)
        torch.testing.assert_close(result['buffers'], dict(module.named_buffers()))
    for side, features in enumerate((image, point)):
        joined = torch.cat([result['feature_grads'][side] for result in results])
        torch.testing.assert_close(joined, features.grad)
