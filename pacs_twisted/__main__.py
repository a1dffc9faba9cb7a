"""`python -m pacs_twisted`: the command line, the same as `pacs-twisted`."""

from pacs_twisted.cli import main

if __name__ == "__main__":
    main()
