"""Messages that fetch the files of a build from its builder: FromUploader and ToUploader."""

from piwheels.protocol.message_base import BigInt, FileName, Message, SizeBytes
from piwheels.protocol.messages.builder import Rejected


class UploadOffer(Message, frozen=True, kw_only=True):
    """From the builder: this file of this build can be fetched."""

    build: BigInt
    filename: FileName
    size_bytes: SizeBytes


class FileChunk(Message, frozen=True, kw_only=True):
    """From the builder: a chunk of the offered file; its bytes are the frame that follows."""

    build: BigInt
    filename: FileName
    offset: SizeBytes


FromUploader = UploadOffer | FileChunk


class ChunkRequest(Message, frozen=True, kw_only=True):
    """From the master: send this chunk. Each request is one credit."""

    build: int
    filename: str
    offset: int
    length: int


class UploadComplete(Message, frozen=True, kw_only=True):
    """From the master: the file is complete, or no longer wanted."""

    build: int
    filename: str
    note: str = ""


ToUploader = ChunkRequest | UploadComplete | Rejected
