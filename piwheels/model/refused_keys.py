"""Keys that the master refused a connection, and builders that wait for an operator."""

from datetime import datetime

from piwheels.model.base import Struct


class RefusedKey(Struct, frozen=True):
    """A public key that is not authorized, and when it was refused last.

    With a name it is a builder's that joined by an invitation and waits for an operator.
    """

    role: str  # what its peer wanted to be: builder, console
    public: str
    refused_at: datetime
    address: str = ""  # the IP address of its peer at that time
    name: str = ""  # that its builder will have
