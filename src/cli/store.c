/* cli/store.c: `chappe store VERB`: finds the verb, its words, and the folder that is meant. */
#include "cli/commands.h"
#include "cli/store_folder.h"
#include "cli/store_import.h"
#include "cli/store_import_write.h"
#include "cli/store_verbs.h"
#include "config/config.h"
#include "io/env_real.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verb {
    const char *name;
    int (*run)(const struct store_job *);
    unsigned words; /* of enum store_word */
    const char *usage, *summary, *help;
};

static const struct verb verbs[] = {
    { "check", store_check_run, 0, "FOLDER", "read everything, and say what is wrong",
      "Reads every byte of the store and of what the broker keeps in it.  Names file and byte of\n"
      "whatever is wrong.  Changes nothing; a broker may be running.\n" },
    { "dump", store_dump_run, STORE_TAKES_JSON | STORE_TAKES_CHOICE, "FOLDER",
      "print what was written, or what is live",
      "Prints every record, in the order in which they were written.  A broker may be running.\n\n"
      " --live            what is there now: sessions, subscriptions, groups, retained messages,\n"
      "                   and how much is queued\n"
      " --messages        with --live: also the queued messages\n"
      " --session CLIENT  only what is about this client's session\n"
      " --topic FILTER    only messages whose topic it matches\n"
      " --full            payloads are not cut\n"
      " --json            a JSON object per line\n" },
    { "stats", store_stats_run, STORE_TAKES_JSON | STORE_TAKES_TOP, "FOLDER", "count what is in it",
      "Counts bytes, sessions, subscriptions, groups, retained and queued messages.  A broker may\n"
      "be running.\n\n"
      " --top N           how many of the longest queues are shown (10)\n"
      " --json            a JSON object\n" },
    { "backup", store_backup_run, STORE_TAKES_TARGET, "FOLDER TO",
      "copy it while a broker is running",
      "Copies the store as it is at one moment to the new folder TO, and reads the copy back.  A\n"
      "broker may be running, and goes on.\n" },
    { "repair", store_repair_run, STORE_TAKES_TARGET, "FOLDER TO",
      "copy what is readable of a damaged store",
      "Copies everything that is readable to a new store, TO.  What is not is named, and its "
      "bytes\n"
      "are kept in TO/lost.  Changes nothing in FOLDER.  No broker may be running on it.\n" },
};

enum { VERBS = sizeof verbs / sizeof verbs[0] };

static int print_help(void)
{
    printf(
        "chappe store looks at what a broker keeps on disk, and copies it.\n\n"
        "Usage: chappe store VERB [OPTION]... FOLDER [TO]\n"
        "       chappe store VERB [OPTION]... -c FILE [TO]\n\n"
        "FOLDER is the store's, or the persistence_location that it is in; FILE is the broker's\n"
        "configuration, which says so.\n\n");
    for (size_t i = 0; i < VERBS; i++)
        printf("  %-8s %s\n", verbs[i].name, verbs[i].summary);
    printf(
        "  %-8s take over what Mosquitto has kept\n\n"
        "'chappe store VERB --help' tells more.  Exit status: 0; 1: damage, or it failed; 2: wrong "
        "usage.\n",
        "import");
    return STORE_FINE;
}

static int print_verb_help(const struct verb *v)
{
    printf("Usage: chappe store %s [OPTION]... %s\n\n%s\n"
           " -c, --config-file FILE   instead of FOLDER: the broker's configuration\n"
           " -h, --help               this text\n",
           v->name, v->usage, v->help);
    return STORE_FINE;
}

static int refuse(const char *verb)
{
    fprintf(stderr, "chappe store: %s%s%s\nUse 'chappe store --help'.\n",
            verb == NULL ? "what is to be done?" : "there is no verb '", verb == NULL ? "" : verb,
            verb == NULL ? "" : "'.");
    return STORE_USAGE;
}

/* ------------------------------------------------------------------------------- folders ------ */

/* The folder that a configuration names; the caller frees it.  NULL: it has been said why. */
static char *location_of(const struct store_job *j)
{
    struct config_overrides overrides = { .persistence_location =
                                              getenv("MOSQUITTO_PERSISTENCE_LOCATION") };
    struct config_error error = { 0 };
    struct config *config;
    if (config_read(j->env, j->config, &overrides, NULL, &config, &error) != 0) {
        if (error.path[0] == '\0')
            store_say(j, "%s: %s", j->config, error.text);
        else
            store_say(j, "%s:%d: %s", error.path, error.line, error.text);
        return NULL;
    }
    const char *location = config->persistence_location;
    char *copy = strdup(location == NULL ? "." : location);
    config_destroy(config);
    if (copy == NULL)
        store_say(j, "not enough memory");
    return copy;
}

static bool find_folder(struct store_job *j)
{
    char *location = NULL;
    const char *place = j->place;
    if (place == NULL)
        place = location = location_of(j);
    if (place == NULL)
        return false;
    int result = store_folder_find(j->env->files, place, j->folder, sizeof j->folder);
    if (result == -ENOENT)
        store_say(j,
                  "there is no store in %s, nor in %s/chappe: no file named like a segment, "
                  "0000000000000001.log",
                  place, place);
    else if (result < 0)
        store_say(j, "%s cannot be looked at: %s%s", place, strerror(-result),
                  result == -EACCES
                      ? "\nWhat to do: run this as the user of the broker, or as root."
                      : "");
    free(location);
    return result == 0;
}

/* --------------------------------------------------------------------------------- running ---- */

static int run(const struct verb *v, int argc, char **argv)
{
    struct store_job j = { .env = &env_real };
    struct buffer error = { 0 };
    if (!store_job_parse(&j, v->words, argc, argv, &error)) {
        store_say(&j, "%.*s\nUse 'chappe store %s --help'.", (int)error.size,
                  (const char *)error.data, v->name);
        buffer_fini(&error);
        return STORE_USAGE;
    }
    if (j.is_help)
        return print_verb_help(v);
    int status = find_folder(&j) ? v->run(&j) : STORE_FAILED;
    if (fflush(stdout) != 0 && status == STORE_FINE) {
        store_say(&j, "the output cannot be written: %s", strerror(errno));
        status = STORE_FAILED;
    }
    return status;
}

int cli_store(int argc, char **argv)
{
    if (argc < 2)
        return refuse(NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "import") == 0)
        return store_import_main(argc - 1, argv + 1, store_import_write);
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, argv[1]) == 0)
            return run(&verbs[i], argc - 1, argv + 1);
    }
    return refuse(argv[1]);
}
