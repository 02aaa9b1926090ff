"""What a training holds does not grow with its length."""
import json

import pytest
from trainings import ALL, start


@pytest.mark.skipif(not ALL, reason='only with SIMIPU_ALL_FAULTS=1')
def test_the_second_thousand_iterations(tmp_path):
    """In the first, memory grows by some 15 MB to a size at which it stays."""
    with start(tmp_path / 'w', options=[
            'train_cfg.max_iters=2000', 'train_cfg.val_interval=50', 'default_hooks.checkpoint.interval=20',
            'train_dataloader.num_workers=2', 'val_dataloader.num_workers=1',
            'default_hooks.logger.interval=10']) as training:
        assert training.wait(1200) == 0, training.output
    held = [json.loads(line) for line in (tmp_path / 'w' / 'resources.jsonl').read_text().splitlines()]
    early, late = held[9], held[-1]
    assert late['descriptors'] <= early['descriptors'] and late['shared'] <= early['shared']
    assert late['memory'] - early['memory'] < 4e6  # of some 340 MB
    growth = [second['log'] - first['log'] for first, second in zip(held, held[1:])]
    assert max(growth) < 1.2 * min(growth) < 20_000  # so many bytes for 100 iterations, whenever
