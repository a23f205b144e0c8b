"""Run the command line: python -m edge_fm."""

from edge_fm.cli import main

if __name__ == "__main__":
    main()
