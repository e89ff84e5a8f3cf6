"""`python -m piwheels` is `piw`."""

from piwheels.cli import main

if __name__ == "__main__":
    main()
