/* cli/main.c: one program with many names.
 *
 *     chappe                     broker: with nothing, or with options, as mosquitto is called
 *     chappe pub ...             the command
 *     mosquitto_pub ...          a link to the program: the same, under the name people know */
#include "cli/commands.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;     /* chappe NAME */
    const char *known_as; /* argv[0] that means the same; NULL: none */
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct command commands[] = {
    { "broker", "mosquitto", cli_broker, "run the broker (also without a command)" },
    { "pub", "mosquitto_pub", cli_pub, "publish messages" },
    { "sub", "mosquitto_sub", cli_sub, "subscribe to topics and print what arrives" },
    { "bench", NULL, cli_bench, "load a broker with messages, and measure" },
    { "store", NULL, cli_store, "check, dump, copy and repair what a broker keeps on disk" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static const struct command *command_known_as(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].known_as != NULL && strcmp(commands[i].known_as, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int print_version(void)
{
    printf("chappe version %s\n", CHAPPE_VERSION);
    return 0;
}

static int print_help(void)
{
    printf(
        "Chappe, an MQTT broker and its tools, version %s.\n\nUsage: chappe COMMAND [OPTION]...\n"
        "       chappe [OPTION]...      the same as chappe broker\n\n",
        CHAPPE_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].summary);
    printf("  %-8s what a command can do: chappe help COMMAND\n  %-8s print the version\n\n"
           "Called as mosquitto, mosquitto_pub or mosquitto_sub it behaves as the program of that "
           "name.\n",
           "help", "version");
    return 0;
}

/* How many letters must be changed, added or left out to turn one word into the other, for words
 * shorter than the row; a large number for longer ones. */
static size_t distance(const char *from, const char *to)
{
    size_t row[32], size = strlen(to);
    if (size >= sizeof row / sizeof row[0])
        return SIZE_MAX;
    for (size_t i = 0; i <= size; i++)
        row[i] = i;
    for (size_t line = 1; *from != '\0'; from++, line++) {
        size_t diagonal = row[0];
        row[0] = line;
        for (size_t i = 1; i <= size; i++) {
            size_t best = diagonal + (*from != to[i - 1]);
            best = row[i] + 1 < best ? row[i] + 1 : best;
            best = row[i - 1] + 1 < best ? row[i - 1] + 1 : best;
            diagonal = row[i];
            row[i] = best;
        }
    }
    return row[size];
}

static int refuse(const char *name)
{
    const char *nearest = NULL;
    size_t best = 3; /* further away it is no slip of the finger */
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t d = distance(name, commands[i].name);
        if (d < best) {
            best = d;
            nearest = commands[i].name;
        }
    }
    fprintf(stderr, "chappe: there is no command '%s'.", name);
    if (nearest != NULL)
        fprintf(stderr, " Did you mean '%s'?", nearest);
    fprintf(stderr, "\nUse 'chappe help' to see the commands.\n");
    return 1;
}

static int help(int argc, char **argv)
{
    if (argc < 2)
        return print_help();
    const struct command *command = command_find(argv[1]);
    if (command == NULL)
        return refuse(argv[1]);
    char help_option[] = "--help";
    char *arguments[] = { argv[1], help_option, NULL };
    return command->run(2, arguments);
}

static int is_any(const char *word, const char *one, const char *other)
{
    return strcmp(word, one) == 0 || strcmp(word, other) == 0;
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 0 ? command_known_as(argv[0]) : NULL;
    if (command != NULL)
        return command->run(argc, argv);
    if (argc < 2)
        return cli_broker(argc, argv);
    if (is_any(argv[1], "--help", "-h"))
        return print_help();
    if (is_any(argv[1], "--version", "version"))
        return print_version();
    if (argv[1][0] == '-')
        return cli_broker(argc, argv);
    if (strcmp(argv[1], "help") == 0)
        return help(argc - 1, argv + 1);
    command = command_find(argv[1]);
    return command != NULL ? command->run(argc - 1, argv + 1) : refuse(argv[1]);
}
