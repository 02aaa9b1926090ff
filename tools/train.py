"""``simipu train`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['train', *sys.argv[1:]])
