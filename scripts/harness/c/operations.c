/* Time single file-system operations that must reach the file system.
 *
 * operations getattr|lookup|open|read COUNT FILE...
 *
 * Prints the mean of COUNT operations over the files, in nanoseconds. `lookup` times the first
 * stat(2) of each file: whoever calls it has made the kernel forget them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 4096, FILE_BYTES = 64 * 1024 };

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void check(long result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: operations getattr|lookup|open|read COUNT FILE...\n");
        return 2;
    }
    const char *operation = argv[1];
    long count = atol(argv[2]);
    int files = argc - 3;
    char **names = argv + 3;
    struct stat st;
    struct statx stx;
    int64_t begin = 0;
    if (!strcmp(operation, "lookup")) {
        begin = now();
        for (long i = 0; i < count; i++) check(stat(names[i % files], &st), names[i % files]);
    } else if (!strcmp(operation, "getattr")) {
        for (int i = 0; i < files; i++) check(stat(names[i], &st), names[i]);
        begin = now();
        for (long i = 0; i < count; i++)
            check(statx(AT_FDCWD, names[i % files], AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx),
                  names[i % files]);
    } else if (!strcmp(operation, "open")) {
        for (int i = 0; i < files; i++) check(stat(names[i], &st), names[i]);
        begin = now();
        for (long i = 0; i < count; i++) {
            int fd = open(names[i % files], O_RDONLY);
            check(fd, names[i % files]);
            close(fd);
        }
    } else if (!strcmp(operation, "read")) {
        void *buffer;
        if (posix_memalign(&buffer, READ_BYTES, READ_BYTES)) return 1;
        int fd = open(names[0], O_RDONLY | O_DIRECT); /* past the page cache */
        check(fd, names[0]);
        begin = now();
        for (long i = 0; i < count; i++) {
            long got = pread(fd, buffer, READ_BYTES, (i * READ_BYTES) % FILE_BYTES);
            check(got == READ_BYTES ? got : -1, names[0]);
        }
    } else {
        fprintf(stderr, "operations: unknown operation %s\n", operation);
        return 2;
    }
    printf("%.0f\n", (double)(now() - begin) / count);
    return 0;
}
