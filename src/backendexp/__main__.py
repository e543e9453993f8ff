"""`python -m backendexp`."""

import sys

from backendexp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
