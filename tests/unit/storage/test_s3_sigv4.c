/* SPDX-License-Identifier: Apache-2.0 */
/* Signature V4 against the examples of the S3 documentation ("Signature Calculations for the
 * Authorization Header: Transferring Payload in a Single Chunk", and "... Using Query Parameters"). */
#include <string.h>

#include "storage/blob/sigv4.h"

/* after ours: cmocka has a macro fail() */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4_keys keys = { "AKIAIOSFODNN7EXAMPLE",
                                        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL };
static const int64_t when = 1369353600000; /* 2013-05-24T00:00:00Z */

static const char *signature_of(struct arena *a, const char *method, const char *path,
                                const char *query, const char *hash, const char *const *headers)
{
    struct sigv4_request r = { .method = method, .host = "examplebucket.s3.amazonaws.com",
                               .path = path, .query = query, .payload_hash = hash,
                               .headers = headers, .region = "us-east-1", .service = "s3",
                               .wall_ms = when };
    char *text = sigv4_authorization(a, &r, &keys);
    assert_non_null(strstr(text, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"));
    return strstr(text, "Signature=") + 10;
}

static void sigv4_signs_as_documented(void **state)
{
    struct arena a;
    arena_init(&a);
    const char *const range[] = { "range:bytes=0-9", NULL };
    assert_string_equal(signature_of(&a, "GET", "/test.txt", "", EMPTY, range),
                        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    const char *const put[] = { "x-amz-storage-class:REDUCED_REDUNDANCY",
                                "date:Fri, 24 May 2013 00:00:00 GMT", NULL };
    assert_string_equal(
        signature_of(&a, "PUT", "/test%24file.text", "",
                     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", put),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    assert_string_equal(signature_of(&a, "GET", "/", "lifecycle=", EMPTY, NULL),
                        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    assert_string_equal(signature_of(&a, "GET", "/", "max-keys=2&prefix=J", EMPTY, NULL),
                        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    arena_release(&a);
}

static void sigv4_presigns_as_documented(void **state)
{
    struct arena a;
    arena_init(&a);
    struct sigv4_request r = { .method = "GET", .host = "examplebucket.s3.amazonaws.com",
                               .path = "/test.txt", .query = "", .region = "us-east-1",
                               .service = "s3", .wall_ms = when };
    char *query = sigv4_presign(&a, &r, &keys, 86400);
    assert_string_equal(strstr(query, "X-Amz-Signature=") + 16,
                        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    assert_non_null(strstr(query, "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1"));
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigv4_signs_as_documented),
        cmocka_unit_test(sigv4_presigns_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
