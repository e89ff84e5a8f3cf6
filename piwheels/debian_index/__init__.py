"""Which Debian packages have a header, library, pkg-config file, program or CMake configuration.

One table for each Debian release is part of the package (data/, made by `make`). Raspberry Pi OS
has the packages of the Debian release with the same code name.
"""

from piwheels.debian_index.lookup import DebianIndex, load_index, releases

__all__ = ["DebianIndex", "load_index", "releases"]
