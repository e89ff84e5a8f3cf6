"""Situations 1 to 3 and 8: source code that no compiler or linker here accepts."""

from tests.causes.projects import extension, make_project
from tests.causes.spec import Expected, Situation, Variant

_WARNING = "static int unused_%d(void) { return %d; }\n"

_TEMPLATE = """
#include <algorithm>
#include <list>
#include <map>
#include <string>
struct Point { int x, y; };
int sorted() {
    std::list<std::map<std::string, Point>> points;
    std::sort(points.begin(), points.end());
    return points.size();
}
"""


def _error(*lines: str) -> Expected:
    return Expected(failure_class="compiler-error", lines=lines)


_COMPILER_ERRORS = Situation(
    1,
    "compiler-error",
    (
        Variant(
            name="undeclared",
            sdist=extension("int answer(void) { return undeclared_name; }"),
            expected=_error("error: ‘undeclared_name’ undeclared"),
        ),
        Variant(
            name="syntax",
            sdist=extension("int answer(void) { return 42 }"),
            expected=_error("error: expected ‘;’ before ‘}’ token"),
        ),
        Variant(
            name="cxx-template",
            sdist=extension(_TEMPLATE, suffix="cpp", language="c++"),
            expected=_error("error: no match for ‘operator-’"),
        ),
        Variant(
            name="warnings-after",
            sdist=make_project(
                """
                CFLAGS = -Wall
                all: first.o second.o
                %.o: %.c
                    $(CC) $(CFLAGS) -c $<
                """,
                {
                    "first.c": "struct hidden;\nint f(struct hidden *h) { return h->size; }\n",
                    "second.c": "".join(_WARNING % (n, n) for n in range(60)),
                },
                arguments="-k",
            ),
            expected=_error("invalid use of undefined type ‘struct hidden’"),
        ),
        Variant(
            name="cxx-standard",
            sdist=extension(
                "#include <optional>\nstd::optional<int> answer() { return 42; }",
                suffix="cpp",
                language="c++",
                extra_compile_args=["-std=c++11"],
            ),
            expected=_error("error: ‘optional’ in namespace ‘std’ does not name a template type"),
        ),
    ),
)

_STRICT = Situation(
    2,
    "error-by-option",
    (
        Variant(
            name="own-werror",
            sdist=extension(
                "int answer(void) { int unused = 1; return 42; }",
                extra_compile_args=["-Wall", "-Werror"],
            ),
            expected=_error("error: unused variable ‘unused’ [-Werror=unused-variable]"),
        ),
        Variant(
            name="implicit-declaration",
            sdist=extension(
                "int answer(void) { return declared_nowhere(42); }",
                extra_compile_args=["-Werror=implicit-function-declaration"],
            ),
            expected=_error("error: implicit declaration of function ‘declared_nowhere’"),
        ),
        Variant(
            name="int-conversion",
            sdist=extension(
                "char *answer(void) { int value = 42; return value; }",
                extra_compile_args=["-Werror=int-conversion"],
            ),
            expected=_error("makes pointer from integer without a cast [-Werror=int-conversion]"),
        ),
        Variant(
            name="unknown-option",
            sdist=extension("", extra_compile_args=["-fno-such-optimization"]),
            expected=_error("error: unrecognized command-line option ‘-fno-such-optimization’"),
        ),
    ),
)

_OTHER_MACHINE = Situation(
    3,
    "other-machine",
    (
        Variant(
            name="intrinsics",
            sdist=extension("#include <arm_neon.h>"),
            expected=_error("fatal error: arm_neon.h: No such file or directory"),
        ),
        Variant(
            name="error-directive",
            sdist=extension('#if __SIZEOF_POINTER__ != 4\n#error "needs a 32 bit machine"\n#endif'),
            expected=_error('error: #error "needs a 32 bit machine"'),
        ),
        Variant(
            name="static-assertion",
            sdist=extension('_Static_assert(sizeof(void *) == 4, "pointers of 32 bits");'),
            expected=_error('error: static assertion failed: "pointers of 32 bits"'),
        ),
        Variant(
            name="assembler",
            sdist=extension('int answer(void) { __asm__("vmov.f32 s0, s1"); return 42; }'),
            expected=_error("Error: no such instruction: `vmov.f32 s0,s1'"),
        ),
        Variant(
            name="machine-option",
            sdist=extension("", extra_compile_args=["-mfpu=neon"]),
            expected=_error("error: unrecognized command-line option ‘-mfpu=neon’"),
        ),
    ),
)

_LINKER = Situation(
    8,
    "symbols",
    (
        Variant(
            name="undefined",
            sdist=extension(
                "int helper_function(void);\nint answer(void) { return helper_function(); }",
                extra_link_args=["-Wl,-z,defs", "-Wl,--unresolved-symbols=report-all"],
            ),
            expected=_error("undefined reference to"),
        ),
        Variant(
            name="undefined-in-program",
            sdist=make_project(
                """
                tool: main.o
                    $(CC) -o $@ $<
                """,
                {"main.c": "int absent_part(int);\nint main(void) { return absent_part(1); }\n"},
            ),
            expected=_error("undefined reference to `absent_part'"),
        ),
        Variant(
            name="duplicate",
            sdist=extension(
                "int shared_counter = 1;",
                {"second.c": "int shared_counter = 2;\n"},
                sources=["second.c"],
            ),
            expected=_error("multiple definition of `shared_counter'"),
        ),
    ),
)

SITUATIONS = (_COMPILER_ERRORS, _STRICT, _OTHER_MACHINE, _LINKER)
