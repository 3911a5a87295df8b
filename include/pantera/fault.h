/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/fault.h: named places where a test may make us fail.
 * A fault is set with PANTERA_FAULTS="blob.fsync=EIO:2,..." (fails the second call once; ":2+" from the
 * second on) or fault_set; a build for release compiles the call away unless the variable was given at
 * start, in which case it costs one load. Names are literals: `if (fault("blob.fsync")) ...`. */
#ifndef PANTERA_FAULT_H
#define PANTERA_FAULT_H

#include <stdbool.h>

extern bool faults_armed;
void fault_init(void); /* reads PANTERA_FAULTS */
void fault_set(const char *name, int errno_value, int nth, bool sticky);
void fault_clear(void);
int fault_check(const char *name); /* an errno, or 0 */
#define fault(name) \
    (__builtin_expect(__atomic_load_n(&faults_armed, __ATOMIC_RELAXED), 0) ? fault_check(name) : 0)

#endif
