/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6238's vectors (appendix B, SHA-1; the last six of eight digits), the window, backup codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/totp.h"

#include <cmocka.h>

static const unsigned char secret[20] = "12345678901234567890";

static void totp_code_is_that_of_the_rfc(void **state)
{
    static const struct { int64_t time_s; unsigned code; } vectors[] = {
        { 59, 287082 }, { 1111111109, 81804 }, { 1111111111, 50471 },
        { 1234567890, 5924 }, { 2000000000, 279037 }, { 20000000000, 353130 },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_int_equal(totp_code(secret, 20, vectors[i].time_s / 30), vectors[i].code);
}

static void totp_step_takes_one_step_of_drift_and_no_more(void **state)
{
    char code[8];
    snprintf(code, sizeof code, "%06u", totp_code(secret, 20, 1000));
    for (int64_t step = 997; step <= 1003; step++)
        assert_int_equal(totp_step(secret, 20, code, step * 30000 + 12345),
                         step >= 999 && step <= 1001 ? 1000 : 0);
    assert_int_equal(totp_step(secret, 20, "", 30000000), 0);
    assert_int_equal(totp_step(secret, 20, "12345", 30000000), 0);
    assert_int_equal(totp_step(secret, 20, "1234567", 30000000), 0);
}

static void base32_is_that_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = { /* RFC 4648 §10, without padding */
        { "", "" }, { "f", "MY" }, { "fo", "MZXQ" }, { "foo", "MZXW6" }, { "foob", "MZXW6YQ" },
        { "fooba", "MZXW6YTB" }, { "foobar", "MZXW6YTBOI" },
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_string_equal(base32_encode(&a, (const unsigned char *)vectors[i][0], strlen(vectors[i][0])),
                            vectors[i][1]);
    arena_release(&a);
}

static void totp_secret_opens_for_its_user_only(void **state)
{
    struct arena a;
    struct seal_key key;
    struct totp_secret s;
    struct why why = { "" };
    int64_t step = 0;
    arena_init(&a);
    seal_key_new(&key);
    totp_secret_new(&a, &key, "joe", &s);
    assert_int_equal(strlen(s.text), 32);
    assert_non_null(strstr(s.url, s.text));
    assert_null(strstr(s.sealed, s.text));
    assert_int_equal(totp_check(&a, &key, "joe", s.sealed, "abcdef", &step, &why), ERR_UNAUTHORIZED);
    assert_int_equal(totp_check(&a, &key, "eve", s.sealed, "123456", &step, &why), ERR_INTERNAL);
    assert_int_equal(step, 0);
    arena_release(&a);
}

static void backup_codes_are_read_as_people_write_them(void **state)
{
    struct arena a;
    arena_init(&a);
    char *code = backup_code_new(&a), upper[64];
    assert_int_equal(strlen(code), 19);
    assert_true(backup_code_shaped(code));
    snprintf(upper, sizeof upper, " %.4s %.14s", code, code + 5);
    for (char *c = upper; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    assert_string_equal(backup_code_hash(&a, "joe", code), backup_code_hash(&a, "joe", upper));
    assert_string_not_equal(backup_code_hash(&a, "joe", code), backup_code_hash(&a, "eve", code));
    assert_string_not_equal(backup_code_hash(&a, "joe", code),
                            backup_code_hash(&a, "joe", backup_code_new(&a)));
    assert_false(backup_code_shaped("123456"));
    assert_false(backup_code_shaped("k5tq-2m7a-k5tq-2m7"));
    assert_false(backup_code_shaped("k5tq-2m7a-k5tq-2m7ax"));
    assert_false(backup_code_shaped("k5tq-2m7a-k5tq-2m7\xff"));
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totp_code_is_that_of_the_rfc),
        cmocka_unit_test(totp_step_takes_one_step_of_drift_and_no_more),
        cmocka_unit_test(base32_is_that_of_the_rfc),
        cmocka_unit_test(totp_secret_opens_for_its_user_only),
        cmocka_unit_test(backup_codes_are_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
