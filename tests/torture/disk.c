/* A library for LD_PRELOAD between the program and the disk: it writes down each change of the ledger's files, makes
 * operations fail or slow, ends the process at a chosen one, and shifts the wall clock. See disk.rs.
 *
 * TORTURE_FOLDER   the folder of the ledger; other files are left alone
 * TORTURE_CONTROL  the file of `struct control`, which the test writes at any time
 * TORTURE_TRACE    the file to append records to: one `struct record` and its data for each operation that took effect
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The order is that of `Control` in disk.rs. */
struct control {
    int64_t operations;   /* counted here: writes, truncations, syncs, removals */
    int64_t die_at;       /* the number of the operation that ends the process; 0: none */
    int64_t die_how;      /* 0 before it, 1 after it, 2 in the middle of a write */
    int64_t room;         /* bytes that may yet be written; -1: any number */
    int64_t write_error;  /* errno of failing writes and truncations; 0: none */
    int64_t sync_error;   /* errno of failing syncs; 0: none */
    int64_t one_in;       /* only each n-th of them fails; 0 and 1: all */
    int64_t sync_us;      /* microseconds that a sync takes longer */
    int64_t clock_ns;     /* added to the wall clock */
    int64_t read_error;   /* errno of failing reads; 0: none */
    int64_t failed;       /* counted here: operations that were made to fail */
};

struct record {
    uint32_t operation; /* enum operation */
    uint32_t file;      /* enum file */
    uint64_t offset;    /* or the length, of a truncation */
    uint64_t length;    /* of the data behind this record */
};

enum operation { WRITE, TRUNCATE, SYNC, UNLINK, CREATE };
enum file { NONE, DATABASE, WAL, JOURNAL, FOLDER, CALLS };
enum { DESCRIPTORS = 65536 };

static struct control none = {.room = -1};
static struct control *control = &none;
static int trace = -1;
static char folder[4096];
static size_t folder_length;
static unsigned char kind_of[DESCRIPTORS];
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int64_t fallible;

#define REAL(type, name, ...)                                                                  \
    static type (*real)(__VA_ARGS__);                                                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TORTURE_FOLDER");
    if (path && strlen(path) < sizeof folder) {
        strcpy(folder, path);
        folder_length = strlen(folder);
    }
    const char *file = getenv("TORTURE_CONTROL");
    if (file) {
        int fd = open(file, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (shared != MAP_FAILED) control = shared;
            close(fd);
        }
    }
    const char *into = getenv("TORTURE_TRACE");
    if (into) trace = open(into, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static enum file file_of(const char *path) {
    if (!path || !folder_length || strncmp(path, folder, folder_length)) return NONE;
    const char *name = path + folder_length;
    if (*name == 0 || !strcmp(name, "/")) return FOLDER;
    if (*name != '/') return NONE;
    if (!strcmp(name, "/ledger.db")) return DATABASE;
    if (!strcmp(name, "/ledger.db-wal")) return WAL;
    if (!strcmp(name, "/ledger.db-journal")) return JOURNAL;
    if (!strcmp(name, "/ledger.db.journal")) return CALLS;
    return NONE;
}

static enum file file_at(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? (enum file)kind_of[fd] : NONE;
}

static void note(enum operation operation, enum file file, uint64_t offset, const void *data,
                 uint64_t length) {
    if (trace < 0) return;
    struct record record = {operation, file, offset, length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, length}};
    if (writev(trace, parts, length ? 2 : 1) < 0) abort();
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts an operation; tells whether the process ends with it. */
static int last(void) {
    control->operations++;
    if (!control->die_at || control->operations != control->die_at) return 0;
    if (control->die_how == 0) die();
    return 1;
}

static int fails(int64_t error) {
    if (!error) return 0;
    if (control->one_in > 1 && ++fallible % control->one_in) return 0;
    control->failed++;
    errno = (int)error;
    return 1;
}

static int opened(int fd, const char *path, int created) {
    if (fd >= 0 && fd < DESCRIPTORS) {
        enum file file = file_of(path);
        kind_of[fd] = (unsigned char)file;
        if (created && file != NONE && file != FOLDER) {
            pthread_mutex_lock(&one);
            note(CREATE, file, 0, NULL, 0);
            pthread_mutex_unlock(&one);
        }
    }
    return fd;
}

static int is_new(const char *path, int flags) {
    struct stat found;
    return flags & O_CREAT && file_of(path) != NONE && stat(path, &found) != 0;
}

#define OPEN(name)                                                                             \
    int name(const char *path, int flags, ...) {                                               \
        mode_t mode = 0;                                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                   \
            va_list more;                                                                      \
            va_start(more, flags);                                                             \
            mode = va_arg(more, mode_t);                                                       \
            va_end(more);                                                                      \
        }                                                                                      \
        REAL(int, #name, const char *, int, ...);                                              \
        int created = is_new(path, flags);                                                     \
        return opened(real(path, flags, mode), path, created);                                 \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                           \
    int name(int at, const char *path, int flags, ...) {                                       \
        mode_t mode = 0;                                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                   \
            va_list more;                                                                      \
            va_start(more, flags);                                                             \
            mode = va_arg(more, mode_t);                                                       \
            va_end(more);                                                                      \
        }                                                                                      \
        REAL(int, #name, int, const char *, int, ...);                                         \
        int created = is_new(path, flags);                                                     \
        return opened(real(at, path, flags, mode), path, created);                             \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < DESCRIPTORS) kind_of[fd] = NONE;
    return real(fd);
}

/* One write; `from` is -1 where the file's own position counts, which no database uses. */
static ssize_t written(int fd, const void *data, size_t length, off64_t from,
                       ssize_t (*real)(int, const void *, size_t, off64_t)) {
    enum file file = file_at(fd);
    if (file == NONE) return real(fd, data, length, from);
    pthread_mutex_lock(&one);
    int dies = last();
    if (dies && control->die_how == 2) length = length / 2;
    ssize_t result = -1;
    if (fails(control->write_error)) {
        result = -1;
    } else if (length && control->room == 0) {
        control->failed++;
        errno = ENOSPC;
    } else {
        /* A part of it, where there is no room for all. */
        if (control->room >= 0 && (int64_t)length > control->room) length = (size_t)control->room;
        result = real(fd, data, length, from);
        if (result > 0) {
            if (control->room >= 0) control->room -= result;
            note(WRITE, file, (uint64_t)from, data, (uint64_t)result);
        }
    }
    if (dies) die();
    int error = errno;
    pthread_mutex_unlock(&one);
    errno = error;
    return result;
}

static ssize_t real_pwrite(int fd, const void *data, size_t length, off64_t from) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return real(fd, data, length, from);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t from) {
    return written(fd, data, length, from, real_pwrite);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t from) {
    return written(fd, data, length, from, real_pwrite);
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (file_at(fd) == NONE) return real(fd, data, length);
    /* At the position of the file, which then moves. */
    off64_t from = lseek64(fd, 0, SEEK_CUR);
    ssize_t result = written(fd, data, length, from, real_pwrite);
    if (result > 0) lseek64(fd, from + result, SEEK_SET);
    return result;
}

static ssize_t real_pread(int fd, void *data, size_t length, off64_t from) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    return real(fd, data, length, from);
}

ssize_t pread64(int fd, void *data, size_t length, off64_t from) {
    if (file_at(fd) != NONE && control->read_error) {
        pthread_mutex_lock(&one);
        int fail = fails(control->read_error);
        pthread_mutex_unlock(&one);
        if (fail) {
            errno = (int)control->read_error;
            return -1;
        }
    }
    return real_pread(fd, data, length, from);
}

ssize_t pread(int fd, void *data, size_t length, off_t from) {
    return pread64(fd, data, length, from);
}

static int truncated(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    enum file file = file_at(fd);
    if (file == NONE) return real(fd, length);
    pthread_mutex_lock(&one);
    int dies = last();
    int result = -1;
    if (!fails(control->write_error)) {
        result = real(fd, length);
        if (result == 0) note(TRUNCATE, file, (uint64_t)length, NULL, 0);
    }
    if (dies) die();
    int error = errno;
    pthread_mutex_unlock(&one);
    errno = error;
    return result;
}

int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }
int ftruncate(int fd, off_t length) { return truncated(fd, length); }

static int synced(int fd, int (*real)(int)) {
    enum file file = file_at(fd);
    if (file == NONE) return real(fd);
    if (control->sync_us > 0) {
        struct timespec pause = {control->sync_us / 1000000, control->sync_us % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&one);
    int dies = last();
    int result = -1;
    if (!fails(control->sync_error)) {
        /* The test decides what the disk holds: nothing need be waited for. */
        result = 0;
        note(SYNC, file, 0, NULL, 0);
    }
    if (dies) die();
    int error = errno;
    pthread_mutex_unlock(&one);
    errno = error;
    return result;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return synced(fd, real);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return synced(fd, real);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    enum file file = file_of(path);
    if (file == NONE || file == FOLDER) return real(path);
    pthread_mutex_lock(&one);
    int dies = last();
    int result = real(path);
    if (result == 0) note(UNLINK, file, 0, NULL, 0);
    if (dies) die();
    int error = errno;
    pthread_mutex_unlock(&one);
    errno = error;
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && control->clock_ns) {
        int64_t ns = time->tv_nsec + control->clock_ns % 1000000000;
        time->tv_sec += control->clock_ns / 1000000000 + ns / 1000000000;
        time->tv_nsec = ns % 1000000000;
        if (time->tv_nsec < 0) {
            time->tv_nsec += 1000000000;
            time->tv_sec -= 1;
        }
    }
    return result;
}
