"""`piw`, and `python -m piwheels`: an interrupt while it is still loading ends it quietly."""

import sys


def main() -> None:
    """Load the command line, and run it."""
    try:
        from piwheels.cli.main import main as run  # noqa: PLC0415 - loading is what may be interrupted
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
