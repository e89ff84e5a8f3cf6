"""Every message on every socket, as typed unions: one union per direction per socket.

Messages are msgspec structs with a tag, packed as MessagePack with field names. A peer
states PROTOCOL in its first message; another version is rejected with both named. Other
packages import all messages from here.
"""

from piwheels.protocol.commands.alerts import *
from piwheels.protocol.commands.builders import *
from piwheels.protocol.commands.failures import *
from piwheels.protocol.commands.farm import *
from piwheels.protocol.commands.joining import *
from piwheels.protocol.commands.packages import *
from piwheels.protocol.commands.projects import *
from piwheels.protocol.commands.reproductions import *
from piwheels.protocol.message_base import *
from piwheels.protocol.messages.builder import *
from piwheels.protocol.messages.commands import *
from piwheels.protocol.messages.events import *
from piwheels.protocol.messages.logs import *
from piwheels.protocol.messages.replies import *
from piwheels.protocol.messages.status import *
from piwheels.protocol.messages.upload import *
