/* cli/store_import_command.c: chappe store import. */
#include "cli/store_import.h"
#include "cli/store_job.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct arguments {
    const char *file, *store;
    bool is_dry_run, is_verbose;
};

static int print_help(void)
{
    printf("chappe store import takes over what Mosquitto keeps with `persistence true`.\n\n"
           "Usage: chappe store import [OPTION]... MOSQUITTO.DB\n\n"
           "Sessions with their subscriptions, their queues and the messages in flight, and\n"
           "Retained Messages go into a store.  The file is only read.  Stop Mosquitto first:\n"
           "what it has not saved yet is not there.\n\n"
           " --store FOLDER  the persistence_location of the broker that is to have it\n"
           " --dry-run       say what would be taken over, and write nothing\n"
           " -v, --verbose   name each thing that is left out\n");
    return 0;
}

static int refuse(const char *what, const char *word)
{
    fprintf(stderr, "chappe store import: %s%s\nUse 'chappe store import --help'.\n", what, word);
    return STORE_USAGE;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "store", required_argument, NULL, 's' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    optind = 0; /* starts anew, and opterr: we speak for ourselves */
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":vh", options, NULL)) != -1;) {
        switch (c) {
        case 'n':
            out->is_dry_run = true;
            break;
        case 's':
            out->store = optarg;
            break;
        case 'v':
            out->is_verbose = true;
            break;
        case 'h':
            return print_help();
        case ':':
            return refuse("a value is missing after ", argv[optind - 1]);
        default:
            return refuse("there is no option ", argv[optind - 1]);
        }
    }
    if (optind + 1 != argc)
        return refuse(optind == argc ? "which file?" : "one file only, not also ",
                      optind == argc ? "" : argv[optind + 1]);
    out->file = argv[optind];
    if (out->store == NULL && !out->is_dry_run)
        return refuse("where to? --store FOLDER, or --dry-run", "");
    return -1;
}

/* ------------------------------------------------------------------------------- the file ----- */

/* Mapped, for it may be larger than memory.  Mosquitto replaces it as a whole, so that it does not
 * change under our eyes. */
static int map_file(const char *path, struct bytes *out)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failure = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
    void *at = NULL;
    if (failure == 0 && status.st_size > 0) {
        at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
            failure = -errno;
    }
    (void)close(fd); /* it was only read; the mapping stays */
    if (failure == 0)
        *out = bytes_of(at, (size_t)status.st_size);
    return failure;
}

static void unmap_file(struct bytes file)
{
    if (file.size > 0)
        (void)munmap((void *)(uintptr_t)file.data, file.size); /* ours: cannot fail */
}

/* -------------------------------------------------------------------------------- report ------ */

static void print_left(void *context, const struct import_left *left)
{
    (void)context;
    printf("left out, at byte %" PRIu64 ": %s, %s: \"", left->offset, import_kind_name(left->kind),
           import_reason_text(left->reason));
    for (size_t i = 0; i < left->name.size; i++) {
        uint8_t byte = left->name.data[i];
        if (byte < ' ' || byte == 0x7f || byte == '\\' || byte == '"')
            printf("\\x%02x", byte);
        else
            putchar(byte);
    }
    printf("\"\n");
}

static void print_report(const char *path, const struct import_report *r)
{
    printf("%s: format %" PRIu32 ", saved %s\n", path, r->version,
           r->is_stopped ? "when Mosquitto stopped"
                         : "while Mosquitto was running: what came later is not in it");
    for (int kind = 0; kind < IMPORT_KINDS; kind++) {
        printf("%-20s %9" PRIu64 " taken over\n", import_kind_name((enum import_kind)kind),
               r->taken[kind]);
        for (int reason = 0; reason < IMPORT_REASONS; reason++) {
            if (r->left[kind][reason] > 0)
                printf("%-20s %9" PRIu64 " left out: %s\n", "", r->left[kind][reason],
                       import_reason_text((enum import_reason)reason));
        }
    }
    if (r->released > 0)
        printf("%-20s %9" PRIu64 " handed on now: acknowledged, not yet released by the client\n",
               "received messages", r->released);
    if (r->renamed > 0)
        printf("%-20s %9" PRIu64 " in flight get another packet id: theirs is above %d\n"
               "%-20s %9" PRIu64 " of these may arrive twice: QoS 2\n",
               "", r->renamed, IMPORT_PACKET_ID_MAX, "", r->renamed_qos2);
}

static int import(const struct arguments *a, struct bytes file,
                  int (*write)(const struct store_import *, const char *))
{
    struct store_import_options o = { .now_s = time(NULL),
                                      .on_left = a->is_verbose ? print_left : NULL };
    if (getrandom(&o.seed, sizeof o.seed, 0) != sizeof o.seed)
        o.seed = (uint64_t)o.now_s; /* guessable: a hostile file may then be slow to read */
    struct store_import *s = NULL;
    struct mosquitto_db_fault fault = { 0 };
    int failure = store_import_create(file, &o, &s, &fault);
    if (failure == -ENOMEM) {
        fprintf(stderr, "chappe store import: %s: not enough memory\n", a->file);
        return 1;
    }
    if (failure != 0) {
        fprintf(stderr, "chappe store import: %s, byte %" PRIu64 ": %s\n", a->file, fault.offset,
                fault.text);
        return 1;
    }
    print_report(a->file, store_import_report(s));
    (void)fflush(stdout); /* before what stderr has to say */
    int status = 0;
    if (a->is_dry_run)
        printf("This was a dry run: nothing was written.\n");
    else
        status = write(s, a->store);
    store_import_destroy(s);
    return status;
}

int store_import_main(int argc, char **argv,
                      int (*write)(const struct store_import *s, const char *folder))
{
    struct arguments a = { 0 };
    int status = parse(argc, argv, &a);
    if (status >= 0)
        return status;
    struct bytes file = { 0 };
    int failure = map_file(a.file, &file);
    if (failure != 0) {
        fprintf(stderr, "chappe store import: %s: %s\n", a.file, strerror(-failure));
        return 1;
    }
    status = import(&a, file, write);
    unmap_file(file);
    return status;
}
