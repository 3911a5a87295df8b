/* SPDX-License-Identifier: Apache-2.0 */
/* What servers and token services write: challenges, tokens, Retry-After, locations. */
#include <stdlib.h>
#include <string.h>

#include "src/upstream/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct challenge c;
    struct client_url url;
    const char *token;
    int64_t life;
    arena_init(&a);
    char *text = arena_strndup(&a, (const char *)data, size);
    if (challenge_parse(&a, text, &c) && !header_text(c.realm))
        abort();
    if (token_answer_parse(&a, (const char *)data, size, &token, &life) && (!header_text(token) || life <= 0))
        abort();
    if (retry_after_parse(text, 0) > 600000)
        abort();
    if (client_url(&a, "https://host.example/a/b", text, &url, NULL) == OK && !header_text(url.text))
        abort();
    arena_release(&a);
    return 0;
}
