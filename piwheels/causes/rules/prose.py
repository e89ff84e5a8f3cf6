"""Messages of projects about software that is not installed, in their own words."""

import re

from piwheels.causes.missing import Missing, MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

#: Software by the words for it in messages, in lower case.
SOFTWARE = frozenset(
    """
    libxml2 libxslt xmlsec xmlsec1 openssl libssl libcrypto mysql mariadb mysqlclient postgresql
    postgres libpq hdf5 libhdf5 netcdf netcdf4 blas lapack atlas openblas fftw fftw3 gmp mpfr mpc
    ffi libffi zlib bzip2 lzma liblzma jpeg libjpeg png libpng tiff libtiff freetype freetype2
    webp libwebp sdl sdl2 portaudio alsa pulseaudio jack sndfile libsndfile ffmpeg libav opencv
    gdal geos proj boost boost_python qt qt5 gtk gtk3 cairo pango gobject-introspection dbus
    dbus-1 libdbus systemd libsystemd bluez bluetooth libbluetooth libusb usb libudev udev ldap openldap
    libldap sasl libsasl kerberos krb5 gssapi snappy leveldb rocksdb zmq libzmq zeromq curl libcurl
    sqlite sqlite3 berkeleydb libdb lmdb unixodbc odbc freetds magic libmagic graphviz cgraph
    tesseract leptonica yaml libyaml protobuf llvm jdk jni mpi openmpi mpich igraph suitesparse
    umfpack glpk gsl eigen eigen3 enchant cups pcap libpcap nfqueue libnetfilter_queue seccomp
    libseccomp libvirt augeas attr libattr acl libacl xattr cap libcap fuse fuse3 libfuse readline
    libreadline ncurses libncurses ncursesw gpgme gnutls nettle sodium libsodium secp256k1
    libsecp256k1 nacl re2 pcre pcre2 oniguruma icu libicu hunspell aspell espeak speex speexdsp opus
    vorbis flac mad lame mpg123 portmidi rtmidi asound glib glib-2.0 girepository-1.0 poppler
    poppler-cpp imagemagick magickwand graphicsmagick raw libraw exiv2 heif libheif avif lcms2
    openjpeg openjp2 xft x11 libx11 xcb opengl glu glew glut freeglut glfw egl vulkan wayland
    hidapi cffi ev libev event libevent uv libuv nghttp2 ares c-ares libssh libssh2 git2 libgit2
    apr subversion rrd rrdtool snmp net-snmp netsnmp lirc gphoto2 libgphoto2 pgm isl ppl
    tk tcl tcltk tkinter swig talloc samba smbclient libsmbclient wiredtiger thrift grpc
    rdkafka librdkafka libpcre cdio libcdio discid libdiscid chromaprint bladerf rtlsdr
    spatialindex libspatialindex spatialite libspatialite sundials ipopt coinor cbc cln
    ginac ntl flint arb pari libpari suite-sparse metis scotch mumps superlu zstd libzstd lz4
    liblz4 brotli blosc lzo lzo2 isal archive libarchive udunits udunits2 eccodes grib_api gribapi jasper
    """.split()  # noqa: SIM905 - a table is read more easily
)
_WORD = re.compile(r"[A-Za-z][\w+.-]*\w")
_MISSING = (
    r"(?:not (?:be )?(?:found|installed|available|present|located)|(?:not|n't|annot) (?:find|locate|load)"
    r"|(?:nable|ailed) to (?:find|locate|load)|missing|(?:is|are) (?:required|needed)|needed|ust (?:be installed|have|install)"
    r"|ust first install|lease (?:\w+ ){0,3}install|eed to (?:be installed|install|have)"
    r"|ou need|ry installing|o .{1,30} found|make sure .{1,80}installed|(?:apt|apt-get|yum|dnf|brew) "
    r"(?:-y )?install|not on your system|requires .{1,40}(?:librar|header|devel))"
)

RULES = (
    rule(
        "required-packages",
        "required packages can not be built",
        r"[Tt]he following required packages can ?not be built:",
        C.MISSING_PACKAGE,
        Rank.PRECISE,
        kind=MissingKind.SOFTWARE,
    ),
    rule(
        "apt-install",
        ("apt-get install", "apt install", "aptitude install"),
        r"\b(?:apt|apt-get|aptitude) (?:-y |--\S+ )*install (?:-y |--\S+ )*(?P<name>[a-z0-9][\w.+-]+)",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.SOFTWARE,
        weight=7,
    ),
    rule(
        "software",
        (
            "ot find",
            "ot found",
            "ot be found",
            "ot installed",
            "issing",
            "equire",
            "nstall",
            "ocate",
            "eed ",
            "ot load",
            "ot available",
            "ound",
            "ailed to ",
        ),
        _MISSING,
        None,
        Rank.HINT,
        kind=MissingKind.SOFTWARE,
        weight=7,
        prefer_last=True,
    ),
)


def software_in(text: str) -> tuple[Missing, ...]:
    """The software that a message names, in its order."""
    names: dict[str, None] = {}
    for word in _WORD.findall(text):
        bare = word.lower().removesuffix("-dev").removesuffix("-devel")
        if bare in SOFTWARE:
            names[bare] = None
        elif word.endswith("-dev"):
            names[word] = None  # as Debian calls its packages
    return tuple(Missing(MissingKind.SOFTWARE, name) for name in names)


_MISSING_PATTERN = re.compile(_MISSING)
_CANDIDATE = re.compile(r"[A-Za-z][\w+./-]*\w")
_COMMON_WORDS = frozenset(
    """
    the and for not found find could cannot can unable missing library libraries header headers
    development files file package packages required requires require please install installed
    must with you need error runtimeerror exception systemexit this that from version build
    building python setup make sure have been your system check are was be to of in is it or on
    support module modules configure cmake include directory path set environment variable
    valid proper suitable any working name names pkg-config executable command output value version
    """.split()  # noqa: SIM905
)
_MAX_WORDS = 12


def named_in(text: str) -> tuple[str, ...] | None:
    """The words of a message that something is missing; None if it does not say that."""
    if not _MISSING_PATTERN.search(text):
        return None
    words = [word for word in _CANDIDATE.findall(text) if word.lower() not in _COMMON_WORDS]
    return tuple(dict.fromkeys(words))[:_MAX_WORDS]
