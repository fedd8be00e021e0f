"""`python -m dnafm` is the command `dnafm`."""

import sys

from dnafm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
