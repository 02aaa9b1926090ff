"""``simipu create-data`` in a checkout."""
import sys

from simipu.cli import main

if __name__ == '__main__':
    main(['create-data', *sys.argv[1:]])
