r"""Measure how well depth is read from backbones: by a frozen linear probe, and after fine-tuning on few labels.

The labels are the LiDAR's depths in frames of the config's validation set. Random weights ('scratch') and
the controls are always measured; the learning rate of fine-tuning is chosen for each backbone.

Examples:
  %(prog)s configs/simipu_synthetic.py --out work_dirs/transfer \
      --backbone simipu=work_dirs/simipu_synthetic/iter_500.pth
  %(prog)s configs/simipu_kitti.py --data-root data/kitti --out work_dirs/transfer_kitti \
      --backbone simipu=backbone.pth --backbone imagenet=resnet50.pth
"""
from argparse import ArgumentParser, Namespace

from ..config import OverrideAction, check_parts
from ..config.options import PROCESSES, whole_number
from ..engine import launch
from ..errors import ConfigError
from ..evaluation import transfer
from ..files import check_target


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='names the backbone, its level, the image size and the data set')
    parser.add_argument('--out', required=True, help='folder of the table, the JSON file and the plot')
    parser.add_argument('--backbone', action='append', default=[], metavar='NAME=CHECKPOINT',
                        help='of SimIPU, an OpenMMLab model, an exported backbone, torchvision; the same '
                        'name again for another seed of its pre-training')
    parser.add_argument('--data-root', help='folder of the data, in place of the config\'s data_root')
    parser.add_argument('--ann-file', help='info file of the frames, in place of the config\'s for '
                        'validation (that for training if there is no other); no backbone may have been '
                        'pre-trained on them')
    defaults = transfer.Settings()
    parser.add_argument('--probe-frames', type=whole_number(1), default=defaults.probe_frames,
                        help='labelled frames of the frozen probe (default: %(default)s)')
    parser.add_argument('--finetune-frames', type=whole_number(1), default=defaults.finetune_frames,
                        help='labelled frames of fine-tuning (default: %(default)s)')
    parser.add_argument('--scored-frames', type=whole_number(1), default=defaults.scored_frames,
                        help='frames to measure on, at most half of the set (default: %(default)s)')
    parser.add_argument('--steps', type=whole_number(1), default=defaults.steps,
                        help='of fine-tuning (default: %(default)s)')
    parser.add_argument('--long', action='store_true', help='fine-tune four times as long, too')
    parser.add_argument('--seeds', type=whole_number(1), default=defaults.num_seeds, help='(default: %(default)s)')
    parser.add_argument('--num-workers', type=PROCESSES, default=1,
                        help='processes that share the work, one thread each (default: 1, all threads)')
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE',
                        help='override settings of the config')
    parser.set_defaults(work_dir=None, launcher='none', local_rank=0)


def main(args: Namespace) -> None:
    check_target(args.out, folder=True)
    backbones = transfer.parse_backbones(args.backbone)
    cfg = launch.load_config(args)
    check_parts(cfg, 'train_dataloader', 'val_dataloader')
    if 'img_backbone' not in cfg.model:
        raise ConfigError(f'{args.config}: its model has no img_backbone; give the config of a pre-training')
    if args.ann_file:
        cfg.val_dataloader.dataset.ann_file = args.ann_file
    elif transfer.take_training_frames_if_alone(cfg):
        print(f'There is no info file for validation; taking {cfg.val_dataloader.dataset.ann_file}')
    settings = transfer.Settings(
        probe_frames=args.probe_frames, finetune_frames=args.finetune_frames,
        scored_frames=args.scored_frames, steps=args.steps, num_seeds=args.seeds)
    split = transfer.split_frames(cfg, settings)
    print(split.describe(settings))
    if shared := transfer.count_training_frames(cfg):
        print(f'WARNING: {shared} of these frames are in the training set of the config too; a backbone '
              'that was pre-trained on them must be measured on others')
    measurements = transfer.measure_all(cfg, backbones, settings, args.num_workers,
                                        finetuned_long=backbones if args.long else ())
    print(transfer.write_report(args.out, measurements, settings, split))
