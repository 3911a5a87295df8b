#!/bin/sh
# embed-json.sh OUT FILE...: writes JSON files as a C table of their texts (api/openapi.h).
set -eu
out=$1; shift
{
  echo '/* Generated from api/schemas/ by cmake/embed-json.sh. */'
  echo '#include "api/openapi.h"'
  echo 'const struct openapi_source openapi_sources[] = {'
  for file in $(printf '%s\n' "$@" | sort); do
    printf '    { "%s",\n' "$(basename "$file")"
    sed 's/\\/\\\\/g; s/"/\\"/g; s/^/      "/; s/$/\\n"/' "$file"
    echo '    },'
  done
  echo '};'
  echo 'const size_t openapi_sources_count = sizeof openapi_sources / sizeof openapi_sources[0];'
} > "$out"
