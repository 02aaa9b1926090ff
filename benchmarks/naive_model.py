"""The model on the unoptimised path: what whole training steps are compared with."""
import copy
from contextlib import contextmanager

import naive_contrast

from simipu.models.point_encoders import PointNet2Encoder
from simipu.models.simipu import SimIPU


def naive_copy(model: SimIPU, encoder) -> SimIPU:
    """The same weights, with ``encoder``, projection after sampling, and naive matching and InfoNCE."""
    naive = copy.deepcopy(model)
    encoder.load_state_dict(model.point_encoder.state_dict())
    naive.point_encoder = encoder
    naive.matcher = naive_contrast.hungarian
    for head in (naive.intra_head, naive.inter_head):
        head.loss_module = naive_contrast.NaiveInfoNCE()
    projector = naive.inter_head.query_projector
    naive.inter_head.embed_query = lambda samples: projector(samples.features())
    return naive


@contextmanager
def recorded_samplings(encoder: PointNet2Encoder):
    """A list that gets the ``sampling`` of each call of ``encoder``."""
    samplings = []
    handle = encoder.register_forward_hook(
        lambda module, inputs, result: samplings.append(result.sampling))
    yield samplings
    handle.remove()


def losses_and_gradients(model: SimIPU, batch: tuple) -> tuple[dict, dict]:
    """All that ``mode='loss'`` returns, as numbers, and the gradient of each parameter that has one."""
    model.zero_grad()
    losses = model(*batch, mode='loss')
    (losses['loss_inter'] + losses['loss_intra']).backward()
    grads = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {name: value.item() for name, value in losses.items()}, grads
