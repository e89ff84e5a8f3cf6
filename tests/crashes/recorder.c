/* Records every change below a folder in a journal (LD_PRELOAD), so that a test can make the disk of any moment.
 *
 * CRASH_ROOT is the folder, CRASH_JOURNAL the file. A record is one change that was carried out, in the order in
 * which they were: `struct record`, followed by two strings (paths, or a file's data). A sync is recorded and not
 * carried out: what survives is what the test says (tests/crashes/disk.py), not what this machine's disk has.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 4096
#define JOURNAL_DESCRIPTOR 900

struct __attribute__((packed)) record {
    uint32_t mark; /* a process that is killed may leave a part of a record: the next begins here */
    char operation;
    uint64_t inode;
    uint64_t number; /* an offset, a length, a mode or an mtime in ns */
    uint32_t first_length;
    uint32_t second_length;
};

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static unsigned char tracked[MAX_DESCRIPTORS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void before_fork(void) { pthread_mutex_lock(&mutex); }
static void after_fork(void) { pthread_mutex_unlock(&mutex); }

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("CRASH_ROOT"), *path = getenv("CRASH_JOURNAL");
    if (!folder || !path) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    int opened = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    journal = fcntl(opened, F_DUPFD_CLOEXEC, JOURNAL_DESCRIPTOR);
    REAL(close)(opened);
    pthread_atfork(before_fork, after_fork, after_fork);
}

static void lock(void) {
    pthread_mutex_lock(&mutex);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(journal, F_SETLKW, &whole) && errno == EINTR) {}
}

static void unlock(void) {
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(journal, F_SETLK, &whole);
    pthread_mutex_unlock(&mutex);
}

static void record(char operation, uint64_t inode, uint64_t number, const void *first, size_t first_length,
                   const void *second, size_t second_length) {
    struct record head = {0x5245c0feu, operation, inode, number, (uint32_t)first_length, (uint32_t)second_length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)first, first_length}, {(void *)second, second_length}};
    size_t length = sizeof head + first_length + second_length;
    if (REAL(writev)(journal, parts, 3) != (ssize_t)length) abort();
}

/* The absolute path; whether it is below the root. */
static int resolve(int folder, const char *path, char *into) {
    if (journal < 0 || !path) return 0;
    char base[PATH_MAX] = "", link[64];
    if (path[0] != '/') {
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if (snprintf(into, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    } else if (snprintf(into, PATH_MAX, "%s", path) >= PATH_MAX) {
        return 0;
    }
    return !strncmp(into, root, root_length) && (!into[root_length] || into[root_length] == '/');
}

static int is_tracked(int descriptor) {
    return descriptor >= 0 && descriptor < MAX_DESCRIPTORS && tracked[descriptor];
}

static uint64_t inode_of(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) ? 0 : found.st_ino;
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(folder, path, full)) return REAL(openat)(folder, path, flags, mode);
    lock();
    struct stat found;
    int was_there = !fstatat(folder, path, &found, 0);
    int opened = REAL(openat)(folder, path, flags, mode), kept = errno;
    if (opened >= 0) {
        if (opened < MAX_DESCRIPTORS) tracked[opened] = 1;
        fstat(opened, &found);
        if (!was_there) record('C', found.st_ino, found.st_mode & 07777, full, strlen(full), "", 0);
        else if (flags & O_TRUNC) record('T', found.st_ino, 0, "", 0, "", 0);
    }
    unlock();
    errno = kept;
    return opened;
}

#define OPEN_BODY(folder)                                    \
    mode_t mode = 0;                                         \
    if (flags & O_CREAT) {                                   \
        va_list rest;                                        \
        va_start(rest, flags);                               \
        mode = va_arg(rest, mode_t);                         \
        va_end(rest);                                        \
    }                                                        \
    return open_any(folder, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD) }
int openat(int folder, const char *path, int flags, ...) { OPEN_BODY(folder) }
int openat64(int folder, const char *path, int flags, ...) { OPEN_BODY(folder) }

int close(int descriptor) {
    if (is_tracked(descriptor)) tracked[descriptor] = 0;
    if (descriptor == journal) return 0;
    return REAL(close)(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    if (!is_tracked(descriptor)) return REAL(write)(descriptor, data, length);
    lock();
    ssize_t done = REAL(write)(descriptor, data, length);
    int kept = errno;
    if (done > 0)
        record('W', inode_of(descriptor), (uint64_t)(lseek(descriptor, 0, SEEK_CUR) - done), data, (size_t)done, "", 0);
    unlock();
    errno = kept;
    return done;
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    if (!is_tracked(descriptor)) return REAL(pwrite)(descriptor, data, length, offset);
    lock();
    ssize_t done = REAL(pwrite)(descriptor, data, length, offset);
    int kept = errno;
    if (done > 0) record('W', inode_of(descriptor), (uint64_t)offset, data, (size_t)done, "", 0);
    unlock();
    errno = kept;
    return done;
}
ssize_t pwrite64(int descriptor, const void *data, size_t length, off_t offset) {
    return pwrite(descriptor, data, length, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (!is_tracked(descriptor)) return REAL(writev)(descriptor, parts, count);
    return write(descriptor, parts[0].iov_base, parts[0].iov_len); /* a part is allowed */
}

/* What copies inside the kernel is not seen: callers fall back to reading and writing. */
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    if (!is_tracked(out)) return REAL(sendfile)(out, in, offset, count);
    errno = ENOTSOCK;
    return -1;
}
ssize_t sendfile64(int out, int in, off_t *offset, size_t count) { return sendfile(out, in, offset, count); }

#define RECORDED_FD(call, operation, number)                              \
    if (!is_tracked(descriptor)) return call;                             \
    lock();                                                               \
    int result = call, kept = errno;                                      \
    if (!result) record(operation, inode_of(descriptor), number, "", 0, "", 0); \
    unlock();                                                             \
    errno = kept;                                                         \
    return result;

int ftruncate(int descriptor, off_t length) { RECORDED_FD(REAL(ftruncate)(descriptor, length), 'T', (uint64_t)length) }
int ftruncate64(int descriptor, off_t length) { return ftruncate(descriptor, length); }
int fchmod(int descriptor, mode_t mode) { RECORDED_FD(REAL(fchmod)(descriptor, mode), 'H', mode & 07777) }

static int sync_one(int descriptor, char operation) {
    lock();
    record(operation, inode_of(descriptor), 0, "", 0, "", 0);
    unlock();
    return 0;
}
int fsync(int descriptor) { return is_tracked(descriptor) ? sync_one(descriptor, 'F') : REAL(fsync)(descriptor); }
int fdatasync(int descriptor) {
    return is_tracked(descriptor) ? sync_one(descriptor, 'F') : REAL(fdatasync)(descriptor);
}
int syncfs(int descriptor) { return is_tracked(descriptor) ? sync_one(descriptor, 'A') : REAL(syncfs)(descriptor); }

static uint64_t mtime_ns(const struct timespec times[2]) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct timespec *at = times && times[1].tv_nsec != UTIME_NOW ? &times[1] : &now;
    return (uint64_t)at->tv_sec * 1000000000u + (uint64_t)at->tv_nsec;
}
int futimens(int descriptor, const struct timespec times[2]) {
    RECORDED_FD(REAL(futimens)(descriptor, times), 'U', mtime_ns(times))
}
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    char full[PATH_MAX];
    int inside = resolve(folder, path, full), result = REAL(utimensat)(folder, path, times, flags), kept = errno;
    struct stat found;
    if (inside && !result && !fstatat(folder, path, &found, flags)) {
        lock();
        record('U', found.st_ino, mtime_ns(times), "", 0, "", 0);
        unlock();
    }
    errno = kept;
    return result;
}

/* Changes of names: by full paths. */
#define RECORDED_PATH(folder, path, call, operation)              \
    char full[PATH_MAX];                                          \
    if (!resolve(folder, path, full)) return call;                \
    lock();                                                       \
    int result = call, kept = errno;                              \
    struct stat found = {0};                                      \
    if (!result) {                                                \
        fstatat(folder, path, &found, AT_SYMLINK_NOFOLLOW);       \
        record(operation, found.st_ino, found.st_mode & 07777, full, strlen(full), "", 0); \
    }                                                             \
    unlock();                                                     \
    errno = kept;                                                 \
    return result;

int mkdirat(int folder, const char *path, mode_t mode) {
    RECORDED_PATH(folder, path, REAL(mkdirat)(folder, path, mode), 'M')
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlinkat(int folder, const char *path, int flags) {
    RECORDED_PATH(folder, path, REAL(unlinkat)(folder, path, flags), 'D')
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int symlinkat(const char *target, int folder, const char *path) {
    char full[PATH_MAX];
    if (!resolve(folder, path, full)) return REAL(symlinkat)(target, folder, path);
    lock();
    int result = REAL(symlinkat)(target, folder, path), kept = errno;
    if (!result) record('S', 0, 0777, full, strlen(full), target, strlen(target));
    unlock();
    errno = kept;
    return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

static int two_paths(int from, const char *old, int to, const char *new, char operation, unsigned flags) {
    char full_old[PATH_MAX], full_new[PATH_MAX];
    int inside = resolve(to, new, full_new), source_inside = resolve(from, old, full_old);
    if (inside != source_inside && operation == 'R' && journal >= 0) {
        errno = EXDEV; /* the root is a file system of its own */
        return -1;
    }
    if (inside) lock();
    int result = operation == 'R' ? REAL(renameat)(from, old, to, new) : REAL(linkat)(from, old, to, new, (int)flags);
    int kept = errno;
    if (inside) {
        if (!result) record(operation, 0, 0, full_old, strlen(full_old), full_new, strlen(full_new));
        unlock();
    }
    errno = kept;
    return result;
}
int renameat(int from, const char *old, int to, const char *new) { return two_paths(from, old, to, new, 'R', 0); }
int rename(const char *old, const char *new) { return two_paths(AT_FDCWD, old, AT_FDCWD, new, 'R', 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return two_paths(from, old, to, new, 'L', (unsigned)flags);
}
int link(const char *old, const char *new) { return two_paths(AT_FDCWD, old, AT_FDCWD, new, 'L', 0); }
