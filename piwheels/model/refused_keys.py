"""Keys that the master refused a connection."""

from datetime import datetime

from piwheels.model.base import Struct


class RefusedKey(Struct, frozen=True):
    """A public key that is not authorized, and when it was refused last."""

    role: str  # what its peer wanted to be: builder, console
    public: str
    refused_at: datetime
    address: str = ""  # the IP address of its peer at that time
