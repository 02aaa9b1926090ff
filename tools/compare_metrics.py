"""``simipu compare`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['compare', *sys.argv[1:]])
