"""The roles on the control socket: watch, operate and administer."""

from enum import StrEnum


class ControlRole(StrEnum):
    """What a caller may do; each role includes those before it. Every command needs one of them."""

    WATCH = "watch"
    OPERATE = "operate"
    ADMINISTER = "administer"

    def includes(self, needed: "ControlRole") -> bool:
        """Whether who has this role may do what needs another one."""
        order = list(ControlRole)
        return order.index(self) >= order.index(needed)


#: What a role adds to the one before it, for `--help` and the documents.
ROLE_SUMMARIES = {
    ControlRole.WATCH: "Read everything; change nothing.",
    ControlRole.OPERATE: "The daily work: what can be undone, or is done again by the farm.",
    ControlRole.ADMINISTER: "What deletes, stops the master, or changes what is built and trusted.",
}
