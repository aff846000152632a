// Counts writes, syncs and renames below a folder and lets the n-th fail; ../campaign.py preloads it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

long faults_count = 0, faults_at = -1;      // events so far; the one that fails
int faults_mode = 0;                        // an errno, from then on; or -1, -2, -3: die before, half-way, after
char faults_folder[4096] = "";

static int below(const char *path) { return faults_folder[0] && strstr(path, faults_folder); }
static int watched(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 0 && (path[n] = 0, below(path));
}
static int due(void) {
    long n = __sync_add_and_fetch(&faults_count, 1);
    return faults_at > 0 && (faults_mode > 0 ? n >= faults_at : n == faults_at);
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
#define FAULT(real) do { if (faults_mode > 0) { errno = faults_mode; return -1; } \
    if (faults_mode == -3) (void)!(real); die(); } while (0)

ssize_t write(int fd, const void *data, size_t n) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (!watched(fd) || !due()) return next(fd, data, n);
    if (faults_mode == -2) { (void)!next(fd, data, n/2); die(); }
    FAULT(next(fd, data, n));
}
int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    if (!watched(fd) || !due()) return next(fd);
    FAULT(next(fd));
}
int rename(const char *a, const char *b) {
    int (*next)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    if (!below(b) || !due()) return next(a, b);
    FAULT(next(a, b));
}
