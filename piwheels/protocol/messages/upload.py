"""How the files of a build are fetched from its builder: FromSender and ToSender."""

from piwheels.protocol.message_base import BigInt, FileName, Message, SizeBytes
from piwheels.protocol.messages.builder import Rejected


class UploadOffer(Message, frozen=True, kw_only=True):
    """Builder: this file of this build can be fetched from me."""

    build: BigInt
    filename: FileName
    size_bytes: SizeBytes


class FileChunk(Message, frozen=True, kw_only=True):
    """Builder: a piece of the offered file; its bytes are the frame that follows."""

    build: BigInt
    filename: FileName
    offset: SizeBytes


FromUploader = UploadOffer | FileChunk


class ChunkRequest(Message, frozen=True, kw_only=True):
    """Master: send me this piece. Each is one credit; the sender keeps none unanswered."""

    build: int
    filename: str
    offset: int
    length: int


class UploadComplete(Message, frozen=True, kw_only=True):
    """Master: the file is complete, or is no longer wanted."""

    build: int
    filename: str
    note: str = ""


ToUploader = ChunkRequest | UploadComplete | Rejected
