"""``simipu transfer`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['transfer', *sys.argv[1:]])
