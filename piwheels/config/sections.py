"""The settings: every key with its type, default and description."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]

PositiveInt = Annotated[int, Meta(ge=1)]

NonNegativeInt = Annotated[int, Meta(ge=0)]

#: A hundred years: dates that lie so far back can still be written.
Days = Annotated[int, Meta(ge=0, le=36_500)]

PositiveDays = Annotated[int, Meta(ge=1, le=36_500)]

Months = Annotated[int, Meta(ge=0, le=1_200)]

PositiveSeconds = Annotated[float, Meta(gt=0)]

NonNegativeSeconds = Annotated[float, Meta(ge=0)]

#: A package, suite or component; never an option of apt.
AptWord = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:/=~_-]*\Z", max_length=200)]

#: `s3://BUCKET`, or `s3://BUCKET/PREFIX`; "" for none.
BucketTarget = Annotated[
    str, Meta(pattern=r"^(s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9_~./-]*)?)?\Z")
]


def _doc(description: str) -> Meta:
    return Meta(description=description)


def _metrics_doc(whose: str) -> Meta:
    return _doc(
        f"Address of `/metrics` for Prometheus with the figures of {whose}; unencrypted, for "
        "everybody who can connect. Empty: none."
    )


class DatabaseSection(msgspec.Struct, frozen=True):
    """The PostgreSQL database of the farm."""

    dsn: Annotated[
        str,
        _doc(
            "Connection string or URL of PostgreSQL (libpq). It may name several hosts; the one "
            "that accepts writes is used (`target_session_attrs=read-write` need not be given), "
            "and of several the one that was promoted last. A connection pooler must keep sessions."
        ),
    ] = "postgresql:///piwheels"


class WebrootSection(msgspec.Struct, frozen=True):
    """The files that the web server serves."""

    root: Annotated[Path, _doc("Directory that the web server serves.")] = Path("/var/www/piwheels")
    url: Annotated[
        str, _doc("Its address as clients reach it; used in texts and redirects only.")
    ] = "http://localhost/"
    deletion_delay_s: Annotated[
        NonNegativeSeconds,
        _doc("How long a removed wheel stays on disk, for clients that read an older page."),
    ] = 300.0
    project_list_interval_s: Annotated[
        NonNegativeSeconds, _doc("Minimum interval between writes of the list of all projects.")
    ] = 60.0


class PublishSection(msgspec.Struct, frozen=True):
    """A copy of the web root in object storage (docs/object-storage.md); needs the extra `s3`."""

    target: Annotated[
        BucketTarget,
        _doc(
            "Bucket that the master copies the web root into, `s3://BUCKET` or "
            "`s3://BUCKET/PREFIX`. Empty: none."
        ),
    ] = ""
    endpoint: Annotated[
        str,
        _doc("Address of the object storage. Empty: that of Amazon S3, or $AWS_ENDPOINT_URL."),
    ] = ""
    region: Annotated[
        str, _doc("Region of the bucket. Empty: $AWS_REGION, or that of the endpoint.")
    ] = ""
    credentials_file: Annotated[
        Path | None,
        _doc(
            "File with the key of the bucket, as the tools of AWS have it (`[default]`, "
            "`aws_access_key_id`, `aws_secret_access_key` and, of a temporary key, "
            "`aws_session_token`). Without one: the variables $AWS_ACCESS_KEY_ID, "
            "$AWS_SECRET_ACCESS_KEY and $AWS_SESSION_TOKEN."
        ),
    ] = None
    max_requests: Annotated[
        PositiveInt, _doc("Maximum number of objects that are copied at the same time.")
    ] = 16


class SiteSection(msgspec.Struct, frozen=True):
    """What the web site says about the farm; `piw pages rebuild` writes all pages again."""

    name: Annotated[str, _doc("Name of the farm, in the header and the titles of pages.")] = (
        "piwheels"
    )
    operator: Annotated[
        str, _doc("Who runs the farm, in the footer of each page. Empty: not said.")
    ] = ""
    contact: Annotated[
        str,
        _doc("How to reach the operator: a URL, or an e-mail address. Empty: not said."),
    ] = ""
    request_url: Annotated[
        str, _doc("Page where visitors ask for a project (http or https). Empty: the contact.")
    ] = ""
    notice: Annotated[
        str, _doc("A sentence at the top of each page, such as planned maintenance. Empty: none.")
    ] = ""


class MasterSection(msgspec.Struct, frozen=True):
    """The sockets and directories of the master daemon, and its rules for builds."""

    control_bind: Annotated[
        str, _doc("ZeroMQ address of the control socket, for `piw` and consoles on this machine.")
    ] = "ipc:///run/piwheels/control.sock"
    control_tcp_bind: Annotated[
        str,
        _doc(
            "Address for consoles on other machines, such as `tcp://*:5554`; always encrypted, and "
            "only for authorized keys. Empty: none."
        ),
    ] = ""
    control_group_role: Annotated[
        Literal["watch", "operate", "administer"],
        _doc(
            "What the members of the control socket's group may do; root and the master's own "
            "account administer."
        ),
    ] = "administer"
    builder_bind: Annotated[str, _doc("Address that builders connect to.")] = "tcp://*:5555"
    upload_bind: Annotated[str, _doc("Address that builders upload wheels to.")] = "tcp://*:5556"
    key_dir: Annotated[
        Path, _doc("Directory of the master's key pair and of the authorized keys.")
    ] = Path("/var/lib/piwheels/keys")
    spool_dir: Annotated[
        Path,
        _doc(
            "Directory of logs of running builds, of uploads, and of files that were moved aside."
        ),
    ] = Path("/var/lib/piwheels/spool")
    builder_timeout_s: Annotated[
        PositiveSeconds,
        _doc("A builder that sends nothing for this long is lost; its build is queued again."),
    ] = 300.0
    retry_delay_s: Annotated[
        NonNegativeSeconds,
        _doc("Delay before a failed build is retried; doubled for each further attempt."),
    ] = 600.0
    max_attempts: Annotated[
        PositiveInt, _doc("Attempts after which a retryable failure becomes final.")
    ] = 3
    quarantine_after: Annotated[
        NonNegativeInt,
        _doc(
            "A builder is quarantined after this many consecutive builds that failed because of "
            "the builder itself. 0: never."
        ),
    ] = 3
    reproduce_percent: Annotated[
        float,
        Meta(ge=0, le=100),
        _doc(
            "Percentage of successful builds that are built again when a builder is idle, on "
            "another builder where there is one; the wheels are compared (docs/provenance.md). "
            "0: none."
        ),
    ] = 0.0
    recipes: Annotated[
        str,
        _doc(
            "Folder of recipes, or address of a git repository of them, that the master follows "
            "(docs/recipes.md). Empty: none; stored recipes stay in use."
        ),
    ] = ""
    rebuild_after_root_update: Annotated[
        Literal["never", "failed", "all"],
        _doc(
            "What is built again after a root was updated (`piw root update`) on all of its "
            "builders: nothing, `failed` (final failures that the system may have a part in), or "
            "`all` (these, and wheels with compiled code). New releases are built first."
        ),
    ] = "never"
    require_provenance: Annotated[
        bool,
        _doc(
            "Do not start where wheels cannot be signed because the Python package cryptography "
            "is missing. `false`: publish them unsigned, and sign them once it is there."
        ),
    ] = True
    recipe_interval_s: Annotated[PositiveSeconds, _doc("How often the recipes are read.")] = 60.0
    event_retention_days: Annotated[
        Days, _doc("How long the audit log (`piw events`) is kept. 0: forever.")
    ] = 400
    standby: Annotated[
        bool,
        _doc(
            "Wait while another master uses the database, and take over when it is gone "
            "(docs/high-availability.md)."
        ),
    ] = False
    metrics_bind: Annotated[str, _metrics_doc("the farm")] = "127.0.0.1:9461"


class UpstreamSection(msgspec.Struct, frozen=True):
    """The index that releases are taken from."""

    url: Annotated[
        str, _doc("Its Simple API URL. Empty: the index that pip uses on this machine.")
    ] = ""
    crates: Annotated[
        str,
        _doc(
            "Address of a cargo sparse registry, without `sparse+`, whose crates builds may use. "
            "Empty: builds get no crates but those in their sdists."
        ),
    ] = ""
    method: Annotated[
        Literal["auto", "changelog", "poll"],
        _doc(
            "How new releases are found: from the index's changelog, by polling every followed "
            "project, or `auto`: the changelog where there is one."
        ),
    ] = "auto"
    poll_interval_s: Annotated[
        PositiveSeconds, _doc("How often each followed project is polled.")
    ] = 900.0
    follow_all: Annotated[
        bool,
        _doc(
            "Follow every project of the index, not only those added with `piw add`: first those "
            "of its list of all projects, then those that its changelog names."
        ),
    ] = False
    wheels: Annotated[
        Literal["build", "missing", "mirror"],
        _doc(
            "What wheels of the upstream count for. `build`: nothing, every target is built. "
            "`missing`: a target that one of them covers is not built, installers take it from the "
            "upstream. `mirror`: neither is it built, and that wheel is published here as it is."
        ),
    ] = "build"
    mirror_max_wheel_mb: Annotated[
        Annotated[int, Meta(ge=1, le=4096)],
        _doc("Larger wheels of the upstream are not mirrored."),
    ] = 500
    mirror_min_free_disk_mb: Annotated[
        NonNegativeInt,
        _doc("No wheels are mirrored while the disk of the web root or spool has less free space."),
    ] = 2048
    max_requests: Annotated[
        PositiveInt, _doc("Maximum number of pages requested at the same time.")
    ] = 20
    removal_retention_days: Annotated[
        Days,
        _doc("How long a release that was removed upstream is kept here, hidden."),
    ] = 30


class BuilderSection(msgspec.Struct, frozen=True):
    """One builder: its master, what it builds for, and the limits of a build."""

    master: Annotated[
        str,
        _doc(
            "Host name or address of the master, or HOST:PORT, or HOST:PORT:UPLOAD_PORT. Several, "
            "separated by commas, are a master and its standbys: the one that runs is used."
        ),
    ] = "localhost"
    master_port: Annotated[Port, _doc("Port of `master.builder_bind`.")] = 5555
    upload_port: Annotated[Port, _doc("Port of `master.upload_bind`.")] = 5556
    master_key: Annotated[
        str,
        _doc(
            "The master's public key; of several masters either one for all, or one of each, "
            "separated by commas. Empty: it is read from `key_dir`."
        ),
    ] = ""
    key_dir: Annotated[Path, _doc("Directory of the builder's key pair.")] = Path(
        "/var/lib/piwheels/keys"
    )
    key_name: Annotated[str, _doc("Name of that key pair.")] = "builder"
    join_token: Annotated[
        str,
        _doc(
            "A token, as `piw builder join --at-start` writes it: a machine that did not join yet "
            "does so at its start, and so does each one with a copy of its disk."
        ),
    ] = ""
    interpreters: Annotated[
        tuple[str, ...],
        _doc(
            "Python interpreters to build for, by name or path. Empty: the one that runs `piw`. In "
            "the environment variable they are separated by commas."
        ),
    ] = ()
    machine: Annotated[
        Literal["", "armv6l"],
        _doc(
            "Architecture to build for, if not that of the interpreters: 32-bit Raspberry Pi OS, "
            "whose compiler is for ARMv6, can build for the Pi Zero and Pi 1."
        ),
    ] = ""
    work_dir: Annotated[Path, _doc("Directory of builds and of the download cache.")] = Path(
        "/var/lib/piwheels/builder"
    )
    pip_index_url: Annotated[
        str,
        _doc(
            "Index that builds take pip from if the upstream index has none. Empty: the index that "
            "pip uses on this machine."
        ),
    ] = ""
    farm_index_url: Annotated[
        str,
        _doc("This farm's own Simple API URL, which builds use besides the upstream. Empty: none."),
    ] = ""
    build_timeout_s: Annotated[PositiveSeconds, _doc("Time limit of a build.")] = 3 * 3600.0
    max_memory_mb: Annotated[
        NonNegativeInt, _doc("Memory limit of a build. 0: three quarters of the machine's memory.")
    ] = 0
    max_file_mb: Annotated[
        PositiveInt, _doc("Largest file that a build may write, or that is downloaded for it.")
    ] = 4096
    max_processes: Annotated[PositiveInt, _doc("Maximum number of processes of a build.")] = 1024
    min_free_disk_mb: Annotated[
        NonNegativeInt, _doc("A build that leaves less free disk space than this is canceled.")
    ] = 256
    max_cache_mb: Annotated[NonNegativeInt, _doc("Size limit of the download cache.")] = 1024
    import_check: Annotated[
        Literal["off", "warn", "refuse"],
        _doc(
            "Import the modules of each wheel in a clean sandbox after its build. `warn`: a wheel "
            "that cannot be imported is published, and its page says so; `refuse`: the build fails."
        ),
    ] = "warn"
    sandbox: Annotated[
        bool,
        _doc("Build in a bubblewrap sandbox. Without it, build only code that you trust."),
    ] = True
    extra_readonly_paths: Annotated[
        tuple[Path, ...],
        _doc(
            "Further paths that a build may read. In the environment variable, separate them "
            "with commas."
        ),
    ] = ()
    path: Annotated[
        tuple[Path, ...],
        _doc(
            "Directories of programs for builds, before those of the system, such as the `bin` of "
            "a newer Rust; what is beside a `bin` can be read, too. Outside of /usr. They are not "
            "used where the processor is emulated. In the environment variable, separate them with "
            "commas."
        ),
    ] = ()
    roots: Annotated[
        tuple[str, ...],
        _doc(
            "Roots to build on, presets or `[root.NAME]`, instead of this machine's own system "
            "(`piw root add`). `host` is this system. None: this system alone."
        ),
    ] = ()
    roots_dir: Annotated[
        Path | None,
        _doc(
            "Directory of roots, package layers and downloaded packages. Without one: "
            "`/var/lib/piwheels/roots` for root, else `piwheels/roots` in the user's cache."
        ),
    ] = None
    max_roots_mb: Annotated[
        PositiveInt,
        _doc("Size limit of `roots_dir`; what was not used for longest is deleted, except roots."),
    ] = 20_480
    debian_mirror_url: Annotated[
        str,
        _doc(
            "Mirror that presets of roots take Debian from: it has `debian` and `debian-security`."
        ),
    ] = "http://deb.debian.org"
    metrics_bind: Annotated[str, _metrics_doc("this builder")] = "127.0.0.1:9462"


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Debian archive that roots are made from."""

    url: Annotated[str, Meta(pattern=r"^(https?|file)://[^\s\[\]]+\Z")]
    suites: Annotated[tuple[AptWord, ...], Meta(min_length=1)]
    components: Annotated[tuple[AptWord, ...], Meta(min_length=1)] = ("main",)
    keyring: Path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class RootSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The root NAME that builds run on; a preset has all of it (`piw root list` names them)."""

    preset: Annotated[str, _doc("The preset to start from. Empty: the one with this NAME.")] = ""
    folder: Annotated[
        Path | None,
        _doc("A root that was made otherwise, by mmdebstrap, debootstrap or a container export."),
    ] = None
    arch: Annotated[
        Literal["", "amd64", "arm64", "armhf", "riscv64"],
        _doc("Debian's name of its architecture."),
    ] = ""
    archives: Annotated[
        tuple[Archive, ...],
        _doc("Tables with `url`, `suites`, `components` and the path of a `keyring`."),
    ] = ()
    packages: Annotated[
        tuple[AptWord, ...],
        _doc("Debian packages besides a compiler, Python's headers and pkg-config."),
    ] = ()
    interpreters: Annotated[
        tuple[str, ...], _doc("Its Python interpreters, by name or path. None: `python3`.")
    ] = ()
    cpu: Annotated[
        str,
        _doc("Processor that qemu emulates, such as `arm1176`. Empty: one of the architecture."),
    ] = ""
    machine: Annotated[
        Literal["", "armv6l"], _doc("Machine of wheel tags, if not that of its interpreters.")
    ] = ""


class PoolSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pool NAME of builders that a batch system runs while there is work for them."""

    targets: Annotated[
        tuple[str, ...],
        _doc("Names of the targets that its builders serve, with `*` and `?` as wildcards."),
    ] = ("*",)
    memory_mb: Annotated[
        PositiveInt,
        _doc(
            "Memory limit of a build. Jobs that need more go to a pool with more memory; if no "
            "pool has enough, to the largest one."
        ),
    ] = 2048
    max_builders: Annotated[
        Annotated[int, Meta(ge=0, le=1000)],
        _doc("Maximum number of builders. 0: those that run are drained, and none is started."),
    ] = 10
    jobs_per_builder: Annotated[
        PositiveInt, _doc("How many waiting jobs one builder is started for.")
    ] = 2
    options: Annotated[
        tuple[str, ...],
        _doc("Options of `sbatch` for its builders, such as `--partition=arm64`."),
    ] = ()


class AccessLogSection(msgspec.Struct, frozen=True):
    """What `piw accesslog` keeps."""

    retention_months: Annotated[
        Months,
        _doc(
            "How long single accesses are kept, in months before the current one; totals are kept "
            "forever. 0: single accesses are not kept."
        ),
    ] = 13
    parquet_after_days: Annotated[
        Days,
        _doc(
            "After how many days the single accesses of a whole month are moved from the database "
            "to Parquet files, a file for each day; needs the extra `stats`. 0: never."
        ),
    ] = 0
    parquet_dir: Annotated[
        Path,
        _doc("Directory of these files; with `parquet_target`, of the day that is being moved."),
    ] = Path("/var/lib/piwheels/accesses")
    parquet_target: Annotated[
        BucketTarget,
        _doc(
            "Bucket that the files are moved into, `s3://BUCKET` or `s3://BUCKET/PREFIX`, which "
            "nobody else may read; its server and key are those of `[publish]`. Empty: they stay "
            "in `parquet_dir`."
        ),
    ] = ""
    spool_dir: Annotated[
        Path, _doc("Directory for lines read from a pipe that are not in the database yet.")
    ] = Path("/var/lib/piwheels/accesslog")
    spool_max_mb: Annotated[
        NonNegativeInt,
        _doc(
            "Size limit of `spool_dir`; while the database is unavailable, lines beyond it are "
            "dropped."
        ),
    ] = 1024
    metrics_bind: Annotated[str, _metrics_doc("this reader")] = "127.0.0.1:9463"


class RetentionSection(msgspec.Struct, frozen=True):
    """What the master deletes once a day; `piw retention --dry-run` says how much that is."""

    releases_per_project: Annotated[
        NonNegativeInt,
        _doc(
            "How many releases of a project keep their wheels, the newest first. Those of older "
            "ones are removed, unless they are in use or have no sdist, and are not built again; "
            "their names stay reserved. 0: all."
        ),
    ] = 0
    releases_used_days: Annotated[
        PositiveDays,
        _doc(
            "An older release is in use if a wheel of it was downloaded or published within so "
            "many days. Nothing is removed unless access logs were read all that time (`piw "
            "accesslog`), but for a tenth of the days."
        ),
    ] = 90
    log_days: Annotated[
        Days,
        _doc(
            "How long logs of builds are kept. The last one of a release for each target, and "
            "those of published wheels, are kept regardless. 0: forever."
        ),
    ] = 0
    moved_aside_days: Annotated[
        Days,
        _doc(
            "How long files are kept that `piw audit` and `piw db restore` moved out of the web "
            "root. 0: forever."
        ),
    ] = 0


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, merged."""

    database: DatabaseSection = DatabaseSection()
    webroot: WebrootSection = WebrootSection()
    publish: PublishSection = PublishSection()
    site: SiteSection = SiteSection()
    master: MasterSection = MasterSection()
    upstream: UpstreamSection = UpstreamSection()
    builder: BuilderSection = BuilderSection()
    accesslog: AccessLogSection = AccessLogSection()
    retention: RetentionSection = RetentionSection()
    root: dict[str, RootSection] = {}
    pool: dict[str, PoolSection] = {}


def path_hook(target_type: type, raw: object) -> object:
    """Convert the text of a path, for msgspec."""
    if target_type is Path and isinstance(raw, (str, Path)):
        try:
            return Path(raw).expanduser()
        except RuntimeError:
            raise TypeError(f"the home directory in {str(raw)!r} is unknown") from None
    raise TypeError(f"expected a path, got {type(raw).__name__}")
