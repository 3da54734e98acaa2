/* Time single file-system operations that must reach the file system.
 *
 * operations getattr|lookup|open|read COUNT FILE...
 *
 * Prints the mean of COUNT operations over the files, in nanoseconds. `lookup` times the first
 * stat(2) of each file: whoever calls it has made the kernel forget them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 4096, FILE_BYTES = 64 * 1024 };

static int look_up(const char *name) {
    struct stat st;
    return stat(name, &st);
}

static int get_attributes(const char *name) {
    struct statx stx;
    return statx(AT_FDCWD, name, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx);
}

static int open_file(const char *name) {
    int fd = open(name, O_RDONLY);
    return fd < 0 ? fd : close(fd);
}

static int read_first(const char *name) {
    static char buffer[READ_BYTES] __attribute__((aligned(READ_BYTES)));
    static off_t offset;
    static int fd;
    if (!fd) fd = open(name, O_RDONLY | O_DIRECT); /* of the first file, past the page cache */
    offset = (offset + READ_BYTES) % FILE_BYTES;
    return pread(fd, buffer, READ_BYTES, offset) == READ_BYTES ? 0 : -1;
}

static void repeat(int (*operation)(const char *), char **names, int files, long count) {
    for (long i = 0; i < count; i++)
        if (operation(names[i % files])) {
            perror(names[i % files]);
            exit(1);
        }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"lookup", "getattr", "open", "read"};
    static int (*const operations[])(const char *) = {look_up, get_attributes, open_file, read_first};
    int at = 0;
    while (at < 4 && argc > 3 && strcmp(names[at], argv[1])) at++;
    if (argc < 4 || at == 4) {
        fprintf(stderr, "usage: operations getattr|lookup|open|read COUNT FILE...\n");
        return 2;
    }
    long count = atol(argv[2]);
    if (at) repeat(look_up, argv + 3, argc - 3, argc - 3); /* the kernel knows the names */
    if (at == 3) repeat(read_first, argv + 3, argc - 3, 1); /* it is open */
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    repeat(operations[at], argv + 3, argc - 3, count);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.0f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + end.tv_nsec - begin.tv_nsec) / count);
    return 0;
}
