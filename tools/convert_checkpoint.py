"""``simipu convert`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['convert', *sys.argv[1:]])
