"""Every message on every socket, as typed unions: one union per direction per socket.

Messages are msgspec structs with a tag, packed as MessagePack with field names. A peer
states PROTOCOL in its first message; another version is refused with both named. Whoever
speaks imports them from here: which file a message lies in is the business of this room.
"""

from piwheels.protocol.messages.base import *
from piwheels.protocol.messages.builder import *
from piwheels.protocol.messages.commands import *
from piwheels.protocol.messages.events import *
from piwheels.protocol.messages.replies import *
from piwheels.protocol.messages.status import *
from piwheels.protocol.messages.upload import *
