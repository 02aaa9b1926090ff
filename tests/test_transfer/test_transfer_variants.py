"""What benchmarks/transfer.py and real_frames.py pre-train and measure: rows fit the configs as they are now."""
import argparse
import importlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from simipu.config import check_config
from simipu.evaluation import DepthErrors
from simipu.evaluation.transfer import build_backbone
from simipu.seeding import SeededIndex

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
COLUMN = ('probe', 'abs_rel')


@pytest.fixture
def load_benchmark(monkeypatch):
    """Import a file of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def benchmark(load_benchmark) -> ModuleType:
    return load_benchmark('transfer')


@pytest.fixture
def rows(load_benchmark) -> ModuleType:
    return load_benchmark('rows')


def pretrained_rows(benchmark) -> dict:
    return {name: how for name, how in benchmark.ROWS.items() if how is not None}


def test_all_rows_train_the_backbone_that_is_measured(benchmark, rows, tmp_path):
    measured = build_backbone(Config.fromfile(benchmark.CONFIG)).state_dict()
    shapes = {name: value.shape for name, value in measured.items()}
    for name, how in pretrained_rows(benchmark).items():
        cfg = rows.pretraining_config(how, 3, 90, tmp_path)
        check_config(cfg)
        length = round(90 * how.length)
        assert cfg.train_cfg.max_iters == length and cfg.param_scheduler[-1].end == length
        assert cfg.param_scheduler[0].end < length and cfg.randomness.seed == 3
        assert cfg.train_dataloader.dataset.get('data_root', f'{tmp_path}/') == f'{tmp_path}/'
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            model = MODELS.build(cfg.model)
        found = {key: value.shape for key, value in model.img_backbone.state_dict().items()}
        assert found == shapes, name


def test_rows_of_real_frames_train_the_backbone_that_is_measured(load_benchmark, rows, tmp_path):
    real = load_benchmark('real_frames')
    run = real.Run(tmp_path, tmp_path, 9)
    (tmp_path / 'infos' / 'kitti_raw').mkdir(parents=True)
    for name, stage in real.ROWS.items():
        if stage.how is None:
            continue
        cfg = rows.pretraining_config(stage.how, 3, 9, tmp_path, stage.how.start and tmp_path / 'start.pth')
        if stage.real:
            cfg = real.on_real_frames(cfg, run)
            raw, = cfg.train_dataloader.dataset.datasets
            assert [step.type for step in raw.pipeline].count('SampleCameras') == 1
        check_config(cfg)
        warmup, decay = cfg.param_scheduler
        assert warmup.end == decay.begin < decay.end == cfg.train_cfg.max_iters == round(9 * stage.how.length)
        backbone = Config.fromfile(stage.measured_with).model.img_backbone
        if stage.how.start:
            start = real.ROWS[stage.how.start]
            assert start.measured_with == stage.measured_with and not start.real
            if 'depth, real' not in name:
                from_random = real.ROWS[name.replace('generated then real', 'real').removeprefix('strong start + ')]
                assert stage.how.length == from_random.how.length * (2 / 3 if stage.real else 1)
            assert cfg.model.img_backbone.pop('init_cfg').checkpoint == str(tmp_path / 'start.pth')
            backbone.pop('init_cfg')
        assert cfg.model.img_backbone == backbone, name
        assert cfg.optim_wrapper.type.endswith('AmpOptimWrapper') == ('ResNet-50' in name)


def test_the_control_differs_in_its_pairs_only(benchmark, rows, tmp_path):
    ours, control = (rows.pretraining_config(benchmark.ROWS[name], 0, 90, tmp_path).to_dict()
                     for name in ('SimIPU', 'mispaired'))
    assert control['train_dataloader']['dataset'].pop('type') == 'MispairedDataset'
    assert ours['train_dataloader']['dataset'].pop('type') == 'PairedDataset'
    assert control == ours


def test_a_folder_keeps_what_was_made_with_equal_settings_only(rows, tmp_path):
    folder = tmp_path / 'SimIPU_seed0'
    rows.check_made_with(folder, 'lr = 1')
    made = (folder / 'made_with.txt').stat()
    rows.check_made_with(folder, 'lr = 1')
    assert (folder / 'made_with.txt').stat().st_ino == made.st_ino  # not written again, as another process may read it
    assert (folder / 'made_with.txt').stat().st_mtime_ns == made.st_mtime_ns
    with pytest.raises(SystemExit, match='SimIPU_seed0 was made with other settings'):
        rows.check_made_with(folder, 'lr = 2')
    assert (folder / 'made_with.txt').read_text() == 'lr = 1'
    (folder / 'made_with.txt').rename(folder / 'backbone.pth')
    with pytest.raises(SystemExit, match='SimIPU_seed0 was made with unknown settings'):
        rows.check_made_with(folder, 'lr = 1')


def test_pretraining_is_called_once_and_tells_why_it_failed(benchmark, rows, monkeypatch, tmp_path):
    """The training itself is replaced by one that leaves what tools/train.py leaves."""
    calls = []

    def train(command, stdout, **_):
        calls.append(command)
        stdout.write('starting\nerror: no data\n')
        (folder / 'last_checkpoint').write_text(str(tmp_path / 'iter_5.pth'))
        return argparse.Namespace(returncode=len(calls) - 1)  # the second fails

    backbone = build_backbone(Config.fromfile(benchmark.CONFIG))
    torch.save(dict(state_dict={f'img_backbone.{name}': value
                                for name, value in backbone.state_dict().items()}), tmp_path / 'iter_5.pth')
    monkeypatch.setattr(rows.subprocess, 'run', train)
    row, folder = benchmark.ROWS['mispaired'], tmp_path / 'seed0'
    start = rows.pretrain(folder, rows.pretraining_config(row, 0, 5, tmp_path))
    assert rows.pretrain(folder, rows.pretraining_config(row, 0, 5, tmp_path)) == start and len(calls) == 1
    assert Config.fromfile(calls[0][2]).train_cfg.max_iters == 5
    build_backbone(Config.fromfile(benchmark.CONFIG), str(start))
    with pytest.raises(SystemExit, match='other settings'):
        rows.pretrain(folder, rows.pretraining_config(row, 0, 6, tmp_path))
    folder = tmp_path / 'seed1'
    from_it = rows.pretraining_config(row, 1, 5, tmp_path, start)
    assert from_it.model.img_backbone.init_cfg == dict(type='Pretrained', checkpoint=str(start))
    with pytest.raises(SystemExit, match='pre-training of seed1 failed: error: no data'):
        rows.pretrain(folder, from_it)


def test_of_two_that_want_a_backbone_one_waits(rows, monkeypatch, tmp_path):
    trained = []

    def train(folder, cfg):
        trained.append(folder)
        time.sleep(0.3)  # in which the other asks for it
        (folder / 'last_checkpoint').write_text('iter_5.pth')

    monkeypatch.setattr(rows, '_train', train)
    monkeypatch.setattr(rows, 'export_backbone', lambda checkpoint, file: file.write_text(checkpoint))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: rows.pretrain(tmp_path / 'out' / 'seed0', Config()), range(2)))
    assert found == [tmp_path / 'out' / 'seed0' / 'backbone.pth'] * 2 and len(trained) == 1


def fail_at_once(folder: Path, row: str, seed: int) -> None:
    """Work of run_all that fails in the first row."""
    (folder / f'{row}_{seed}').touch()
    if row == 'a':
        raise SystemExit(f'error: {row} failed')


def test_no_row_starts_after_one_failed(rows, tmp_path):
    with pytest.raises(SystemExit, match='error: a failed'):
        rows.run_all(partial(fail_at_once, tmp_path), 'abcdefgh', 2, 1)
    assert 1 <= len(list(tmp_path.iterdir())) < 8  # one or two more had been handed to the process


def test_what_is_measured_is_kept_and_added_to(rows, tmp_path, capsys):
    measured = rows.Measured(tmp_path, 'settings')

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured.complete('place only', 1, None, dict(probe=lambda: dict(abs_rel=0.5), other=stopped))
    kept = json.loads((tmp_path / 'place_only_seed1.json').read_text())
    assert kept == dict(backbone=None, figures=dict(probe=dict(abs_rel=0.5)))
    measured.complete('place only', 1, None, dict(probe=stopped, other=lambda: dict(mAP=0.25)))
    assert 'place only, seed 1, other: mAP 0.25' in capsys.readouterr().out
    assert measured.table(['scratch', 'place only']) == {
        'place only': {1: dict(probe=dict(abs_rel=0.5), other=dict(mAP=0.25))}}
    with pytest.raises(SystemExit, match='other settings'):
        rows.Measured(tmp_path, 'others')


def test_figures_of_other_weights_are_measured_anew(rows, tmp_path, capsys):
    measured, weights = rows.Measured(tmp_path / 'figures', 'settings'), tmp_path / 'backbone.pth'
    for content, figure in ((b'a', 1.0), (b'a', 2.0), (b'b', 3.0)):
        weights.write_bytes(content)
        measured.complete('SimIPU', 0, weights, dict(probe=lambda figure=figure: dict(abs_rel=figure)))
    assert measured.read('SimIPU', 0) == dict(probe=dict(abs_rel=3.0))
    assert capsys.readouterr().out.splitlines() == [
        'SimIPU, seed 0, probe: abs_rel 1',
        'SimIPU, seed 0: the figures that are there are of other weights; measured anew',
        'SimIPU, seed 0, probe: abs_rel 3']


def test_a_row_takes_the_files_of_its_own_name_alone(rows, tmp_path):
    measured = rows.Measured(tmp_path, 'settings')
    for row, seed in (('a', 0), ('a', 10), ('a_seed1', 0), ('a b', 2)):
        measured.complete(row, seed, None, dict(probe=lambda row=row: dict(abs_rel=len(row))))
    table = measured.table(['a', 'a_seed1', 'a b', 'none'])
    assert {row: rows.values(table, row, rows.Column(*COLUMN)) for row in table} == {
        'a': {0: 1, 10: 1}, 'a_seed1': {0: 7}, 'a b': {2: 3}}


def test_ratios_are_of_the_seeds_that_both_have(rows):
    def row(**errors):
        return {int(seed[1:]): dict(probe=dict(abs_rel=error)) for seed, error in errors.items()}

    # Nor to nothing, such as an AP of 0.
    table = dict(scratch=row(s0=0.4, s1=0.2, s3=9.0, s4=0.0), SimIPU=row(s0=0.2, s1=0.15, s2=8.0, s4=0.1))
    column = rows.Column(*COLUMN)
    assert rows.paired(table, 'SimIPU', 'scratch', column) == pytest.approx([0.5, 0.75])
    *_, line = rows.format_ratios(table, [('SimIPU', 'nowhere'), ('SimIPU', 'scratch')], [column]).splitlines()
    assert line == '| SimIPU / scratch | 0.62 (0.50, 0.75) |'
    lines = rows.format_table(dict(scratch=row(s0=0.5), place={}), [column]).splitlines()
    assert lines == ['| backbone | probe, abs_rel |', '| --- | --- |', '| scratch | 0.500 |', '| place |  |']


def test_tasks_of_a_row_and_of_the_place(benchmark, monkeypatch, tmp_path):
    asked = []

    class Recorder:
        def __getattr__(self, name):
            def record(*arguments):
                asked.append((name, *arguments))
                return {1e-3: 0.5, 1e-2: 0.4} if name == 'tune' else DepthErrors(0.5, 1, 1, 1)
            return record

    monkeypatch.setattr(benchmark, '_benchmark', lambda data, target: Recorder())
    tasks = dict(benchmark.tasks_of('SimIPU', 1, tmp_path / 'a.pth', tmp_path))
    assert set(tasks) == set(benchmark.TASKS)
    file = [str(tmp_path / 'a.pth')]
    assert tasks['fine-tuning']()['learning_rate'] == 1e-2
    assert asked == [('tune', file), ('fine_tune', 1, file, 1e-2)]
    asked.clear()
    assert tasks['beyond place']()['to_place'] == 1
    assert asked == [('probe_beyond_position', 1, file), ('probe_position', 1)]
    asked.clear()
    assert set(dict(benchmark.tasks_of('mispaired', 1, None, tmp_path))) == set(benchmark.PROBES)
    place = dict(benchmark.tasks_of(benchmark.PLACE, 0, None, tmp_path))
    assert not {'fine-tuning', 'beyond place', 'detection 64'} & set(place)
    place['depth probe'](), place['surfaces']()
    assert asked == [('probe_position', 0), ('probe_target', 0, None, True)]


def test_drives_of_real_frames_are_those_that_are_there(load_benchmark, tmp_path):
    real = load_benchmark('real_frames')
    with pytest.raises(SystemExit, match='--drives: no a_sync in .*; there are none'):
        real.drives_to_train_on(tmp_path, ['a_sync'], real.HELD_OUT)
    for name in (*real.DRIVES[:2], real.HELD_OUT):
        (tmp_path / 'kitti_raw' / name[:10] / name).mkdir(parents=True)
    assert real.drives_to_train_on(tmp_path, None, real.HELD_OUT) == set(real.DRIVES[:2])
    assert real.drives_to_train_on(tmp_path, None, real.DRIVES[0]) == {real.DRIVES[1]}
    with pytest.raises(SystemExit, match='no 04 in .*; there are 2011_09_26_drive_0005_sync, 2011'):
        real.drives_to_train_on(tmp_path, [real.DRIVES[0], '04'], real.HELD_OUT)


def test_a_folder_of_other_drives_is_refused(load_benchmark, tmp_path, monkeypatch):
    real = load_benchmark('real_frames')
    for name in ('create_kitti_raw_infos', 'create_kitti_infos'):
        monkeypatch.setattr(real, name, lambda *_, **__: None)
    run = real.Run(tmp_path / 'data', tmp_path / 'out', 1)
    (tmp_path / 'out' / 'infos').mkdir(parents=True)
    real.make_infos(run, {'a'}, 'b')
    real.make_infos(run, {'a'}, 'b')
    for drives, held_out in (({'a', 'c'}, 'b'), ({'a'}, 'c')):
        with pytest.raises(SystemExit, match='infos was made with other settings'):
            real.make_infos(run, drives, held_out)


def test_draws_of_real_frames_never_score_what_is_labelled(load_benchmark):
    real = load_benchmark('real_frames')
    drawn = list(real.draws(16, in_one_piece=False))
    assert len(drawn) == 8 and len({tuple(labelled) for labelled, _ in drawn}) == 8
    assert all(len(labelled) == 10 and sorted(labelled + scored) == list(range(16)) for labelled, scored in drawn)
    for labelled, scored in real.draws(50, in_one_piece=True):
        assert max(labelled) < 25 and len(labelled) == 16 and scored == list(range(25, 50))
        assert labelled == sorted(labelled)  # a probe is cross-validated over consecutive parts
    assert real.summary([(0.2, 0.4), (0.3, 0.2)]) == pytest.approx(
        dict(abs_rel=0.25, place=0.3, to_place=1.0, worst=1.5))


def test_the_classifier_learns_from_pictures_of_all_classes(benchmark, rows, load_benchmark, tmp_path):
    """Every class fills its picture, and one step changes the backbone."""
    objects = load_benchmark('generated_objects')
    for label in range(len(objects.CLASSES)):
        rng = np.random.default_rng(label)
        image = objects.picture(label, 32, rng)
        assert image.shape == (32, 32, 3) and image.std() > 2, objects.CLASSES[label]
    data = objects.GeneratedObjects(size=32)
    first, again, other = (data[SeededIndex(4, seed)] for seed in (1, 1, 2))
    assert first['data_samples'] == again['data_samples'] and torch.equal(first['inputs'], again['inputs'])
    assert not torch.equal(first['inputs'], other['inputs'])
    cfg = rows.pretraining_config(benchmark.ROWS['strong start'], 0, 2, tmp_path)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MODELS.build(cfg.model)
    batch = dict(inputs=[first['inputs'], other['inputs']], data_samples=[3, 9])
    losses = model(**model.data_preprocessor(batch, True))
    losses['loss'].backward()
    assert model.img_backbone.conv1.weight.grad.abs().max() > 0
    assert losses['loss'].item() == pytest.approx(np.log(len(objects.CLASSES)), rel=0.3)  # knows nothing yet
