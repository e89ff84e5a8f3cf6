"""Alerts: what is wrong on the farm, since when, and what operators did about it."""

from datetime import datetime
from enum import StrEnum

from piwheels.model.base import Struct


class AlertRule(StrEnum):
    """What is wrong, in a word or two; in the order in which alerts are listed."""

    DATABASE = "database"  # the database keeps the master waiting
    NO_JOBS = "no-jobs"  # no builder gets a job, and nobody paused the farm
    LOST = "lost"
    QUARANTINED = "quarantined"
    UNSERVED = "unserved"  # jobs, and no builder for their target
    TREE = "tree"  # the disk of the web root
    UPSTREAM = "upstream"  # the upstream index is not read
    HOT = "hot"
    SLOW = "slow"  # against its peers
    OVERDUE = "overdue"
    SILENT = "silent"
    DISK = "disk"  # of a builder
    MEMORY = "memory"
    CLOCK = "clock"  # differs from the master's
    FAILING = "failing"  # builds of the farm or of a target
    ALL_FAILED = "all-failed"  # builds of a builder
    GROWING = "growing"  # a queue
    MASTER = "master"  # the load of its machine
    ACCESS_LOG = "access-log"  # is not read
    PAGES = "pages"  # of the index that wait
    BUCKET = "bucket"  # lags behind the web root
    KEYS = "keys"  # that were refused
    PACKAGES = "packages"  # that no builder has
    REPLICATION = "replication"  # a failover can lose builds
    PAUSED = "paused"


class Severity(StrEnum):
    """How bad an alert is."""

    CRITICAL = "critical"  # it needs a person now
    WARNING = "warning"  # it is unusual


class AlertState(StrEnum):
    """Whether an alert is listed, and where."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    MUTED = "muted"
    CLEARED = "cleared"


class AlertScope(StrEnum):
    """What an alert is about."""

    BUILDER = "builder"
    TARGET = "target"
    FARM = "farm"


_OF_TARGETS = frozenset({AlertRule.UNSERVED, AlertRule.GROWING, AlertRule.FAILING})


class Alert(Struct, frozen=True, kw_only=True):
    """One alert. Its text is safe to print; a duration in it follows in steps of minutes."""

    #: "hot:pi-17", "upstream": the same for the next alert of this rule and subject.
    alert_id: str
    rule: AlertRule
    severity: Severity
    subject: str  # a builder, a target, or a part of the farm
    since: datetime
    text: str
    value: float | None = None  # as last shown in the text, in the rule's unit
    worst: float | None = None  # the value that was furthest from good
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    muted_by: str = ""
    muted_until: datetime | None = None
    note: str = ""  # of the operator who acknowledged or muted it
    cleared_at: datetime | None = None

    @property
    def state(self) -> AlertState:
        """Whether it counts."""
        if self.cleared_at is not None:
            return AlertState.CLEARED
        if self.muted_until is not None:
            return AlertState.MUTED
        return AlertState.ACKNOWLEDGED if self.acknowledged_by else AlertState.ACTIVE

    @property
    def scope(self) -> AlertScope:
        """Whether it is about a builder, a target or the farm."""
        if ":" not in self.alert_id:
            return AlertScope.FARM
        return AlertScope.TARGET if self.rule in _OF_TARGETS else AlertScope.BUILDER

    @property
    def is_critical(self) -> bool:
        """Whether it needs a person now."""
        return self.severity is Severity.CRITICAL
