"""Train on the workers of a Ray cluster, which starts a training again from its newest checkpoint when one is lost.

    python tools/ray_train.py [--gpu] [--max-failures 3] CONFIG WORKERS [further arguments of tools/train.py]

Needs ``pip install "ray[train]"``, and a work dir, data and this checkout under the same paths on all machines.
"""
import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).with_name('train.py').resolve()


def train(settings: dict) -> None:
    """``tools/train.py`` as one process of a training, in a process of its own.

    Ray calls this in a thread, and only a main thread gets the signals upon which a training saves and stops.
    """
    import torch.distributed as dist

    here = [(ray_address(), free_port())] if dist.get_rank() == 0 else [None]
    dist.broadcast_object_list(here)  # Ray's own group goes on using the port in MASTER_PORT
    address, port = here[0]
    done = subprocess.run(
        [sys.executable, str(TRAIN), *settings['arguments'], '--launcher', 'pytorch', '--resume'],
        cwd=settings['folder'], env={**os.environ, 'MASTER_ADDR': address, 'MASTER_PORT': str(port)})
    if done.returncode:
        raise RuntimeError(f'tools/train.py ended with exit code {done.returncode}; its reason is above')


def ray_address() -> str:
    """Name of this machine, as other machines of the cluster reach it."""
    import ray
    return ray.util.get_node_ip_address()


def free_port() -> int:
    """A port that nothing uses at the moment."""
    with socket.create_server(('', 0)) as server:
        return server.getsockname()[1]


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('workers', type=int, help='processes of the training, one for each GPU')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='further ones of tools/train.py')
    parser.add_argument('--gpu', action='store_true', help='give a GPU to each process')
    parser.add_argument('--max-failures', type=int, default=3, help='how often to start again (default: 3)')
    args = parser.parse_args()
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        sys.exit(f'error: {error}. This tool needs: pip install "ray[train]"')
    TorchTrainer(train, train_loop_config=dict(arguments=[args.config, *args.arguments], folder=os.getcwd()),
                 torch_config=TorchConfig(backend='gloo'),  # of Ray's own group; the training's is nccl on GPUs
                 scaling_config=ScalingConfig(num_workers=args.workers, use_gpu=args.gpu),
                 run_config=RunConfig(failure_config=FailureConfig(max_failures=args.max_failures))).fit()


if __name__ == '__main__':
    main()
