/* The floor of a FUSE operation: 1,000 files of 64 KiB, in memory, by libfuse's low-level API.
 *
 * floor MOUNTPOINT   stays in the foreground until it is unmounted
 */
#define FUSE_USE_VERSION 35
#define _GNU_SOURCE
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES = 1000, FILE_BYTES = 64 * 1024, FIRST_FILE = 2 };
static const double LIFETIME_S = 86400;
static char bytes[FILE_BYTES];

static int describe(fuse_ino_t ino, struct stat *st) {
    if (ino != FUSE_ROOT_ID && (ino < FIRST_FILE || ino >= FIRST_FILE + FILES)) return ENOENT;
    *st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_blksize = 131072};
    st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
    st->st_size = ino == FUSE_ROOT_ID ? 0 : FILE_BYTES;
    return 0;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    (void)parent;
    struct fuse_entry_param entry = {.attr_timeout = LIFETIME_S, .entry_timeout = LIFETIME_S};
    if (*end || end == name || number >= FILES) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    entry.ino = FIRST_FILE + number;
    describe(entry.ino, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info) {
    struct stat st;
    (void)info;
    int error = describe(ino, &st);
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_attr(req, &st, LIFETIME_S);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info) {
    (void)ino;
    info->keep_cache = 1;
    fuse_reply_open(req, info);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info) {
    (void)ino, (void)info;
    size_t rest = offset < FILE_BYTES ? FILE_BYTES - offset : 0;
    fuse_reply_buf(req, bytes + (rest ? offset : 0), size < rest ? size : rest);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup, .getattr = on_getattr, .open = on_open, .read = on_read,
};

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: floor MOUNTPOINT\n");
        return 2;
    }
    char *arguments[] = {argv[0], "-o", "ro,fsname=floor"};
    struct fuse_args args = FUSE_ARGS_INIT(3, arguments);
    struct fuse_session *session =
        fuse_session_new(&args, &operations, sizeof operations, NULL);
    if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
        return 1;
    fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return 0;
}
