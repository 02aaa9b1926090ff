"""InfoNCE beside all logits + softmax cross entropy + top-k, and its memory on 65,536 pairs.

    OMP_NUM_THREADS=1 python benchmarks/info_nce.py

The naive version logs the accuracies of the original, top-409 and top-2048 of 4096 pairs; ours logs top-1,
top-5 and those two.
"""
import argparse

import torch
from measuring import compare, measure_once, print_cost, print_versions
from naive_contrast import info_nce, top_k_accuracies

from simipu.models.losses import InfoNCELoss

WIDTH = 128


def embeddings(num_pairs: int) -> list:
    torch.manual_seed(0)
    return [torch.randn(num_pairs, WIDTH).requires_grad_() for _ in range(2)]


def ours(query, key) -> tuple:
    result = InfoNCELoss(temperature=0.07)(query, key)
    result.loss.backward()
    return result.loss, [result.top_k_accuracy(k) for k in (409, 2048, 1, 5)]


def naive(query, key) -> tuple:
    loss, logits = info_nce(query, key, temperature=0.07)
    loss.backward()
    return loss, top_k_accuracies(logits.detach(), (409, 2048))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--num-pairs', type=int, default=4096)
    parser.add_argument('--many-pairs', type=int, default=65536)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    print_versions()
    pair = embeddings(args.num_pairs)
    compare(f'{args.num_pairs} pairs, forward + backward',
            lambda: ours(*pair), lambda: naive(*pair), args.repeats)
    (loss, accuracies), (expected, naive_accuracies) = ours(*pair), naive(*pair)
    print(f'losses differ by {abs(loss - expected).item():.1e}, top-k accuracies by '
          f'{max(abs(a - b) for a, b in zip(accuracies, naive_accuracies)).item():.1e}')
    pair = embeddings(args.many_pairs)
    print_cost(f'{args.many_pairs} pairs, forward + backward', measure_once(lambda: ours(*pair)))


if __name__ == '__main__':
    main()
