/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera completion bash`: a completion for bash, made from cli_commands.def: nouns, verbs, and the options
 * that a command has. */
#include <stdio.h>
#include <string.h>

#include "src/cli.h"

/* COMP_WORDBREAKS has ':' and '=': "--url http://a:1" and "--url=http://a:1" come in pieces, which belong to
 * the option. */
static const char walk[] =
    "_pantera()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} noun= verb= skip= word i options values verbs\n"
    "    values=' %s'\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $word == [:=] ]]; then skip=$word\n"
    "        elif [[ $skip ]]; then skip=\n"
    "        elif [[ $values == *\" $word \"* ]]; then skip=$word\n"
    "        elif [[ $word == -* ]]; then :\n"
    "        elif [[ ! $noun ]]; then noun=$word\n"
    "        elif [[ ! $verb ]]; then verb=$word\n"
    "        fi\n"
    "    done\n"
    "    [[ $cur == = ]] && cur= skip==\n"
    "    if [[ $skip ]]; then\n"
    "        [[ $skip == --ca || $skip == --file || $skip == = ]] && COMPREPLY=($(compgen -f -- \"$cur\"))\n"
    "        return\n"
    "    fi\n";

static const char finish[] =
    "    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
    "    elif [[ ! $noun ]]; then COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))\n"
    "    elif [[ ! $verb ]]; then COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "complete -F _pantera pantera\n";

/* Each word of "name= flag " as "--name "; with `values`, only those that take a value. */
static const char *dashed(struct cli *cli, const char *list, bool values, const char *text)
{
    for (; *(list += strspn(list, " ")); list += strcspn(list, " ")) {
        size_t n = strcspn(list, " ");
        bool takes = list[n - 1] == '=';
        char *name = arena_printf(&cli->arena, "--%.*s ", (int)(n - takes), list);
        const char *known = arena_printf(&cli->arena, " %s", text);
        if ((takes || !values) && !strstr(known, arena_printf(&cli->arena, " %s", name)))
            text = arena_printf(&cli->arena, "%s%s", text, name);
    }
    return text;
}

int cli_completion(struct cli *cli, int argc, char **argv)
{
    unsigned count;
    const char *common, *nouns = "", *values = "";
    const struct cli_command *c = cli_commands(&count, &common);
    if (strcmp(argv[0], "bash") != 0) {
        cli_say("there is a completion for bash only");
        return CLI_USAGE;
    }
    values = dashed(cli, common, true, values);
    for (unsigned i = 0; i < count; i++)
        values = dashed(cli, c[i].options, true, values);
    printf(walk, values);
    fputs("    case $noun in\n", stdout);
    for (unsigned i = 0; i < count; i++) {
        if (i && strcmp(c[i].noun, c[i - 1].noun) == 0)
            continue;
        nouns = arena_printf(&cli->arena, "%s%s ", nouns, c[i].noun);
        const char *verbs = "";
        for (unsigned v = i; v < count && strcmp(c[v].noun, c[i].noun) == 0; v++)
            if (c[v].verb)
                verbs = arena_printf(&cli->arena, "%s%s ", verbs, c[v].verb);
        printf("    %s) verbs='%s' ;;\n", c[i].noun, strcmp(c[i].noun, "completion") ? verbs : "bash ");
    }
    fputs("    esac\n    case \"$noun $verb\" in\n", stdout);
    for (unsigned i = 0; i < count; i++)
        printf("    '%s '%s) options='%s' ;;\n", c[i].noun, c[i].verb ? c[i].verb : "*",
               dashed(cli, c[i].options, false, dashed(cli, common, false, "")));
    printf("    *) options='%s' ;;\n    esac\n", dashed(cli, common, false, ""));
    printf(finish, nouns);
    return CLI_OK;
}
