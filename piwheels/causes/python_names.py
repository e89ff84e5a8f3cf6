"""Names that former versions of Python had, and that current ones lack."""

import sys

#: Modules that Python 3.8 to 3.14 removed.
REMOVED_MODULES = frozenset(
    """
    distutils imp asyncore asynchat smtpd lib2to3 parser formatter symbol binhex macpath
    dummy_threading _dummy_thread _dummy_threading _bootlocale aifc audioop cgi cgitb chunk crypt
    imghdr mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau telnetlib uu xdrlib
    tkinter.tix asyncio.compat asyncio.coroutine xml.etree.cElementTree importlib.resources.abc
    fpectl collections.Mapping
    """.split()  # noqa: SIM905 - a table is read more easily
)
#: Modules of Python 2.
PYTHON2_MODULES = frozenset(
    """
    ConfigParser Queue urllib2 urlparse StringIO cStringIO commands __builtin__ HTMLParser httplib
    cPickle Tkinter tkMessageBox tkFileDialog sets md5 sha new thread exceptions xmlrpclib
    SimpleXMLRPCServer cookielib Cookie UserDict UserList SocketServer BaseHTTPServer
    SimpleHTTPServer CGIHTTPServer dircache popen2 itertools.izip htmlentitydefs copy_reg
    robotparser repr mimetools rfc822 mimify compiler anydbm whichdb dbhash gdbm bsddb Dialog
    user dumbdbm _winreg compiler.ast os.getcwdu
    """.split()  # noqa: SIM905
)
#: Builtins of Python 2.
PYTHON2_BUILTINS = frozenset(
    """
    unicode execfile raw_input xrange file reduce basestring long unichr cmp apply buffer intern
    coerce reload StandardError
    """.split()  # noqa: SIM905
)
#: Modules that setuptools has, and had: none of them is another project.
SETUPTOOLS_MODULES = ("setuptools", "pkg_resources", "distutils", "_distutils_hack")

_STDLIB = frozenset(sys.stdlib_module_names) | REMOVED_MODULES


def is_stdlib(module: str) -> bool:
    """Whether a module is or was part of Python's standard library."""
    return module.partition(".")[0] in _STDLIB


def is_removed_module(module: str) -> bool:
    """Whether a module was part of Python, and is no longer."""
    names = {module, module.partition(".")[0]}
    return bool(names & (REMOVED_MODULES | PYTHON2_MODULES)) or (
        is_stdlib(module) and "." in module
    )
