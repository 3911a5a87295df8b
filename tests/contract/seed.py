# SPDX-License-Identifier: Apache-2.0
"""What must be served: the management API of seed 000 and the three routes of the repository port, by the
seed's own parameter names. Which of them are still to come, and what no case can provoke."""
import re

REQUIRED = """
POST /auth/token                                    POST /auth/refresh
GET /auth/providers                                 GET /auth/providers/:name/redirect
POST /auth/callback                                 GET /auth/me
POST /auth/token/generate                           GET /auth/tokens
DELETE /auth/tokens/:tokenId
GET /repositories                                   GET /repositories/:name
HEAD /repositories/:name                            PUT /repositories/:name
DELETE /repositories/:name                          PUT /repositories/:name/move
GET /repositories/:name/members
GET /users                                          GET /users/:name
PUT /users/:name                                    DELETE /users/:name
POST /users/:name/password                          POST /users/:name/enable
POST /users/:name/disable
GET /roles                                          GET /roles/:name
PUT /roles/:name                                    DELETE /roles/:name
POST /roles/:name/enable                            POST /roles/:name/disable
GET /storages                                       PUT /storages/:name
DELETE /storages/:name                              GET /repositories/:name/storages
PUT /repositories/:name/storages/:alias             DELETE /repositories/:name/storages/:alias
GET /repositories/:name/tree                        GET /repositories/:name/artifact
GET /repositories/:name/artifact/pull               GET /repositories/:name/artifact/download
POST /repositories/:name/artifact/download-token    GET /repositories/:name/artifact/download-direct
DELETE /repositories/:name/artifacts                DELETE /repositories/:name/packages
GET /search                                         GET /search/locate
POST /search/reindex                                GET /search/stats
GET /cooldown/config                                PUT /cooldown/config
GET /cooldown/overview                              GET /cooldown/blocked
POST /repositories/:name/cooldown/unblock           POST /repositories/:name/cooldown/unblock-all
GET /settings                                       PUT /settings/prefixes
PUT /settings/:section
PUT /auth-providers/:id/toggle                      PUT /auth-providers/:id/config
GET /admin/auth-settings                            PUT /admin/auth-settings
POST /admin/revoke-user/:username
GET /dashboard/stats                                GET /dashboard/repos-by-type
GET /dashboard/requests                             GET /health
GET /audit
GET /.health                                        GET /.version
PUT /.import/:repository/:path
"""

# Required, not served yet, and why. What is served again fails nothing, but is printed: take it out.
COMING = {}

# Statuses that every row of their kind documents and that no case here provokes.
EVERYWHERE = {
    429: "attempts are counted by address and name: tests/integration/test_mfa.py",
    503: "a node that is not current: tests/integration, and test_while_one_node_restarts",
}
# The same for single rows: "ROUTE: status": why.
MAKES = "it makes what is missing; 404 is for what goes while it is being changed"
MEMBERS = "members and leadership change in tests/integration/test_cli.py"
PROVIDER = "a real provider: tests/integration/test_sso.py"
UNREACHABLE = {
    "GET /auth/me: 403": "one's own name needs no right",
    "PUT /users/{}: 404": MAKES,
    "PUT /roles/{}: 404": MAKES,
    "PUT /roles/default/{}: 404": MAKES,
    "PUT /roles/default/{}: 409": "the last administrator by such a role is not built here",
    "DELETE /roles/default/{}: 409": "the same",
    "POST /roles/default/{}/disable: 409": "the same",
    "PUT /repositories/{}: 404": MAKES,
    "PUT /storages/{}: 404": MAKES,
    "PUT /settings/{}: 404": "a section that is not there is a 400",
    "GET /auth/providers/{}/redirect: 200": PROVIDER,
    "POST /auth/callback: 200": PROVIDER,
    "POST /auth/callback: 409": PROVIDER,
    "DELETE /cluster/members/{}: 409": MEMBERS,
    "POST /cluster/members: 200": MEMBERS,
    "POST /cluster/members: 409": MEMBERS,
    "DELETE /cluster/members/{}: 200": MEMBERS,
    "POST /cooldown/exemptions: 409": "a thousand of them are not made here",
    "POST /cluster/transfer: 200": MEMBERS,
}


def plain(route):
    """A route without its parameters' names: the server and the seed may call them differently."""
    method, path = route.split(" ", 1)
    return method + " " + re.sub(r"\{[^}]+\}|:[A-Za-z_]+", "{}", path)


def unreachable(route, status):
    return status in EVERYWHERE or f"{plain(route)}: {status}" in UNREACHABLE


def required():
    words = REQUIRED.split()
    return [f"{m} {p}" for m, p in zip(words[::2], words[1::2])]
