"""The table of parsers that read bytes from outside, by subject."""

from tests.fuzz.archive_targets import ARCHIVE_TARGETS
from tests.fuzz.index_targets import INDEX_TARGETS
from tests.fuzz.message_targets import MESSAGE_TARGETS
from tests.fuzz.text_targets import TEXT_TARGETS

TARGETS = (*INDEX_TARGETS, *ARCHIVE_TARGETS, *MESSAGE_TARGETS, *TEXT_TARGETS)
