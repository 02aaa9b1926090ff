"""``simipu test`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['test', *sys.argv[1:]])
