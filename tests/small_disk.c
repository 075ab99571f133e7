/* A library for LD_PRELOAD: what lies under $SMALL_DISK is on a disk of $SMALL_DISK_BYTES.

   The disk tells how much room is left, and a write that needs more than that fails with ENOSPC, as a whole.
   What is taken is what the files under the folder take, looked at anew for each call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK 4096

static long long taken;

static int add(const char *path, const struct stat *found, int kind, struct FTW *at) {
    (void)path, (void)at;
    if (kind == FTW_F) taken += (found->st_size + BLOCK - 1) / BLOCK * BLOCK;
    return 0;
}
static int is_there(const char *path) {
    const char *folder = getenv("SMALL_DISK");
    size_t size = folder ? strlen(folder) : 0;
    return size && strncmp(path, folder, size) == 0 && (path[size] == 0 || path[size] == '/');
}
static long long left(void) {
    taken = 0;
    nftw(getenv("SMALL_DISK"), add, 8, FTW_PHYS);
    long long room = atoll(getenv("SMALL_DISK_BYTES")) - taken;
    return room > 0 ? room : 0;
}
static int is_full(int fd, off64_t to, size_t size) {
    char link[64], path[PATH_MAX];
    struct stat found;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int was = errno;
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = was;
    if (length < 0) return 0;
    path[length] = 0;
    if (!is_there(path) || fstat(fd, &found) || !S_ISREG(found.st_mode)) return 0;
    off64_t has = (found.st_size + BLOCK - 1) / BLOCK * BLOCK, end = (to < 0 ? found.st_size : to) + (off64_t)size;
    if (end <= has || end - has <= left()) return 0;
    errno = ENOSPC;
    return 1;
}
static size_t size_of(const struct iovec *parts, int many) {
    size_t size = 0;
    for (int at = 0; at < many; at++) size += parts[at].iov_len;
    return size;
}

#define WRITES(name, params, to, size, ...)                                                    \
    ssize_t name params {                                                                      \
        ssize_t(*real) params = dlsym(RTLD_NEXT, #name);                                       \
        return is_full(fd, to, size) ? -1 : real(__VA_ARGS__);                                 \
    }
#define HERE lseek64(fd, 0, SEEK_CUR)
WRITES(write, (int fd, const void *data, size_t size), HERE, size, fd, data, size)
WRITES(writev, (int fd, const struct iovec *parts, int many), HERE, size_of(parts, many), fd, parts, many)
WRITES(pwrite, (int fd, const void *data, size_t size, off_t to), to, size, fd, data, size, to)
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t to), to, size, fd, data, size, to)
WRITES(pwritev, (int fd, const struct iovec *parts, int many, off_t to), to, size_of(parts, many), fd, parts, many, to)

#define TELLS(name, type)                                                                      \
    int name(const char *path, struct type *told) {                                            \
        int (*real)(const char *, struct type *) = dlsym(RTLD_NEXT, #name), ended = real(path, told); \
        if (ended == 0 && is_there(path)) {                                                    \
            told->f_bsize = told->f_frsize = BLOCK;                                            \
            told->f_bavail = told->f_bfree = left() / BLOCK;                                   \
        }                                                                                      \
        return ended;                                                                          \
    }
TELLS(statvfs, statvfs)
TELLS(statvfs64, statvfs64)
