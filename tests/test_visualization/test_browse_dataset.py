"""Whole pictures of a data set's frames, through the package and through the tool."""
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from simipu.errors import ConfigError
from simipu.geometry import rotation_matrix, transform_points
from simipu.models.matchers import IndexMatcher, MutualNearestMatcher
from simipu.visualization import build_split, choose_frames, choose_other_frames, draw_frame
from simipu.visualization.frame_sheet import VIEW_2, match_views

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'browse_dataset.py'


def test_tool_writes_a_sheet_and_the_share_of_visible_points(tiny_config, tmp_path, monkeypatch,
                                                             capsys):
    out = tmp_path / 'sheet.png'
    monkeypatch.setattr('sys.argv', [str(TOOL), str(tiny_config), '--num-frames', '2', '--out',
                                     str(out)])
    runpy.run_path(str(TOOL), run_name='__main__')
    lines = capsys.readouterr().out.splitlines()
    shares = [line for line in lines if 'of the points visible' in line]
    assert [line.split(':')[0] for line in shares] == [
        'frame 0, FRONT', 'frame 0, BACK', 'frame 3, FRONT', 'frame 3, BACK']
    assert shares[1].endswith(': 0.0% of the points visible') and ': 0.0%' not in shares[0]
    assert lines[-1] == str(out) and cv2.imread(str(out)).shape[0] > 600


def test_the_same_frame_is_drawn_with_and_without_matches_and_second_view(tiny_cfg):
    packed = build_split(tiny_cfg, 'train')[0]
    with_matches = draw_frame(packed, MutualNearestMatcher(), num_points=32, width=600)
    without = draw_frame(packed, None, width=600)
    assert with_matches.visible == without.visible

    def is_orange(picture):
        return (picture.image == VIEW_2).all(-1).any()

    assert is_orange(with_matches) and not is_orange(without)
    one_view = draw_frame(build_split(tiny_cfg, 'val')[0], MutualNearestMatcher(), width=600)
    assert one_view.image.shape[2] == 3


def test_matches_join_the_same_points_of_both_views():
    """Of a shuffled copy, sampled whole: the matcher must find every point itself, 0 m away."""
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)) * 40
    matrix = torch.from_numpy(rotation_matrix(0.4))
    moved = transform_points(points.double(), matrix)[torch.randperm(60)]
    back = transform_points(moved, torch.linalg.inv(matrix))
    matches = match_views(points, back, MutualNearestMatcher(), num_points=60)
    assert len(matches.index_a) == 60
    np.testing.assert_allclose(matches.distance, 0, atol=1e-4)
    with pytest.raises(ValueError, match='shuffle=False'):
        match_views(points, back, IndexMatcher(), num_points=60)
    assert len(match_views(points, points.double(), IndexMatcher(), num_points=20).index_a) == 20


def test_each_view_is_sampled_by_itself():
    """Furthest point sampling starts at row 0: if that stays, both views sample the same points."""
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)) * 40
    shuffled = points[torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(59, 0, -1)])]
    matches = match_views(points, shuffled.double(), MutualNearestMatcher(), num_points=20)
    assert len(matches.index_a) == 20
    np.testing.assert_allclose(matches.distance, 0, atol=1e-4)


def test_frames_are_spread_or_counted_from_one():
    assert choose_frames(10, 3) == [0, 4, 9] and choose_frames(10, 3, first=5) == [5, 6, 7]
    assert choose_other_frames(6, [0, 5], 2) == [1, 4] and choose_other_frames(2, [0, 1], 5) == []
    for count, first in ((11, None), (3, 8), (0, None), (1, -1)):
        with pytest.raises(ValueError, match='the split has 10'):
            choose_frames(10, count, first)


def test_a_split_that_the_config_lacks_is_named(tiny_cfg):
    tiny_cfg.pop('test_dataloader')
    with pytest.raises(ConfigError, match='no test_dataloader'):
        build_split(tiny_cfg, 'test')
