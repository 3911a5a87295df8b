/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as pantera.yml. Must be refused with a one-line reason, or give a configuration;
 * nothing else may happen. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pantera/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct why why = { "" };
    enum err e = config_parse("fuzz.yml", (const char *)data, size, &c, &why);
    if (e) {
        check(!c);
        check(why.text[0] && !strpbrk(why.text, "\r\n"));
    } else {
        check(c && c->home && c->cache_dir && c->port >= 0 && c->port <= 65535);
        config_free(c);
    }
    return 0;
}
