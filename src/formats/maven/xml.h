/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/xml.h: reads the XML of maven-metadata: elements and their text. Pure.
 * Not here: attributes (skipped), namespaces (prefixes are cut off), DTDs (refused), encodings but UTF-8. */
#ifndef FORMATS_MAVEN_XML_H
#define FORMATS_MAVEN_XML_H

#include "pantera/buf.h"

/* Where an element stands: "metadata/versioning/latest". `text` is what it holds itself, without blanks
 * around it; borrowed until the call returns. */
struct xml_reader {
    void (*on_open)(void *arg, const char *path);  /* or NULL */
    void (*on_close)(void *arg, const char *path, const char *text);
    void *arg;
};
/* BAD_REQUEST: not well-formed, or more than such a document can need. */
enum err xml_read(const char *data, size_t size, const struct xml_reader *r, struct why *why);
/* Text with &, <, > and quotes escaped. */
void xml_puts(struct buf *b, const char *text);

#endif
