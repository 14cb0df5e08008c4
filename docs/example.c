/* docs/example.c: subscribes to a topic, publishes to it, and prints what comes back.
 *
 *     cc example.c $(pkg-config --cflags --libs chappe) -o example && ./example localhost */
#include <chappe/chappe.h>
#include <stdio.h>
#include <stdlib.h>

static void hello(struct chappe_client *client)
{
    struct chappe_subscription subscription = { chappe_string("hello/#"), 1 };
    struct chappe_message message = { .topic = chappe_string("hello/world"),
                                      .payload = chappe_string("bonjour"),
                                      .qos = 1 };
    chappe_client_subscribe(client, &subscription, 1, chappe_bytes(NULL, 0), NULL);
    chappe_client_publish(client, &message, NULL);
}

int main(int argc, char **argv)
{
    struct chappe_client_options options = { .clean_start = true, .keep_alive_s = 60 };
    struct chappe_loop_options where = { .host = argc > 1 ? argv[1] : "localhost",
                                         .port = argc > 2 ? (uint16_t)atoi(argv[2]) : 1883 };
    struct chappe_client *client = NULL;
    struct chappe_loop *loop = NULL;
    struct chappe_event event;
    int result = chappe_client_create(&options, &client);
    if (result == 0)
        result = chappe_loop_create(client, &where, &loop);
    if (result == 0)
        result = chappe_loop_connect(loop);

    while (result >= 0 && (result = chappe_loop_next(loop, 5000, &event)) > 0) {
        if (event.type == CHAPPE_EVENT_CONNECTED) {
            hello(client);
        } else if (event.type == CHAPPE_EVENT_MESSAGE) {
            printf("%.*s\n", (int)event.message.payload.size, event.message.payload.data);
            chappe_client_disconnect(client, CHAPPE_SUCCESS, chappe_bytes(NULL, 0));
        } else if (event.type == CHAPPE_EVENT_REFUSED) {
            fprintf(stderr, "refused: %s\n", chappe_error_text((int)event.reason));
        } else if (event.type == CHAPPE_EVENT_DISCONNECTED) {
            break;
        }
    }
    if (result < 0)
        fprintf(stderr, "%s\n", chappe_error_text(result));
    chappe_loop_destroy(loop);
    chappe_client_destroy(client);
    return result < 0;
}
