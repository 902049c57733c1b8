// Preloaded into the service: makes calls that write files under DISK_FAULTS_DIRECTORY fail, as the file named by
// DISK_FAULTS_CONTROL says. The test changes that file while the service runs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, SIZES = 4, OPENS = 8 };

// harness/disk.rs writes the first four fields and reads the last.
struct control {
  volatile uint32_t per_mille, error, calls, seed;
  uint32_t failures;
};

static struct control *control;
static const char *directory;
static uint32_t count;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("DISK_FAULTS_CONTROL");
  directory = getenv("DISK_FAULTS_DIRECTORY");
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int fd = name ? real(name, O_RDWR) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) control = at;
}

static int under(const char *path) { return directory && strncmp(path, directory, strlen(directory)) == 0; }

static int ours(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return under(path);
}

// splitmix64
static uint64_t next(void) {
  uint64_t z = control->seed + 0x9e3779b97f4a7c15ULL * __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The error to fail with, or 0; -1 stands for a short write.
static int fault(int call) {
  if (!control || !control->per_mille || !(control->calls & call)) return 0;
  uint64_t draw = next();
  if (draw % 1000 >= control->per_mille) return 0;
  __atomic_add_fetch(&control->failures, 1, __ATOMIC_RELAXED);
  if (call == WRITES && draw >> 60 < 4) return -1;
  static const int any[] = {ENOSPC, EIO, EROFS};
  return control->error ? (int)control->error : any[(draw >> 40) % 3];
}

static int fault_of(int fd, int call) {
  int before = errno;
  int error = control && control->per_mille && ours(fd) ? fault(call) : 0;
  errno = before;
  return error;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = dlsym(RTLD_NEXT, name);
#define FAIL(error) \
  if ((error) > 0) { \
    errno = (error); \
    return -1; \
  }

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t)
  int error = fault_of(fd, WRITES);
  FAIL(error)
  return real(fd, bytes, error && length > 1 ? length / 2 : length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
  int error = fault_of(fd, WRITES);
  FAIL(error)
  return real(fd, bytes, error && length > 1 ? length / 2 : length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
  int error = fault_of(fd, WRITES);
  FAIL(error)
  return real(fd, bytes, error && length > 1 ? length / 2 : length, at);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
  REAL(ssize_t, "writev", int, const struct iovec *, int)
  int error = fault_of(fd, WRITES);
  FAIL(error)
  return real(fd, parts, error && number > 1 ? number / 2 : number);
}

int fsync(int fd) {
  REAL(int, "fsync", int)
  FAIL(fault_of(fd, SYNCS))
  return real(fd);
}

int fdatasync(int fd) {
  REAL(int, "fdatasync", int)
  FAIL(fault_of(fd, SYNCS))
  return real(fd);
}

int ftruncate(int fd, off_t length) {
  REAL(int, "ftruncate", int, off_t)
  FAIL(fault_of(fd, SIZES))
  return real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
  REAL(int, "ftruncate64", int, off64_t)
  FAIL(fault_of(fd, SIZES))
  return real(fd, length);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
  REAL(int, "fallocate", int, int, off_t, off_t)
  FAIL(fault_of(fd, SIZES))
  return real(fd, mode, at, length);
}

// A read-only file system refuses to open files for writing.
#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(int, #name, const char *, int, ...) \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    if (control && under(path) && (flags & O_ACCMODE) != O_RDONLY) FAIL(fault(OPENS)) \
    return real(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
