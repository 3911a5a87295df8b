/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli.h: `pantera`, the operator's command line: the same binary under another name. */
#ifndef SRC_CLI_H
#define SRC_CLI_H

int cli_main(int argc, char **argv);

#endif
