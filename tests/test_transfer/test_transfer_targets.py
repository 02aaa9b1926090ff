"""Labels other than depth, against shapes whose surface and place are known, and their probe."""
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from simipu.errors import DataError
from simipu.evaluation import LinearProbe
from simipu.evaluation.transfer import OBJECT, SURFACE, Settings, TransferBenchmark, frozen_features, position_features
from simipu.evaluation.transfer.targets import angular_errors, mean_precision, object_classes

IDENTITY = ' '.join(map(str, np.eye(3, 4).ravel()))
# x forward, y left, z up -> x right, y down, z forward.
AXES = '0 -1 0 0 0 0 -1 0 1 0 0 0'


def test_angles_by_hand():
    predicted, true = torch.tensor([[2.0, 0, 0], [1, 1, 0]]), torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    assert angular_errors(predicted, true) == dict(degrees=pytest.approx(22.5), within_22=0.5)


def test_points_in_labelled_boxes(tmp_path):
    for folder in ('velodyne', 'label_2', 'calib'):
        (tmp_path / folder).mkdir()
    calibration = [f'P{i}: {IDENTITY}' for i in range(4)]
    (tmp_path / 'calib/000000.txt').write_text('\n'.join(
        [*calibration, 'R0_rect: 1 0 0 0 1 0 0 0 1', f'Tr_velo_to_cam: {AXES}', f'Tr_imu_to_velo: {IDENTITY}']))
    # A van 20 m ahead that looks to the right (rotation 0), a cyclist 10 m ahead; height, width, length, place, yaw.
    (tmp_path / 'label_2/000000.txt').write_text(
        'Van 0 0 0 0 0 0 0 2 1.6 4 0 1.7 20 0\nCyclist 0 0 0 0 0 0 0 1.8 0.6 1.8 3 1.7 10 1.5708\n'
        'DontCare -1 -1 -10 0 0 0 0 -1 -1 -1 -1000 -1000 -1000 -10\n')
    cloud = np.array([[20, 1.9, -1], [20, 2.1, -1], [20.7, 0, 0.2], [20.9, 0, -1], [20, 0, 0.4], [20, 0, -1.8],
                      [10.8, -3, -1], [10, -3.5, -1]])
    found = object_classes(cloud, np.arange(len(cloud)), str(tmp_path / 'velodyne/000000.bin'))
    assert found.tolist() == [[1, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
    (tmp_path / 'label_2/000000.txt').unlink()
    with pytest.raises(DataError, match=r'label_2/000000.txt: no such file; classes are read from'):
        object_classes(cloud, np.arange(2), str(tmp_path / 'velodyne/000000.bin'))


def test_precision_is_scikit_learn_s():
    rng = np.random.default_rng(2)
    scores, members = rng.normal(size=(300, 2)), rng.random((300, 2)) < [0.1, 0.4]
    found = mean_precision(torch.from_numpy(scores), torch.from_numpy(members.astype(float)))
    expected = [average_precision_score(members[:, k], scores[:, k]) for k in range(2)]
    assert [found['vehicle'], found['person']] == pytest.approx(expected)
    assert found['error'] == pytest.approx(1 - np.mean(expected))


def test_probe_of_several_numbers_is_one_of_each():
    rng = torch.Generator().manual_seed(3)
    features, targets = torch.randn(400, 5, generator=rng), torch.randn(400, 2, generator=rng)
    targets += features[:, :2]
    both = LinearProbe(penalties=[0.01]).fit(features, targets).predict(features)
    for k in range(2):
        one = LinearProbe(penalties=[0.01]).fit(features, targets[:, k:k + 1]).predict(features)
        torch.testing.assert_close(both[:, k:k + 1], one)


def test_the_benchmark_probes_a_target_where_it_is_known(bright_cfg):
    """The target is the depth, so that the features tell it and it is known at half of the points only."""
    def label(cloud, points, file):
        return np.where(points[:, None] % 2, np.nan, cloud[points, :1])

    target = SURFACE._replace(label=label, score=lambda predicted, true: dict(
        rows=len(true), error=(predicted - true).abs().mean().item()))
    small = Settings(probe_frames=6, finetune_frames=2, scored_frames=4, num_seeds=1)
    benchmark = TransferBenchmark(bright_cfg, small, target)
    found = benchmark.probe_target(0)
    assert found['rows'] == (~benchmark.scored.values.isnan()).sum()
    assert found['error'] < benchmark.probe_target(0, position_only=True)['error']
    backbone = benchmark._backbone(0, None)
    together = benchmark._features(backbone, benchmark.scored)
    torch.testing.assert_close(together, torch.cat([
        torch.cat(frozen_features(backbone, benchmark.level, benchmark.scored)).double(),
        position_features(benchmark.scored)], dim=1))
    assert benchmark.probe_beyond_position(0).abs_rel < benchmark.probe_position(0).abs_rel
    assert OBJECT.score is mean_precision
