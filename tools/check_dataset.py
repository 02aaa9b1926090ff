"""``simipu check-dataset`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['check-dataset', *sys.argv[1:]])
