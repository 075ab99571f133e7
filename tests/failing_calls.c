/* A library for LD_PRELOAD: the n-th call of one kind on what lies under a folder fails, or ends the process.

   failing_arm("/world", "pwrite", 3, EIO, 1)    the third write at a place fails once
   failing_arm("/world", "any", 9, -1, 1)        the ninth call of any kind is not made: SIGKILL comes first
   failing_arm("/world", "any", 0, 0, 0)         nothing fails; failing_count() says how many calls there were

   "pwrite" is also pwrite64, pwritev and write in the names below; a call that fails is not made, but for
   close, after which the descriptor is gone whatever it says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char under[PATH_MAX], kind[32];
static int at, with, times, count, is_armed;

void failing_arm(const char *folder, const char *name, int nth, int error, int many) {
    snprintf(under, sizeof under, "%s", folder);
    snprintf(kind, sizeof kind, "%s", name);
    at = nth, with = error, times = many, count = 0, is_armed = 1;
}
void failing_disarm(void) { is_armed = 0; }
int failing_count(void) { return count; }

static int is_under(const char *path) {
    size_t size = strlen(under);
    return strncmp(path, under, size) == 0 && (path[size] == 0 || path[size] == '/' || path[size] == ' ');
}
static int fails(const char *name, const char *path) {
    if (!is_armed || (strcmp(kind, name) && strcmp(kind, "any")) || !is_under(path)) return 0;
    count++;
    if (count < at || count >= at + times) return 0;
    if (with < 0) kill(getpid(), SIGKILL);
    errno = with;
    return 1;
}
static int fails_on(const char *name, int fd) {
    char link[64], path[PATH_MAX];
    if (!is_armed || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int was = errno;
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = was;
    if (size < 0) return 0;
    path[size] = 0;
    return fails(name, path);
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = dlsym(RTLD_NEXT, name)
#define ON_FD(type, name, as, params, ...)                                                     \
    type name params {                                                                         \
        type (*real) params = dlsym(RTLD_NEXT, #name);                                         \
        return fails_on(as, fd) ? (type)-1 : real(__VA_ARGS__);                                \
    }
#define ON_PATH(type, name, as, params, ...)                                                   \
    type name params {                                                                         \
        type (*real) params = dlsym(RTLD_NEXT, #name);                                         \
        return fails(as, path) ? (type)-1 : real(__VA_ARGS__);                                 \
    }
ON_FD(ssize_t, read, "read", (int fd, void *data, size_t size), fd, data, size)
ON_FD(ssize_t, write, "write", (int fd, const void *data, size_t size), fd, data, size)
ON_FD(ssize_t, pread, "pread", (int fd, void *data, size_t size, off_t from), fd, data, size, from)
ON_FD(ssize_t, pread64, "pread", (int fd, void *data, size_t size, off64_t from), fd, data, size, from)
ON_FD(ssize_t, pwrite, "pwrite", (int fd, const void *data, size_t size, off_t to), fd, data, size, to)
ON_FD(ssize_t, pwrite64, "pwrite", (int fd, const void *data, size_t size, off64_t to), fd, data, size, to)
ON_FD(ssize_t, writev, "write", (int fd, const struct iovec *parts, int many), fd, parts, many)
ON_FD(ssize_t, pwritev, "pwrite", (int fd, const struct iovec *parts, int many, off_t to), fd, parts, many, to)
ON_FD(ssize_t, pwritev64, "pwrite", (int fd, const struct iovec *parts, int many, off64_t to), fd, parts, many, to)
ON_FD(int, fsync, "fsync", (int fd), fd)
ON_FD(int, fdatasync, "fdatasync", (int fd), fd)
ON_FD(int, ftruncate, "ftruncate", (int fd, off_t size), fd, size)
ON_FD(int, ftruncate64, "ftruncate", (int fd, off64_t size), fd, size)
ON_FD(int, flock, "flock", (int fd, int how), fd, how)
ON_FD(int, fstat, "fstat", (int fd, struct stat *found), fd, found)
ON_FD(int, fstat64, "fstat", (int fd, struct stat64 *found), fd, found)
ON_PATH(int, stat, "stat", (const char *path, struct stat *found), path, found)
ON_PATH(int, stat64, "stat", (const char *path, struct stat64 *found), path, found)
ON_PATH(int, lstat, "stat", (const char *path, struct stat *found), path, found)
ON_PATH(int, lstat64, "stat", (const char *path, struct stat64 *found), path, found)
ON_PATH(int, unlink, "unlink", (const char *path), path)
ON_PATH(int, rmdir, "unlink", (const char *path), path)
ON_PATH(int, mkdir, "mkdir", (const char *path, mode_t mode), path, mode)
ON_PATH(int, rename, "rename", (const char *path, const char *to), path, to)

void *opendir(const char *path) {
    REAL(void *, "opendir", const char *);
    return fails("open", path) ? NULL : real(path);
}
int close(int fd) {
    REAL(int, "close", int);
    int is_refused = fails_on("close", fd), was = errno, ended = real(fd);
    if (!is_refused) return ended;
    errno = was;
    return -1;
}
#define MAPS(name, offset)                                                                     \
    void *name(void *where, size_t size, int how, int flags, int fd, offset from) {            \
        REAL(void *, #name, void *, size_t, int, int, int, offset);                            \
        return fails_on("mmap", fd) ? MAP_FAILED : real(where, size, how, flags, fd, from);    \
    }
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)

#define MODE_OF(flags)                                                                         \
    mode_t mode = 0;                                                                           \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
        va_list more;                                                                          \
        va_start(more, flags);                                                                 \
        mode = va_arg(more, mode_t);                                                           \
        va_end(more);                                                                          \
    }
#define OPENS(name)                                                                            \
    int name(const char *path, int flags, ...) {                                               \
        MODE_OF(flags)                                                                         \
        REAL(int, #name, const char *, int, ...);                                              \
        return fails("open", path) ? -1 : real(path, flags, mode);                             \
    }
#define OPENS_AT(name)                                                                         \
    int name(int folder, const char *path, int flags, ...) {                                   \
        MODE_OF(flags)                                                                         \
        REAL(int, #name, int, const char *, int, ...);                                         \
        return fails("open", path) ? -1 : real(folder, path, flags, mode);                     \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
