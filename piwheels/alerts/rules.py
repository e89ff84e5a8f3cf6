"""The rules of alerts in words: what raises one, what clears it, and what to do about it."""

from typing import NamedTuple

from piwheels.model import AlertRule


class Limits(NamedTuple):
    """A value that raises an alert, and one below which it is cleared."""

    raises: float
    clears: float


class DiskLimits(NamedTuple):
    """The limits of a disk, and from where on it is critical."""

    raises: float
    clears: float
    critical: float = 101.0  # never


#: Percentages of what is used.
DISK = DiskLimits(95.0, 92.0)
MEMORY = Limits(95.0, 90.0)
TREE = DiskLimits(90.0, 88.0, 97.0)
#: Seconds until a disk is full, at its rate of the last hours; a later time is not told.
FULL_IN_S = Limits(86_400.0, 2 * 86_400.0)
SHOWN_FULL_IN_S = 30 * 86_400.0
#: Degrees Celsius.
TEMPERATURE = Limits(80.0, 75.0)
#: How many times as long as its peers' the builds of a builder take.
SLOW = Limits(1.5, 1.3)
#: Seconds between the clocks of a builder and the master, either way.
CLOCK = Limits(60.0, 30.0)
#: The load of the master's machine, per core.
LOAD = Limits(2.0, 1.0)
SILENT_AFTER_S = 60.0
UPSTREAM_WARNS_S, UPSTREAM_RAISES_S = 1800.0, 6 * 3600.0
#: The share of builds that fail, as a multiple of the usual one, of so many builds at least.
FAILING = Limits(2.0, 1.5)
FAILING_BUILDS = 20
#: A smaller usual share counts as this one: a single failure is no alert where none is usual.
LEAST_USUAL_FAILURES = 0.02
#: Minutes that the oldest page of the index has waited.
PAGES = Limits(10.0, 2.0)
#: Minutes that the oldest change of the index has waited to be copied into the bucket.
BUCKET = Limits(15.0, 5.0)
PAUSED_S = 3600.0
#: A key that was refused is told for so long after the last time.
REFUSED_KEY_S = 3600.0
#: A queue that grew by less is no alert.
GROWING_JOBS = 20
#: So many failures of a builder in an hour, without a wheel, are an alert.
BUILDER_FAILURES = 5

_MESSAGE_ARRIVES = "when a message arrives"
_MINUTE = 60.0


class Rule(NamedTuple):
    """A rule in words, and its times.

    The condition has to hold for `hold_s` before it is an alert, and to be gone for `clear_s`
    before the alert is cleared. A text with a value follows it in steps of `step`.
    """

    raises: str  # "from 80C for 5 min"
    clears: str  # "under 75C for 5 min"
    advice: str
    hold_s: float = 0.0
    clear_s: float = 0.0
    step: float = 1.0


RULES: dict[AlertRule, Rule] = {
    AlertRule.DATABASE: Rule(
        "when the database does not answer the master",
        "when it answers",
        "Look at the locks that it names, and at PostgreSQL's log.",
    ),
    AlertRule.NO_JOBS: Rule(
        "when no builder gets a job",
        "when jobs are assigned again",
        "Look at the index and the web root; builders go on by themselves afterwards.",
    ),
    AlertRule.LOST: Rule(
        "when a builder sent no message for so long that its job was queued again",
        _MESSAGE_ARRIVES,
        "Look at its power, its network and its service.",
    ),
    AlertRule.QUARANTINED: Rule(
        "when builds fail because of the builder several times",
        "when it builds again or is woken",
        "Repair what the reason names, then wake it.",
    ),
    AlertRule.UNSERVED: Rule(
        "when jobs wait for 10 min and no builder serves their target",
        "when a builder serves it, or no job waits",
        "Connect a builder for this target, or skip the target.",
        hold_s=10 * _MINUTE,
        step=100.0,
    ),
    AlertRule.TREE: Rule(
        "from 90% used or when it is full in a day at its rate, critical from 97%",
        "under 88%, and full in two days or later",
        "Wheels are not published once it is full: add space.",
    ),
    AlertRule.UPSTREAM: Rule(
        "when the upstream index was not read for 30 min, critical after 6 h",
        "when it was read",
        "New releases are not seen meanwhile. Look at the network and upstream.url.",
        step=5.0,
    ),
    AlertRule.HOT: Rule(
        "from 80C or throttled for 5 min",
        "under 75C and not throttled for 5 min",
        "A hot board builds slowly. Look at its fan and its case.",
        hold_s=5 * _MINUTE,
        clear_s=5 * _MINUTE,
        step=2.0,
    ),
    AlertRule.SLOW: Rule(
        "when the last 10 builds of a builder took 1.5 times as long as other builders', or more",
        "under 1.3 times",
        "Its page says why, as far as it is known: heat, memory, swap.",
        step=0.2,
    ),
    AlertRule.OVERDUE: Rule(
        "when a build takes 3 times as long as the longest of its project, and over 10 min",
        "when the build ends",
        "Look at its log; cancel the build if it stands still.",
        step=5.0,
    ),
    AlertRule.SILENT: Rule(
        "when a builder sent no message for 60 s",
        _MESSAGE_ARRIVES,
        "Look at its network; it is lost if it stays silent.",
    ),
    AlertRule.DISK: Rule(
        "from 95% used, or when it is full in a day at its rate",
        "under 92%, and full in two days or later",
        "Delete what fills the builder's disk.",
    ),
    AlertRule.MEMORY: Rule(
        "from 95% used for 10 min",
        "under 90%",
        "Look at what it builds, and at what else runs there.",
        hold_s=10 * _MINUTE,
        step=2.0,
    ),
    AlertRule.CLOCK: Rule(
        "when a builder's clock differs from the master's by 60 s",
        "under 30 s",
        "Look at its time synchronization: TLS and signatures fail with a wrong clock.",
        step=60.0,
    ),
    AlertRule.FAILING: Rule(
        "when twice the week's share of builds failed in an hour, of 20 builds or more",
        "under 1.5 times the week's share",
        "Look at the causes on the screen Failures.",
        step=5.0,
    ),
    AlertRule.ALL_FAILED: Rule(
        "when 5 builds of a builder or more failed in an hour, and none succeeded",
        "when one succeeds",
        "Look at its last logs; put it to sleep if it is the cause.",
    ),
    AlertRule.GROWING: Rule(
        "when a queue is longer after each of 3 hours, by 20 jobs or more",
        "when it is shorter than an hour before",
        "Connect more builders, or look at why they are slow.",
        step=100.0,
    ),
    AlertRule.MASTER: Rule(
        "from a load of 2 per core for 15 min",
        "under 1 per core for 5 min",
        "Look at what runs on the master's machine.",
        hold_s=15 * _MINUTE,
        clear_s=5 * _MINUTE,
    ),
    AlertRule.ACCESS_LOG: Rule(
        "when it was read since the master started, and is not for 15 min",
        "when it is read",
        "Look at `piw accesslog` and its service: downloads are not counted.",
        hold_s=15 * _MINUTE,
    ),
    AlertRule.PAGES: Rule(
        "when the oldest page of the index has waited for 10 min",
        "under 2 min",
        "Look at the web root and the master's log: installers do not see new wheels meanwhile.",
        step=5.0,
    ),
    AlertRule.BUCKET: Rule(
        "when a change of the index has waited for 15 min to be copied into the bucket",
        "under 5 min",
        "Look at the object storage and its key: who installs from it sees no new wheels.",
        step=5.0,
    ),
    AlertRule.KEYS: Rule(
        "when a peer whose key is not authorized was refused",
        "when none was refused for 1 h",
        "Authorize it: a builder by `piw builder authorize`, a console by `piw key authorize`.",
    ),
    AlertRule.PACKAGES: Rule(
        "when releases wait for Debian packages that no builder has",
        "when a builder has them",
        "Install them on a builder, or build on roots that add packages.",
    ),
    AlertRule.REPLICATION: Rule(
        "when a failover of the database can lose builds that were acknowledged",
        "when commits wait for a standby",
        "Set synchronous_standby_names (Patroni: synchronous_mode), or database.dsn to one host.",
    ),
    AlertRule.PAUSED: Rule(
        "when the farm is paused for an hour",
        "when it is resumed",
        "Resume it: no jobs are assigned meanwhile.",
        step=15.0,
    ),
}
