"""``torchrun``, with the exit code of a training that was told to stop: 75, upon which schedulers start it again."""
import os
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main() -> int | str | None:
    os.environ['SIMIPU_LAUNCHER'] = str(os.getpid())  # the processes end with this one
    # Else processes that torch 2.13 starts again (--max-restarts) look for each other where those before them were.
    os.environ.setdefault('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    try:
        return run(parse_args(None))
    except SignalException:  # its processes were told, too
        return os.EX_TEMPFAIL
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if set(codes.values()) == {os.EX_TEMPFAIL}:
            return os.EX_TEMPFAIL
        ends = ', '.join(f'process {rank} {_in_words(code)}' for rank, code in sorted(codes.items()))
        return f'error: {ends}; the reason is above, if they gave one'


def _in_words(code: int) -> str:
    return f'ended by signal {-code}' if code < 0 else f'ended with exit code {code}'


if __name__ == '__main__':
    sys.exit(main())
