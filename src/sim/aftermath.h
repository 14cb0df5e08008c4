/* sim/aftermath.h: the broker has died and is back: has everything survived that it promised?
 *
 *     promised by an acknowledgement     has to be there
 *     taken, and not acknowledged        may be there: from here on it is, or it never was
 *     finished a moment ago              may be there still, but not of QoS 2
 *     anything else                      must not be there
 *
 * The model then goes on from what is on the disk. */
#pragma once

#include "sim/survey.h"

enum downfall {
    DOWNFALL_STOP,  /* it was told to stop, and has stopped */
    DOWNFALL_KILL,  /* the process has ended */
    DOWNFALL_POWER, /* the machine was switched off */
};
struct fall {
    enum downfall how;
    bool loses_window; /* what was promised a moment ago may be lost: persistence_sync_window */
    bool has_unseen;   /* it had time to stop, and did what the model did not follow */
};

/* The broker is back (server_open_store), and has not taken a turn. */
void aftermath(struct model *m, const struct fall *fall, const struct server *server);
