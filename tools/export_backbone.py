"""``simipu export`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['export', *sys.argv[1:]])
