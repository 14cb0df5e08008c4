/* cli/main.c: which command? */
#include "cli/commands.h"
#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "broker") == 0)
        return cli_broker(argc - 1, argv + 1);
    return cli_broker(argc, argv);
}
