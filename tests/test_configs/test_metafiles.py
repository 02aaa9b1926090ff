"""The model index lists every config, and says of it what the config and docs/results.md say."""
from pathlib import Path

import yaml
from mmengine.config import Config

PROJECT = Path(__file__).resolve().parents[2]
SHORT_NAMES = 'simipu_kitti', 'simipu_own_drive', 'simipu_synthetic'  # of recipes that are listed


def models() -> list[dict]:
    """Entries of all metafiles that model-index.yml imports."""
    files = yaml.safe_load((PROJECT / 'model-index.yml').read_text())['Import']
    return [model for file in files for model in yaml.safe_load((PROJECT / file).read_text())['Models']]


def test_every_config_is_listed_once():
    listed = [model['Config'] for model in models()]
    assert sorted(listed) == sorted(
        str(path.relative_to(PROJECT)) for path in (PROJECT / 'configs').rglob('*.py')
        if '_base_' not in path.parts and path.stem not in SHORT_NAMES)
    assert [model['Name'] for model in models()] == [Path(config).stem for config in listed]


def test_batch_size_and_length_are_those_of_the_config():
    for model in models():
        metadata = model['Metadata']
        if 'Batch Size' not in metadata:
            continue
        cfg = Config.fromfile(PROJECT / model['Config'], import_custom_modules=False)
        assert metadata['Batch Size'] == cfg.auto_scale_lr.base_batch_size
        assert {metadata.get('Epochs'), metadata.get('Iterations')} == {
            cfg.train_cfg.get('max_epochs'), cfg.train_cfg.get('max_iters')}


def test_figures_are_measured_and_no_weights_are_promised():
    results = (PROJECT / 'docs' / 'results.md').read_text()
    figures = [str(value) for model in models() for result in model.get('Results', [])
               for value in result['Metrics'].values()]
    assert figures and all(figure in results for figure in figures)
    assert not [model['Name'] for model in models() if 'Weights' in model]
