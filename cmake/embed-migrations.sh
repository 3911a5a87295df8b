#!/bin/sh
# embed-migrations.sh OUT FILE...: writes the SQL files as a C table, by number. A number that
# nobody has taken yet is an empty migration: numbers are given out before the files are written.
set -eu
out=$1; shift
{
  echo '/* Generated from migrations/ by cmake/embed-migrations.sh. */'
  echo '#include "pantera/migrations.h"'
  echo 'const struct migration migrations[] = {'
  last=0
  for file in $(printf '%s\n' "$@" | sort); do
    base=$(basename "$file" .sql)
    number=$(echo "$base" | sed 's/_.*//; s/^0*//')
    while last=$((last + 1)); [ "$last" -lt "$number" ]; do
      printf '    { %s, "reserved", "" },\n' "$last"
    done
    printf '    { %s, "%s",\n' "$number" "$base"
    sed 's/\\/\\\\/g; s/"/\\"/g; s/^/      "/; s/$/\\n"/' "$file"
    echo '    },'
  done
  echo '};'
  echo 'const size_t migrations_count = sizeof migrations / sizeof migrations[0];'
} > "$out"
