"""benchmarks/gpu_report.py on a CPU, at tiny sizes."""
import importlib.util
import json
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
SIDES = ['data', 'image side', 'point side', 'matcher', 'heads', 'optimizer']
MEASURES = ['step_ms', 'images_per_second', 'peak_memory_gb', 'parts', 'other_share', 'idle_share',
            'host_synchronisations']


@pytest.fixture
def gpu_report(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location('gpu_report', BENCHMARKS / 'gpu_report.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_case_within_no_time_and_the_others_are_named_as_skipped(gpu_report, tmp_path, capsys, monkeypatch):
    out, make = tmp_path / 'report.json', gpu_report.made_up_batch

    def batch_of_views_that_differ_by_rounding(*size):  # so much that sampling both would not give the same points
        batch = make(*size)
        batch.inputs['points_aug'] += 1e-3 * torch.rand(batch.inputs['points_aug'].shape)
        return batch

    monkeypatch.setattr(gpu_report, 'made_up_batch', batch_of_views_that_differ_by_rounding)
    arguments = ('--device cpu --batch 2 --image-size 128 64 --num-points 2048 --minutes 0 --naive-batch 0 '
                 '--loader-frames 0')
    gpu_report.main([*arguments.split(), '--out', str(out)])
    report = json.loads(out.read_text())
    assert list(report) == ['machine', 'settings', 'cases', 'operators', 'naive', 'loader', 'skipped']
    assert report['operators']['num_centers'] == 512 and report['operators']['sampling_ms'] > 0
    assert report['skipped'] == ['SparseConvEncoder, fp32', 'PointNet2Encoder, bf16', 'PointNet2Encoder, fp32']
    case, = report['cases'].values()
    assert list(case) == MEASURES and list(case['parts']) == SIDES
    assert case['images_per_second'] == pytest.approx(2000 / case['step_ms'])
    assert case['other_share'] + sum(part['share'] for part in case['parts'].values()) == pytest.approx(1)
    assert all(part['forward_ms'] > 0 for part in case['parts'].values())
    assert 'SparseConvEncoder, bf16: ' in capsys.readouterr().out


def test_without_a_gpu_it_says_what_to_do(gpu_report, capsys, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(SystemExit):
        gpu_report.main([])
    assert '--device cpu' in capsys.readouterr().err
