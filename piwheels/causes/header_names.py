"""Names of headers that no package of Debian would repair, and why."""

#: Headers of other processors, compilers and operating systems.
FOREIGN_HEADERS = frozenset(
    """
    immintrin.h xmmintrin.h emmintrin.h pmmintrin.h tmmintrin.h smmintrin.h nmmintrin.h wmmintrin.h
    ammintrin.h avxintrin.h avx2intrin.h x86intrin.h intrin.h mmintrin.h cpuid.h bmiintrin.h
    popcntintrin.h arm_neon.h arm_acle.h arm_sve.h altivec.h msa.h lsxintrin.h wasm_simd128.h
    windows.h Windows.h winsock2.h winsock.h ws2tcpip.h conio.h io.h direct.h process.h tchar.h
    windef.h winnt.h shlobj.h crtdbg.h mach.h mach_time.h CoreFoundation.h Carbon.h Cocoa.h
    ApplicationServices.h IOKitLib.h Accelerate.h Foundation.h OpenCL.h sysctl.h xlocale.h kstat.h
    kvm.h event.h.in dos.h port.h stropts.h ustat.h machine.h
    """.split()  # noqa: SIM905 - a table is read more easily
) - {"event.h.in"}
#: Parts of CPython that former versions had in another place, or that are gone.
PRIVATE_PYTHON_HEADERS = frozenset(
    """
    longintrepr.h code.h node.h parser.h graminit.h grammar.h symtable.h asdl.h ast.h
    Python-ast.h pyarena.h parsetok.h errcode.h token.h bitset.h pgenheaders.h metagrammar.h
    eval.h pyctype.h ucnhash.h namespaceobject.h cellobject.h funcobject.h classobject.h
    genobject.h pyatomic.h accu.h odictobject.h pythread_internal.h pgen.h
    stringobject.h intobject.h cobject.h cStringIO.h bufferobject.h
    """.split()  # noqa: SIM905
)
#: Names that many projects give to a header of their own.
GENERIC_HEADERS = frozenset(
    """
    config.h version.h common.h util.h utils.h types.h defs.h main.h core.h api.h global.h globals.h
    macros.h helpers.h internal.h private.h base.h module.h platform.h constants.h settings.h
    errors.h error.h log.h debug.h export.h lib.h setup.h wrapper.h bindings.h _config.h
    """.split()  # noqa: SIM905
)
