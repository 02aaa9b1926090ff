"""The protocol and its tool, from frames to report."""
import json
import runpy
import sys
from pathlib import Path

import cv2
import pytest
import torch

from simipu.errors import CheckpointError, ConfigError, DataError
from simipu.evaluation import DepthErrors
from simipu.evaluation.transfer import (
    CALIBRATED,
    CLASS_INIT,
    POSITION,
    FrameSplit,
    Measurement,
    Settings,
    TransferBenchmark,
    build_backbone,
    count_training_frames,
    format_tables,
    measure_all,
    parse_backbones,
    ratio,
    split_frames,
    take_training_frames_if_alone,
)

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'transfer_benchmark.py'
SMALL = Settings(probe_frames=5, finetune_frames=3, scored_frames=4, steps=2, batch_size=2,
                 learning_rates=(1e-3, 1e-2), num_seeds=2)


def test_frames_are_split_in_one_piece(bright_cfg):
    assert split_frames(bright_cfg, SMALL) == FrameSplit(list(range(8)), [8, 9, 10, 11])
    most = SMALL._replace(scored_frames=100)
    assert split_frames(bright_cfg, most) == FrameSplit(list(range(6)), list(range(6, 12)))
    assert split_frames(bright_cfg, most).describe(most._replace(probe_frames=7)) == (
        '6 frames are scored (of 100 asked for); of 6 others, labelled are: 6 (of 7 asked for) for the frozen probe, '
        '3 for fine-tuning')


def test_training_frames_are_taken_where_there_are_no_others(bright_cfg):
    assert not take_training_frames_if_alone(bright_cfg)
    bright_cfg.val_dataloader.dataset.ann_file = 'nowhere.pkl'
    assert take_training_frames_if_alone(bright_cfg)
    assert bright_cfg.val_dataloader.dataset.ann_file == 'train.pkl'
    for loader in (bright_cfg.train_dataloader, bright_cfg.val_dataloader):
        loader.dataset.ann_file = 'nowhere.pkl'
    assert not take_training_frames_if_alone(bright_cfg)
    for loader in (bright_cfg.train_dataloader, bright_cfg.val_dataloader):
        loader.dataset = dict(type='ConcatDataset', datasets=[loader.dataset])
    assert not take_training_frames_if_alone(bright_cfg)


def test_too_few_frames_are_refused(bright_cfg):
    bright_cfg.val_dataloader.dataset.indices = 2
    with pytest.raises(DataError, match='2 frames for the transfer benchmark; expected at least 3'):
        split_frames(bright_cfg, SMALL)


def test_frames_of_the_training_set_are_counted(bright_cfg):
    assert count_training_frames(bright_cfg) == 0
    bright_cfg.train_dataloader.dataset.update(ann_file='val.pkl', indices=5)
    assert count_training_frames(bright_cfg) == 5
    bright_cfg.train_dataloader.dataset.ann_file = 'nowhere.pkl'
    assert count_training_frames(bright_cfg) == 0


def test_no_frame_is_loaded_that_no_seed_needs(bright_cfg, on_the_cpu):
    few = SMALL._replace(probe_frames=1, finetune_frames=1, num_seeds=1)
    benchmark = TransferBenchmark(bright_cfg, few)
    # One is drawn, one trains and two are held out while the learning rate is chosen.
    assert {6, 7, 0} <= {item.frame for item in benchmark.pool} and len(benchmark.pool) <= 4
    everything = TransferBenchmark(bright_cfg, few._replace(probe_frames=8, num_seeds=2))
    assert len(everything.pool) == 8
    assert benchmark.probe(0) != everything.probe(0)  # fitted to one frame, and to eight
    assert benchmark.fine_tune(0, None, 1e-3) == everything.fine_tune(0, None, 1e-3)


def test_labelled_frames_differ_by_seed_and_are_never_scored(bright_cfg, monkeypatch):
    benchmark = TransferBenchmark(bright_cfg, SMALL)
    seen = []
    monkeypatch.setattr('simipu.evaluation.transfer.benchmark.fine_tune',
                        lambda backbone, level, labelled, recipe, seed: seen.append(
                            ({item.frame for item in labelled}, recipe.steps)))
    scored = []
    monkeypatch.setattr('simipu.evaluation.transfer.benchmark.score', lambda model, frames: (
        scored.append({item.frame for item in frames}), DepthErrors(float('nan'), 1, 1, 1))[1])
    for seed in range(6):
        benchmark.fine_tune(seed, None, 1e-3)
    benchmark.fine_tune(0, None, 1e-3, long=True)
    assert len({frozenset(frames) for frames, _ in seen}) > 1
    assert all(len(frames) == 3 and frames <= set(range(8)) for frames, _ in seen)
    assert [steps for _, steps in seen] == [2] * 6 + [8] and scored == [{8, 9, 10, 11}] * 7
    seen.clear(), scored.clear()
    assert benchmark.tune(None) == {1e-3: float('inf'), 1e-2: float('inf')}  # diverged: never the best
    assert seen == [({0, 1, 2}, 1)] * 2 and scored == [{6, 7}] * 2


def test_a_probe_gets_its_frames_in_the_order_of_the_drive(bright_cfg, monkeypatch):
    """Cut into consecutive parts, neighbours that look alike are held out together."""
    benchmark, seen = TransferBenchmark(bright_cfg, SMALL), []
    monkeypatch.setattr('simipu.evaluation.transfer.benchmark.frozen_probe', lambda backbone, level, labelled, scored:
                        seen.append([item.frame for item in labelled]))
    for seed in range(4):
        benchmark.probe(seed)
    assert len({tuple(frames) for frames in seen}) > 1
    assert all(len(frames) == 5 and frames == sorted(frames) for frames in seen)


def test_measurements_are_the_same_however_many_workers(bright_cfg, tmp_path, on_the_cpu):
    torch.save(build_backbone(bright_cfg, seed=7).state_dict(), tmp_path / 'a.pth')
    torch.save(build_backbone(bright_cfg, seed=8).state_dict(), tmp_path / 'b.pth')
    a, b = str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')
    backbones = parse_backbones([f'ours={a}', f'ours={b}'])
    assert backbones == dict(scratch=None, ours=[a, b])
    torch.set_num_threads(1)
    one = measure_all(bright_cfg, backbones, SMALL)
    assert list(one) == ['scratch', 'ours', CALIBRATED, CLASS_INIT, POSITION]
    benchmark = TransferBenchmark(bright_cfg, SMALL)
    # Seed 1 takes the second checkpoint, and the learning rate that was best on held-out frames.
    assert one['ours'].probe[1] == benchmark.probe(1, [b])
    rate = min(one['ours'].tuning, key=one['ours'].tuning.get)
    assert one['ours'].finetune[1] == benchmark.fine_tune(1, [b], rate)
    assert one['scratch'].probe[0] != one[CALIBRATED].probe[0] and not one[CALIBRATED].finetune
    assert measure_all(bright_cfg, backbones, SMALL, num_workers=2) == one
    del bright_cfg.model.img_backbone['init_cfg']
    again = measure_all(bright_cfg, dict(scratch=None), SMALL, finetuned=())
    assert list(again) == ['scratch', CALIBRATED, POSITION]
    assert again['scratch'].probe == one[CLASS_INIT].probe


def test_names_of_controls_and_missing_files_are_refused(bright_cfg, tmp_path):
    for argument in ('ours', '=file.pth', 'ours=', 'scratch=file.pth'):
        with pytest.raises(ConfigError, match='expected NAME=CHECKPOINT'):
            parse_backbones([argument])
    with pytest.raises(ConfigError, match='ours: 3 checkpoints, but 2 seeds'):
        measure_all(bright_cfg, dict(scratch=None, ours=['a.pth', 'b.pth', 'c.pth']), SMALL)
    with pytest.raises(CheckpointError, match='nowhere.pth'):
        measure_all(bright_cfg, dict(scratch=None, ours=[str(tmp_path / 'nowhere.pth')]), SMALL)


def errors(*abs_rel) -> list[DepthErrors]:
    return [DepthErrors(value, 10 * value, 2 * value, 1 - value) for value in abs_rel]


def test_tables_and_ratios_by_hand():
    tuning = {1e-3: 0.5, 1e-2: 0.4}
    measurements = dict(scratch=Measurement(errors(0.5, 0.4), errors(0.4, 0.4), tuning=tuning),
                        ours=Measurement(errors(0.25, 0.3), errors(0.3, 0.2), tuning={**tuning, 1e-1: 1.0}),
                        position=Measurement(errors(0.5, 0.8)))
    assert ratio(measurements['ours'].probe, measurements['scratch'].probe) == (
        pytest.approx([0.5, 0.75]), pytest.approx(0.625), pytest.approx(0.75))
    titles = dict(probe='frozen probe', finetune='fine-tuning', finetune_long='long')
    probe, finetune = format_tables(measurements, titles).split('\n\n')
    assert probe.splitlines()[0] == 'frozen probe'
    rows = [line.split() for line in probe.splitlines()[2:]]
    assert ' '.join(rows[1]) == ('ours 0.275 ± 0.035 2.750 ± 0.354 0.550 ± 0.071 0.725 ± 0.035 '
                                 '0.62 0.75')
    assert [row[0] for row in rows] == ['scratch', 'ours', 'position']
    rows = finetune.splitlines()
    assert len(rows) == 4
    assert rows[2].endswith('0.01 (edge of the range)') and rows[3].endswith('0.62   0.75  0.01')


def call_tool(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool_writes_table_json_and_plot(bright_config, bright_cfg, tmp_path, monkeypatch, capsys):
    torch.save(build_backbone(bright_cfg, seed=7).state_dict(), tmp_path / 'a.pth')
    call_tool(monkeypatch, bright_config, '--backbone', f'ours={tmp_path}/a.pth', '--out', tmp_path / 'out',
              '--seeds', 1, '--steps', 1, '--scored-frames', 3, '--long')
    printed = capsys.readouterr().out
    table = (tmp_path / 'out/transfer.txt').read_text()
    assert table in printed and '9 (of 128 asked for) for the frozen probe' in table
    assert 'frozen probe on 9 labelled frames' in table and 'WARNING' not in printed
    report = json.loads((tmp_path / 'out/transfer.json').read_text())
    assert report['settings']['steps'] == 1
    ours, scratch = report['backbones']['ours'], report['backbones']['scratch']
    for task in ('probe', 'finetune', 'finetune_long'):
        expected = ours[task]['errors'][0]['abs_rel'] / scratch[task]['errors'][0]['abs_rel']
        assert ours[task]['ratio_to_scratch']['mean'] == pytest.approx(expected)
    assert report['backbones'][POSITION].keys() == {'probe'}
    assert cv2.imread(str(tmp_path / 'out/transfer.png')).std() > 10


def test_tool_on_frames_named_on_the_command_line(bright_config, bright_cfg, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match='error: 2 frames for the transfer benchmark'):
        call_tool(monkeypatch, bright_config, '--ann-file', 'train.pkl', '--out', tmp_path)
