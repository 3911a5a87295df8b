/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line prints: tables for people, JSON for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/limits.h"
#include "src/cli.h"

enum { COLUMNS = 10 };

void cli_print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

/* C1 controls too (0xc2 0x80-0x9f). */
void cli_tame(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            p[0] = p[1] = '?';
    }
}

/* A cell's text; the caller frees it. */
static char *cell(const json_t *value)
{
    char *text = NULL;
    if (json_is_string(value)) {
        text = strdup(json_string_value(value));
    } else if (json_is_boolean(value)) {
        text = strdup(json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        size_t i;
        json_t *item;
        struct buf joined;
        buf_init(&joined, MIB(1));
        buf_puts(&joined, "");
        json_array_foreach(value, i, item)
            buf_printf(&joined, "%s%s", i ? "," : "",
                       json_is_string(item) ? json_string_value(item) : "?");
        buf_u8(&joined, 0);
        text = buf_detach(&joined, NULL);
    } else if (value && !json_is_null(value)) {
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    } else {
        text = strdup("-");
    }
    check(text);
    cli_tame(text);
    return text;
}

static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80; /* code points are near enough */
    return width;
}

static void print_cell(const char *text, int width, bool last)
{
    fputs(text, stdout);
    if (last)
        putchar('\n');
    else
        printf("%*s", width - width_of(text) + 2, "");
}

void cli_table(const json_t *rows, const char *const columns[])
{
    int widths[COLUMNS], count = 0;
    size_t i;
    json_t *row;
    for (; columns[count]; count++) {
        check(count < COLUMNS);
        widths[count] = (int)strcspn(columns[count], ":");
        json_array_foreach((json_t *)rows, i, row) {
            char *text = cell(json_object_get(row, strchr(columns[count], ':') + 1));
            int width = width_of(text);
            widths[count] = width > widths[count] ? width : widths[count];
            free(text);
        }
    }
    for (int c = 0; c < count; c++) {
        char title[32];
        snprintf(title, sizeof title, "%.*s", (int)strcspn(columns[c], ":"), columns[c]);
        print_cell(title, widths[c], c == count - 1);
    }
    json_array_foreach((json_t *)rows, i, row)
        for (int c = 0; c < count; c++) {
            char *text = cell(json_object_get(row, strchr(columns[c], ':') + 1));
            print_cell(text, widths[c], c == count - 1);
            free(text);
        }
}

int cli_show(const struct cli *cli, json_t *rows, const char *const columns[])
{
    if (cli->json)
        cli_print_json(rows);
    else
        cli_table(rows, columns);
    json_decref(rows);
    return CLI_OK;
}
