/* cli/store_facts.h: what the broker keeps in the store, as facts.  docs/formats/records.md */
#pragma once

#include "broker/durable_records.h"
#include "cli/facts.h"
#include "cli/store_names.h"

/* All of a record: its type, what it is about, and its flaw if it has one.  Payloads are cut after
 * so many bytes; 0: left out. */
void facts_record(struct facts *f, const struct record *r, size_t payload_max);

/* Its parts. */
void facts_key(struct facts *f, const struct durable_key *k);
void facts_owner(struct facts *f, uint64_t queue, const struct store_owner *owner);
void facts_session(struct facts *f, const struct stored_session *s, size_t payload_max);
void facts_subscription(struct facts *f, const struct stored_subscription *s);
void facts_delivery(struct facts *f, const struct stored_delivery *d);
void facts_message(struct facts *f, struct bytes body, size_t payload_max); /* as stored */
