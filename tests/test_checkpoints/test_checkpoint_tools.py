"""The command lines do what the package does, and turn its errors into one line and exit code 1."""
import pytest
import torch

from simipu.checkpoints import read_state_dict


@pytest.mark.parametrize('tool, options', [('export_backbone', []),
                                           ('convert_checkpoint', ['--to', 'mmdet'])])
def test_tools_write_the_backbone(training_checkpoint, tmp_path, monkeypatch, load_tool, capsys,
                                  tool, options):
    out = tmp_path / 'backbone.pth'
    monkeypatch.setattr('sys.argv', [tool, str(training_checkpoint), str(out), *options])
    assert load_tool(tool).main() == 0
    assert f'wrote 120 tensors to {out}' in capsys.readouterr().out
    source = read_state_dict(training_checkpoint)
    assert all(torch.equal(value, source[f'img_backbone.{key}'])
               for key, value in read_state_dict(out).items())


def test_convert_lists_what_the_target_cannot_hold(tmp_path, monkeypatch, load_tool, capsys):
    source = tmp_path / 'simipu.pth'
    torch.save({'img_backbone.conv1.weight': torch.ones(1), 'inter_head.a': torch.ones(1)}, source)
    out = tmp_path / 'out.pth'
    monkeypatch.setattr('sys.argv', ['convert', str(source), str(out), '--to', 'mmseg'])
    assert load_tool('convert_checkpoint').main() == 0
    assert '1 tensors have no place in this layout:\n  inter_head.a' in capsys.readouterr().out


@pytest.mark.parametrize('tool, options', [('export_backbone', []),
                                           ('convert_checkpoint', ['--to', 'ours'])])
def test_errors_are_one_line(tmp_path, monkeypatch, load_tool, capsys, tool, options):
    missing = tmp_path / 'nothing.pth'
    monkeypatch.setattr('sys.argv', [tool, str(missing), str(tmp_path / 'out.pth'), *options])
    assert load_tool(tool).main() == 1
    assert capsys.readouterr().err == f'error: no checkpoint {missing}; check the path\n'
