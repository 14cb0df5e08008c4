/* chappe/chappe.h: all of libchappe, an MQTT 3.1, 3.1.1 and 5.0 client library. */
#ifndef CHAPPE_CHAPPE_H
#define CHAPPE_CHAPPE_H

#include <chappe/client.h>
#include <chappe/loop.h>
#include <chappe/properties.h>
#include <chappe/types.h>

#endif
