"""``simipu verify`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['verify', *sys.argv[1:]])
