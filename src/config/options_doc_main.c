/* config/options_doc_main.c: brings the documentation in the source tree up to date.
 *
 *     options-doc ROOT            rewrites the part of each file that the table makes
 *     options-doc --check ROOT    changes nothing; status 1 when a file is out of date
 *
 * A tool of the build, not of the broker: it reads and writes files by itself. */
#include "config/options_doc.h"
#include <errno.h>
#include <stdio.h>

static const struct {
    const char *path;
    enum options_doc_format format;
} documents[] = {
    { "docs/configuration.md", OPTIONS_DOC_MARKDOWN },
    { "docs/man/chappe.conf.5", OPTIONS_DOC_MAN },
    { "packaging/chappe.conf.example", OPTIONS_DOC_EXAMPLE },
};

static int read_file(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -errno;
    int rc = 0;
    for (;;) {
        uint8_t *room = buffer_reserve(out, 4096);
        if (room == NULL) {
            rc = -ENOMEM;
            break;
        }
        size_t got = fread(room, 1, 4096, file);
        buffer_commit(out, got);
        if (got == 0)
            break;
    }
    if (rc == 0 && ferror(file) != 0)
        rc = -EIO;
    (void)fclose(file); /* only read */
    return rc;
}

static int write_file(const char *path, struct bytes text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return -errno;
    size_t put = fwrite(text.data, 1, text.size, file);
    int closed = fclose(file);
    return put == text.size && closed == 0 ? 0 : -EIO;
}

/* 0: as it should be (now); 1: out of date; a negative errno. */
static int update(const char *path, enum options_doc_format format, bool is_check)
{
    struct buffer now, wanted;
    buffer_init(&now);
    buffer_init(&wanted);
    int rc = read_file(path, &now);
    if (rc == 0)
        rc = options_doc_splice(format, buffer_bytes(&now), &wanted);
    if (rc == 0 && !bytes_equal(buffer_bytes(&now), buffer_bytes(&wanted)))
        rc = is_check ? 1 : write_file(path, buffer_bytes(&wanted));
    buffer_fini(&wanted);
    buffer_fini(&now);
    return rc;
}

int main(int argc, char **argv)
{
    bool is_check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 2 && !is_check) {
        (void)fprintf(stderr, "usage: options-doc [--check] SOURCE_ROOT\n");
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", argv[argc - 1], documents[i].path);
        int rc = update(path, documents[i].format, is_check);
        if (rc == 0)
            continue;
        (void)fprintf(stderr, "%s: %s\n", path,
                      rc == 1 ? "out of date, run options-doc" : strerror(-rc));
        failed = 1;
    }
    return failed;
}
