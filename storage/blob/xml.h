/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough XML to read S3's and STS's short answers. Not a parser: no attributes, no nesting. */
#ifndef BLOB_XML_H
#define BLOB_XML_H

#include "pantera/arena.h"

/* Text of the first <tag>, with the five predefined entities and numeric ones below 128 decoded; NULL
 * if there is none. `xml` NULL: NULL. */
char *xml_text(struct arena *a, const char *xml, const char *tag);

#endif
