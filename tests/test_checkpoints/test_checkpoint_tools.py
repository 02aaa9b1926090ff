"""The commands do what the package does, and turn its errors into one line and exit code 1."""
import pytest
import torch

from simipu.checkpoints import read_state_dict
from simipu.cli import main


@pytest.mark.parametrize('command, options', [('export', []), ('convert', ['--to', 'mmdet'])])
def test_commands_write_the_backbone(training_checkpoint, tmp_path, capsys, command, options):
    out = tmp_path / 'backbone.pth'
    main([command, str(training_checkpoint), str(out), *options])
    assert f'wrote 120 tensors to {out}' in capsys.readouterr().out
    source = read_state_dict(training_checkpoint)
    assert all(torch.equal(value, source[f'img_backbone.{key}'])
               for key, value in read_state_dict(out).items())


def test_convert_lists_what_the_target_cannot_hold(tmp_path, capsys):
    source = tmp_path / 'simipu.pth'
    torch.save({'img_backbone.conv1.weight': torch.ones(1), 'inter_head.a': torch.ones(1)}, source)
    main(['convert', str(source), str(tmp_path / 'out.pth'), '--to', 'mmseg'])
    assert '1 tensors have no place in this layout:\n  inter_head.a' in capsys.readouterr().out


@pytest.mark.parametrize('command, options', [('export', []), ('convert', ['--to', 'ours'])])
def test_errors_are_one_line(tmp_path, command, options):
    missing = tmp_path / 'nothing.pth'
    with pytest.raises(SystemExit) as exit_info:
        main([command, str(missing), str(tmp_path / 'out.pth'), *options])
    # A text as exit code is printed to stderr without traceback, and the process returns 1.
    assert exit_info.value.code == f'error: no checkpoint {missing}; check the path'
