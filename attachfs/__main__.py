"""Entry point of `attachfs` and `python -m attachfs`."""

from attachfs.cli.app import main

if __name__ == "__main__":
    main()
