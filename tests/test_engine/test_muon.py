"""ConvMuon beside PyTorch's own Muon and AdamW."""
import pytest
import torch
from torch import nn

from simipu.engine.muon import ConvMuon, orthogonalize

STEPS = 5


def _train(optimizer_of, parameter, gradients):
    optimizer = optimizer_of([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.skipif(not hasattr(torch.optim, 'Muon'), reason='torch before 2.9 has no Muon')
@pytest.mark.parametrize('shape', [(16, 40), (40, 16)])
def test_matrices_move_as_with_torch_muon(shape):
    start, gradients = torch.randn(shape), torch.randn(STEPS, *shape)
    ours = _train(lambda p: ConvMuon(p, lr=0.02, weight_decay=0.1),
                  nn.Parameter(start.clone()), gradients)
    torchs = _train(lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.1,
                                               adjust_lr_fn='match_rms_adamw'),
                    nn.Parameter(start.clone()), gradients)
    assert (ours - torchs).norm() < 0.03 * (torchs - start).norm()  # bfloat16 rounds


def test_a_kernel_moves_as_its_matrix():
    start, gradients = torch.randn(8, 4, 3, 3), torch.randn(STEPS, 8, 4, 3, 3)
    kernel = _train(ConvMuon, nn.Parameter(start.clone()), gradients)
    matrix = _train(ConvMuon, nn.Parameter(start.flatten(1).clone()), gradients.flatten(2))
    assert torch.equal(kernel.flatten(1), matrix)


def test_vectors_move_as_with_adamw():
    start, gradients = torch.randn(20), torch.randn(STEPS, 20)
    ours = _train(lambda p: ConvMuon(p, lr=0.01), nn.Parameter(start.clone()), gradients)
    adamw = _train(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0),
                   nn.Parameter(start.clone()), gradients)
    torch.testing.assert_close(ours, adamw)


def test_orthogonalize_equalises_singular_values():
    u, _, v = torch.linalg.svd(torch.randn(24, 60), full_matrices=False)
    spread = u @ torch.logspace(-1, 1, 24).diag() @ v
    values = torch.linalg.svdvals(orthogonalize(spread))
    assert values.min() > 0.5 and values.max() < 1.3
    assert torch.linalg.svdvals(spread).max() / torch.linalg.svdvals(spread).min() > 90


def test_state_dict_resumes():
    start, gradients = torch.randn(6, 5), torch.randn(6, 6, 5)
    whole = _train(ConvMuon, nn.Parameter(start.clone()), gradients)
    parameter = nn.Parameter(start.clone())
    first = ConvMuon([parameter])
    for gradient in gradients[:3]:
        parameter.grad = gradient.clone()
        first.step()
    second = ConvMuon([parameter])
    second.load_state_dict(first.state_dict())
    for gradient in gradients[3:]:
        parameter.grad = gradient.clone()
        second.step()
    assert torch.equal(parameter.detach(), whole)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match='momentum < 1'):
        ConvMuon([nn.Parameter(torch.zeros(2, 2))], momentum=1.0)
