"""The package where nothing can be written: no cache of machine code, and none is needed."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import simipu

PROGRAM = """
import torch
import simipu.scenes.kernels as kernels
from simipu.ops import furthest_point_sample, sampling
assert type(sampling._sample_cloud._cache).__name__ == 'NullCache', 'the case must leave no place for a cache'
print(furthest_point_sample(torch.tensor([[[0., 0, 0], [1, 0, 0], [5, 0, 0]]]), 2).tolist(),
      kernels.value_noise(0.5, 0.5, 0.5, 0) < 1)
"""


def test_package_works_where_nothing_can_be_written(tmp_path):
    copy = tmp_path / 'simipu'
    shutil.copytree(Path(simipu.__file__).parent, copy, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for folder in [copy, *(path for path in copy.rglob('*') if path.is_dir())]:
        (folder / '__pycache__').touch()  # no folder of this name can be made, not even by root
    environment = {key: value for key, value in os.environ.items()
                   if key not in ('NUMBA_CACHE_DIR', 'XDG_CACHE_HOME')}
    environment.update(PYTHONPATH=str(tmp_path), HOME='/dev/null')
    run = subprocess.run([sys.executable, '-c', PROGRAM], env=environment, cwd=tmp_path,
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split('\n')[-2] == '[[0, 2]] True'
