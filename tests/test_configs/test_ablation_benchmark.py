"""The rows that benchmarks/ablations.py trains, as configs."""
from mmdet3d.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from simipu.config import check_config


def test_every_row_has_one_backbone_size_and_length(ablations, tmp_path):
    shapes = {}
    for row in (*ablations.ROWS, *ablations.IN_PROCESSES):
        cfg = ablations.load_config(row, tmp_path, iterations=77, seed=5)
        import_modules_from_strings(**cfg.custom_imports)  # as a config file that is read does
        check_config(cfg)
        assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == 77 and cfg.randomness.seed == 5
        assert all(loader.dataset.data_root == f'{tmp_path}/'
                   for loader in (cfg.train_dataloader, cfg.val_dataloader))
        assert [step.scale for step in cfg.val_dataloader.dataset.pipeline if step.type == 'ResizeImages'] == [
            (288, 96)]
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            model = MODELS.build(cfg.model)
        shapes[row] = {name: value.shape for name, value in model.img_backbone.state_dict().items()}
        assert (model.intra_head is None) == (row == ablations.NO_INTRA)
        assert (type(model).__name__ == 'OriginalProjectionSimIPU') == (row == 'original')
    assert all(found == shapes['reference'] for found in shapes.values())


def test_without_the_intra_loss_nothing_else_changes(ablations, tmp_path):
    ours, without = (ablations.load_config(row, tmp_path, iterations=77, seed=0).to_dict()
                     for row in ('recommended', ablations.NO_INTRA))
    for key in ('intra_head', 'matcher'):
        assert ours['model'].pop(key) and without['model'].pop(key) is None
    assert [head.pop('detach_key', None) for head in without['model']['inter_head']] == [None, None]
    assert ours == without


def test_processes_share_the_batch(ablations, tmp_path):
    whole = ablations.load_config('recommended', tmp_path, iterations=77, seed=0)
    assert whole.train_dataloader.batch_size == 4 and '--launcher' not in ablations.command('recommended')
    for row, processes in ablations.IN_PROCESSES.items():
        cfg = ablations.load_config(row, tmp_path, iterations=77, seed=0)
        assert f'--nproc_per_node={processes}' in ablations.command(row)
        assert cfg.train_dataloader.batch_size * processes == 4
        assert [head.loss.get('gather', False) for head in (cfg.model.intra_head, *cfg.model.inter_head)] == [
            '-gather' in row] * 3
