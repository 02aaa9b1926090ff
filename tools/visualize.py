"""``simipu visualize`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['visualize', *sys.argv[1:]])
