/* A disk that keeps only what was forced to it, and that can be full. LD_PRELOAD it.

   CHAOS_DISK names a folder. In it, `synced` gets a line for each journal file that was forced to
   disk: its path and the size that is safe; and one for each name that a forced folder holds.
   While a file `full` is there, writes to journals and reservations of space fail with ENOSPC;
   while `short` is there, a write takes half of its bytes. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder(void) { return getenv("CHAOS_DISK"); }

static int is_there(const char *name) {
    char path[PATH_MAX];
    if (!folder()) return 0;
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    return access(path, F_OK) == 0;
}

/* The path of an open file; 0: not a journal's. */
static int journal_path(int fd, char *path) {
    char link[64];
    struct stat info;
    if (!folder() || fstat(fd, &info) || !S_ISREG(info.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 4) return 0;
    path[size] = 0;
    return !strcmp(path + size - 4, ".cvj") || !strcmp(path + size - 4, ".new");
}

static void tell(const char *line) {
    char path[PATH_MAX];
    ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    snprintf(path, sizeof path, "%s/synced", folder());
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (real_write(fd, line, strlen(line)) < 0) abort();
    close(fd);
}

static void tell_names(int fd) {
    char link[64], path[PATH_MAX], line[2 * PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return;
    path[size] = 0;
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".cvj")) continue;
        snprintf(line, sizeof line, "N %s/%s\n", path, entry->d_name);
        tell(line);
    }
    closedir(dir);
}

static int forced(int fd, const char *name) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    char path[PATH_MAX], line[PATH_MAX + 64];
    struct stat before;
    if (!folder() || fstat(fd, &before)) return real(fd);
    int is_folder = S_ISDIR(before.st_mode), is_journal = journal_path(fd, path);
    int done = real(fd);
    if (done == 0 && is_folder) tell_names(fd);
    if (done == 0 && is_journal) {
        snprintf(line, sizeof line, "S %s %lld\n", path, (long long)before.st_size);
        tell(line);
    }
    return done;
}

int fdatasync(int fd) { return forced(fd, "fdatasync"); }
int fsync(int fd) { return forced(fd, "fsync"); }

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    char path[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (!journal_path(fd, path)) return real(fd, data, size);
    if (is_there("full")) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, is_there("short") ? size / 2 : size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    int (*real)(int, int, off_t, off_t) = dlsym(RTLD_NEXT, "fallocate");
    if (is_there("full")) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, mode, offset, size);
}
