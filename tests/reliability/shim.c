/* A preloaded library between a process and the system calls that change the files of one folder.
 *
 * It records writes with their bytes, flushes and truncations. It lets chosen calls fail as on a
 * full or broken disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH = 2, CUT = 4, OPEN = 8, RENAME = 16, MKDIR = 32, MAP = 64, MARK = 128 };
enum { STAT = 256, PIPE = 512, LOCK = 1024, REMOVE = 2048, READ = 4096 };
enum { NONE, OTHER, DATA, LOG, NEW_LOG, FOLDER, COUNTERS };

/* The header of each call in the record; the bytes of the call follow. */
struct call {
	uint16_t kind;
	uint8_t durable, file;
	int32_t error; /* 0, or the errno that the caller got */
	int64_t offset, length;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_length;
static int record = -1;

/* The fault: calls of `kinds` are counted. The `nth` fails, and all later ones if `lasting`. */
static struct {
	int kinds, error, lasting;
	int64_t nth, keep, calls, hits;
} fault;

void shim_watch(const char *path, int to) {
	strncpy(folder, path, sizeof folder - 1);
	folder_length = strlen(folder);
	record = to;
}

/* If the nth call is a write, `keep` bytes are written. With error 0 the call returns their number:
 * a short write. */
void shim_arm(int kinds, int64_t nth, int error, int64_t keep, int lasting) {
	pthread_mutex_lock(&turn);
	fault.kinds = kinds;
	fault.nth = nth;
	fault.error = error;
	fault.keep = keep;
	fault.lasting = lasting;
	fault.calls = fault.hits = 0;
	pthread_mutex_unlock(&turn);
}

int64_t shim_hits(void) { return fault.hits; }

static int below(const char *path) {
	return folder_length && !strncmp(path, folder, folder_length);
}

static int ends(const char *path, const char *name) {
	size_t length = strlen(path), end = strlen(name);
	return length >= end && !strcmp(path + length - end, name);
}

/* Return which file of the folder a path is. */
static int file_of(const char *path) {
	if (!below(path))
		return NONE;
	return ends(path, "/data.mdb") ? DATA
	     : ends(path, "/log.mdb") ? LOG
	     : ends(path, "/log.new") ? NEW_LOG
	     : !path[folder_length] ? FOLDER : OTHER;
}

/* Return which file of the folder a descriptor is. */
static int watched(int fd) {
	static const char digits[] = "0123456789";
	char link[32] = "/proc/self/fd/", reversed[12], path[PATH_MAX];
	size_t at = strlen(link), n = 0;
	if (!folder_length || fd < 0)
		return NONE;
	do
		reversed[n++] = digits[fd % 10];
	while (fd /= 10);
	while (n)
		link[at++] = reversed[--n];
	link[at] = 0;
	ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
	if (length < 0)
		return NONE;
	path[length] = 0;
	return file_of(path);
}

/* Count a call, and return 1 if it must fail. The caller holds the lock. */
static int fails(int kind) {
	if (!(fault.kinds & kind))
		return 0;
	fault.calls++;
	if (fault.calls != fault.nth && !(fault.lasting && fault.calls > fault.nth))
		return 0;
	fault.hits++;
	return 1;
}

static void put_one(int kind, int file, int durable, int error, int64_t offset, int64_t length,
                    const void *data) {
	struct call call = {kind, durable, file, error, offset, length};
	struct iovec both[2] = {{&call, sizeof call}, {(void *)data, data ? length : 0}};
	syscall(SYS_writev, record, both, 2);
}

/* Record what the shared counters are. The process writes them in a map, without a call. */
static void put_counters(void) {
	static char last[32];
	char path[PATH_MAX + 16], found[sizeof last];
	strcpy(path, folder);
	strcat(path, "/log-lock.mdb");
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (syscall(SYS_pread64, fd, found, sizeof found, 0) == sizeof found &&
	    memcmp(found, last, sizeof last)) {
		memcpy(last, found, sizeof last);
		put_one(WRITE, COUNTERS, 0, 0, 0, sizeof found, found);
	}
	syscall(SYS_close, fd);
}

static void put(int kind, int file, int durable, int error, int64_t offset, int64_t length,
                const void *data) {
	if (record < 0 || file == OTHER)
		return;
	put_counters();
	put_one(kind, file, durable, error, offset, length, data);
}

void shim_mark(const char *text) {
	pthread_mutex_lock(&turn);
	put(MARK, NONE, 0, 0, 0, strlen(text), text);
	pthread_mutex_unlock(&turn);
}

static ssize_t do_write(int file, int fd, const void *data, size_t length, int64_t offset, int moves) {
	int durable = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0;
	int64_t want = length;
	pthread_mutex_lock(&turn);
	int failing = fails(WRITE);
	if (failing)
		want = fault.calls > fault.nth ? 0 : fault.keep < want ? fault.keep : want;
	ssize_t done = want ? syscall(SYS_pwrite64, fd, data, want, offset) : 0;
	int error = done < 0 ? errno : failing ? fault.error : 0;
	put(WRITE, file, durable, error, offset, done < 0 ? 0 : done, data);
	if (moves && done > 0)
		syscall(SYS_lseek, fd, offset + done, SEEK_SET);
	pthread_mutex_unlock(&turn);
	if (error) {
		errno = error;
		return -1;
	}
	return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
	int file = watched(fd);
	if (!file)
		return syscall(SYS_pwrite64, fd, data, length, offset);
	return do_write(file, fd, data, length, offset, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
	return pwrite(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length) {
	int file = watched(fd);
	if (!file)
		return syscall(SYS_write, fd, data, length);
	return do_write(file, fd, data, length, syscall(SYS_lseek, fd, 0, SEEK_CUR), 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
	int file = watched(fd);
	if (!file)
		return syscall(SYS_writev, fd, parts, count);
	size_t length = 0, at = 0;
	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	void *all = mmap(0, length + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return -1;
	for (int i = 0; i < count; at += parts[i++].iov_len)
		memcpy((char *)all + at, parts[i].iov_base, parts[i].iov_len);
	ssize_t done = do_write(file, fd, all, length, syscall(SYS_lseek, fd, 0, SEEK_CUR), 1);
	int error = errno;
	munmap(all, length + 1);
	errno = error;
	return done;
}

static int do_flush(int fd, long number) {
	int file = watched(fd);
	if (!file)
		return syscall(number, fd);
	pthread_mutex_lock(&turn);
	int failing = fails(FLUSH), done = failing ? -1 : syscall(number, fd);
	int error = failing ? fault.error : done ? errno : 0;
	put(FLUSH, file, 0, error, 0, 0, 0);
	pthread_mutex_unlock(&turn);
	if (error) {
		errno = error;
		return -1;
	}
	return done;
}

int fdatasync(int fd) { return do_flush(fd, SYS_fdatasync); }
int fsync(int fd) { return do_flush(fd, SYS_fsync); }

int ftruncate(int fd, off_t length) {
	int file = watched(fd);
	if (!file)
		return syscall(SYS_ftruncate, fd, length);
	pthread_mutex_lock(&turn);
	int failing = fails(CUT), done = failing ? -1 : syscall(SYS_ftruncate, fd, length);
	int error = failing ? fault.error : done ? errno : 0;
	put(CUT, file, 0, error, length, 0, 0);
	pthread_mutex_unlock(&turn);
	if (error) {
		errno = error;
		return -1;
	}
	return done;
}

/* Recorded as a write of zeros, because readers see zeros. */
int fallocate(int fd, int mode, off_t offset, off_t length) {
	int file = watched(fd);
	if (!file)
		return syscall(SYS_fallocate, fd, mode, offset, length);
	void *zeros = mmap(0, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeros == MAP_FAILED)
		return -1;
	pthread_mutex_lock(&turn);
	int failing = fails(CUT), done = failing ? -1 : syscall(SYS_fallocate, fd, mode, offset, length);
	int error = failing ? fault.error : done ? errno : 0;
	if (!error)
		put(WRITE, file, 0, 0, offset, length, zeros);
	pthread_mutex_unlock(&turn);
	munmap(zeros, length);
	if (error) {
		errno = error;
		return -1;
	}
	return done;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
	return fallocate(fd, mode, offset, length);
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static void put_locked(int kind, int file) {
	pthread_mutex_lock(&turn);
	put(kind, file, 0, 0, 0, 0, 0);
	pthread_mutex_unlock(&turn);
}

/* Other calls can fail. Of them, only renames and removals are recorded. */
static int refused(int kind) {
	pthread_mutex_lock(&turn);
	int failing = fails(kind), error = fault.error;
	pthread_mutex_unlock(&turn);
	if (failing)
		errno = error;
	return failing;
}

static int do_open(int at, const char *path, int flags, mode_t mode) {
	if (below(path) && refused(OPEN))
		return -1;
	return syscall(SYS_openat, at, path, flags, mode);
}

#define MODE(last)                                                                                 \
	mode_t mode = 0;                                                                               \
	if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
		va_list more;                                                                              \
		va_start(more, last);                                                                      \
		mode = va_arg(more, mode_t);                                                               \
		va_end(more);                                                                              \
	}

int open(const char *path, int flags, ...) {
	MODE(flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
	MODE(flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int rename(const char *from, const char *to) {
	int file = file_of(to);
	if (below(from) && refused(RENAME))
		return -1;
	int done = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	if (file == LOG && !done)
		put_locked(RENAME, file);
	return done;
}

int unlink(const char *path) {
	int file = file_of(path);
	if (file && refused(REMOVE))
		return -1;
	int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	if (file == LOG && !done)
		put_locked(REMOVE, file);
	return done;
}

int mkdir(const char *path, mode_t mode) {
	if (below(path) && refused(MKDIR))
		return -1;
	return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t offset) {
	if (fd >= 0 && watched(fd) && refused(MAP))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, where, length, protection, flags, fd, offset);
}

void *mmap64(void *where, size_t length, int protection, int flags, int fd, off64_t offset) {
	return mmap(where, length, protection, flags, fd, offset);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define STATS(stat, lstat, fstat, fstatat, statvfs, fstatvfs)                                      \
	int stat(const char *path, struct stat *found) {                                               \
		return below(path) && refused(STAT) ? -1 : NEXT(stat)(path, found);                        \
	}                                                                                              \
	int lstat(const char *path, struct stat *found) {                                              \
		return below(path) && refused(STAT) ? -1 : NEXT(lstat)(path, found);                       \
	}                                                                                              \
	int fstat(int fd, struct stat *found) {                                                        \
		return watched(fd) && refused(STAT) ? -1 : NEXT(fstat)(fd, found);                         \
	}                                                                                              \
	int fstatat(int at, const char *path, struct stat *found, int flags) {                         \
		return below(path) && refused(STAT) ? -1 : NEXT(fstatat)(at, path, found, flags);          \
	}                                                                                              \
	int statvfs(const char *path, struct statvfs *found) {                                         \
		return below(path) && refused(STAT) ? -1 : NEXT(statvfs)(path, found);                     \
	}                                                                                              \
	int fstatvfs(int fd, struct statvfs *found) {                                                  \
		return watched(fd) && refused(STAT) ? -1 : NEXT(fstatvfs)(fd, found);                      \
	}

STATS(stat, lstat, fstat, fstatat, statvfs, fstatvfs)
/* The same for callers that were compiled for long files; the types have such names, too. */
STATS(stat64, lstat64, fstat64, fstatat64, statvfs64, fstatvfs64)

int flock(int fd, int how) {
	return watched(fd) && refused(LOCK) ? -1 : NEXT(flock)(fd, how);
}

#define LOCK_BYTES(name)                                                                           \
	int name(int fd, int command, ...) {                                                           \
		va_list more;                                                                              \
		va_start(more, command);                                                                   \
		void *argument = va_arg(more, void *);                                                     \
		va_end(more);                                                                              \
		int locks = command == F_OFD_SETLK || command == F_OFD_GETLK;                              \
		return locks && watched(fd) && refused(LOCK) ? -1 : NEXT(name)(fd, command, argument);     \
	}

LOCK_BYTES(fcntl)
LOCK_BYTES(fcntl64)

ssize_t pread(int fd, void *data, size_t length, off_t offset) {
	return watched(fd) && refused(READ) ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}

ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
	return pread(fd, data, length, offset);
}

int pipe2(int ends[2], int flags) {
	return folder_length && refused(PIPE) ? -1 : NEXT(pipe2)(ends, flags);
}
