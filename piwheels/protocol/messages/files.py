"""How the files of a build are fetched from its builder: FromSender and ToSender."""

from piwheels.protocol.messages.basics import FileName, Message, Number, SizeBytes
from piwheels.protocol.messages.building import Refused


class Offer(Message, frozen=True, kw_only=True):
    """Builder: this file of this build can be fetched from me."""

    build: Number
    filename: FileName
    size_bytes: SizeBytes


class Chunk(Message, frozen=True, kw_only=True):
    """Builder: a piece of the offered file; its bytes are the frame that follows."""

    build: Number
    filename: FileName
    offset: SizeBytes


FromSender = Offer | Chunk


class Fetch(Message, frozen=True, kw_only=True):
    """Master: send me this piece. Each is one credit; the sender keeps none unanswered."""

    build: int
    filename: str
    offset: int
    length: int


class Fetched(Message, frozen=True, kw_only=True):
    """Master: the file is complete, or is no longer wanted."""

    build: int
    filename: str
    note: str = ""


ToSender = Fetch | Fetched | Refused
