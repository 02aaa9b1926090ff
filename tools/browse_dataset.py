"""``simipu browse`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['browse', *sys.argv[1:]])
