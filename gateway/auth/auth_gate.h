/*
 * auth_gate: how much hashing failed logins may cost, by address and by name.
 *
 * Shared by all workers, with a lock of its own that is held for no longer than two look-ups. A login whose
 * outcome is not known takes a token before it is hashed; one that was right gives it back.
 */
#ifndef GATEWAY_AUTH_GATE_H
#define GATEWAY_AUTH_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct auth_gate;

/* Whose login it is: 64-bit hashes of the address, and of the address with the name. */
struct auth_sender {
    uint64_t address;
    uint64_t address_and_name;
};

struct auth_gate *auth_gate_new(void);
void auth_gate_free(struct auth_gate *g);
/* False: failed too often. rate: tokens a second of an address; of a name at an address an eighth. */
bool auth_gate_take(struct auth_gate *g, const struct auth_sender *s, uint64_t rate,
                    uint64_t now_us);
void auth_gate_give_back(struct auth_gate *g, const struct auth_sender *s);

#endif
