# SPDX-License-Identifier: Apache-2.0
"""`pantera`, the command line, as people and scripts run it: every command against a real node."""
import json
import os
import pty
import re
import select
import stat
import subprocess
import time

import pytest

from pantera import PASSWORD, ROOT, USER, Client, Node, binary, free_port, wait_until

OK, FAILED, USAGE, SIGN_IN, NOT_FOUND, UNAVAILABLE = range(6)
OTHER = "Another-Pass-2!"
# Commands that other files drive.
ELSEWHERE = {"audit": "test_audit.py", "import": "test_import.py"}
driven = set()


def table():
    """"noun verb" of every row of cli_commands.def."""
    with open(os.path.join(ROOT, "src/cli_commands.def"), encoding="utf-8") as f:
        rows = re.findall(r'^CLI\("([^"]+)", (?:"([^"]+)"|NULL)', f.read(), re.M)
    return {f"{noun} {verb}".strip() for noun, verb in rows}


TABLE = table()


class Cli:
    """One person's command line: a home of their own, a server."""

    def __init__(self, home, url=None):
        self.home, self.url = str(home), url
        os.makedirs(self.home, exist_ok=True)
        self.program = os.path.join(self.home, "pantera")
        if not os.path.exists(self.program):
            os.symlink(os.path.abspath(binary()), self.program)
        self.store = os.path.join(self.home, ".config/pantera/credentials.json")

    def environment(self, extra):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PANTERA_", "XDG_"))}
        return {**env, "HOME": self.home, **({"PANTERA_URL": self.url} if self.url else {}), **extra}

    def start(self, *words, env=None):
        return subprocess.Popen([self.program, *words], env=self.environment(env or {}), text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                cwd=self.home, start_new_session=True)

    def __call__(self, *words, code=OK, stdin="", env=None):
        for n in (1, 2):
            if " ".join(words[:n]) in TABLE and code == OK:
                driven.add(" ".join(words[:n]))
        process = self.start(*words, env=env)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == code, f"{words}: {process.returncode} instead of {code}: {out}{err}"
        assert "Sanitizer" not in err, err
        if code != OK:
            assert err.startswith("pantera: ") or err.startswith("usage:"), err
            assert out == "" or words[:1] == ("help",), out
        self.err = err
        return out

    def json(self, *words, **kw):
        return json.loads(self(*words, "--json", **kw))

    def login(self, user=USER, password=PASSWORD):
        self("login", "--user", user, "--pass-stdin", stdin=password + "\n")
        return self


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    node = Node(str(tmp_path_factory.mktemp("cli") / "node")).start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def new(server, tmp_path):
    """new(): a command line that nobody has signed in with."""
    count = iter(range(100))
    return lambda: Cli(tmp_path / f"home-{next(count)}", f"http://127.0.0.1:{server.api_port}")


@pytest.fixture
def cli(new):
    return new().login()


def rows(text):
    """A table's lines, each split where two blanks or more are."""
    return [re.split(r"  +", line.rstrip()) for line in text.splitlines()]


# --- who ---

def test_login_keeps_a_session_that_nobody_else_reads(new):
    """The file is 0600 in folders that are 0700; whoami knows who; logout forgets."""
    cli = new().login()
    assert stat.S_IMODE(os.stat(cli.store).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(cli.store)).st_mode) == 0o700
    assert PASSWORD not in open(cli.store, encoding="utf-8").read()
    assert ["name", USER] in rows(cli("whoami"))
    assert cli.json("whoami")["permissions"]["can_delete_artifacts"] is True
    cli.url = None  # the server of the last login
    assert cli.json("whoami")["name"] == USER
    cli("whoami", "--user", "somebody-else", code=SIGN_IN)
    assert "not as somebody-else" in cli.err
    cli("logout")
    cli("whoami", code=SIGN_IN)


def test_refusals_to_sign_in(new):
    """A wrong password, no session, no server, no password to ask for: exit codes and what is said."""
    cli = new()
    cli("login", "--user", USER, "--pass-stdin", stdin="Wrong-Pass-1!\n", code=SIGN_IN)
    assert cli.err == "pantera: Invalid credentials (401)\n" and not os.path.exists(cli.store)
    cli("login", code=USAGE)
    assert "--pass-stdin" in cli.err
    for words in (["whoami"], ["repo", "list"], ["cluster", "status"]):
        cli(*words, code=SIGN_IN)
        assert "not signed in" in cli.err and "pantera login" in cli.err
    cli("whoami", code=SIGN_IN, env={"PANTERA_TOKEN": "eyJ.a.b"})
    assert "401" in cli.err
    url = f"http://127.0.0.1:{free_port()}"
    cli("login", "--url", url, "--pass-stdin", stdin="x\n", code=UNAVAILABLE)
    assert url in cli.err
    cli("login", "--url", "not a url", "--pass-stdin", stdin="x\n", code=UNAVAILABLE)


def test_without_a_session(new):
    """A password or a token from the environment, and nothing is kept."""
    cli = new()
    assert cli.json("whoami", env={"PANTERA_USER_NAME": USER, "PANTERA_USER_PASS": PASSWORD})["name"] == USER
    assert cli.json("whoami", "--user", USER, "--pass", PASSWORD)["name"] == USER
    token = cli.json("token", "create", "ci", "--days", "1", "--user", USER, "--pass", PASSWORD)["token"]
    assert cli.json("whoami", env={"PANTERA_TOKEN": token})["name"] == USER
    assert not os.path.exists(cli.store)


def test_password_at_a_terminal(new):
    """It is asked for without echo."""
    cli = new()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(cli.program, ["pantera", "login"], cli.environment({}))
    shown, typed = b"", False
    while select.select([terminal], [], [], 20)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
        if not typed and shown.endswith(b": "):
            os.write(terminal, PASSWORD.encode() + b"\n")
            typed = True
    else:
        os.kill(pid, 9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == OK, shown
    assert PASSWORD.encode() not in shown and b"signed in" in shown
    cli("whoami")


def test_second_factor_at_login(server, new):
    """A user with one is told so, and signs in with --mfa-code."""
    server.admin().put_user("factor")
    me = Client(server).login("factor", PASSWORD)
    secret = me.must("POST", "/auth/mfa/enrol", {"password": PASSWORD})["secret"]
    # The machine's own clock may pass into the next step: the backup codes know no clock.
    codes = confirm(me, secret)
    cli = new()
    cli("login", "--user", "factor", "--pass-stdin", stdin=PASSWORD + "\n", code=SIGN_IN)
    assert "mfa_code" in cli.err
    cli("login", "--user", "factor", "--pass-stdin", "--mfa-code", codes[0], stdin=PASSWORD + "\n")
    assert cli.json("whoami")["name"] == "factor"


def confirm(client, secret):
    import base64
    import hashlib
    import hmac
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, (int(time.time()) // 30).to_bytes(8, "big"), hashlib.sha1).digest()
    at = mac[-1] & 15
    code = (int.from_bytes(mac[at:at + 4], "big") & 0x7fffffff) % 1000000
    return client.must("POST", "/auth/mfa/confirm", {"mfa_code": f"{code:06d}"})["backup_codes"]


def test_refresh_and_many_at_once(server, new):
    """A session that is about to end is renewed, by whichever of many processes comes first; none of them
    spends a refresh token twice, which would end the session."""
    cli, admin = new(), server.admin()
    before = admin.must("GET", "/admin/auth-settings")
    admin.must("PUT", "/admin/auth-settings", {"access_token_expiry_seconds": 60})
    try:
        cli.login()
        first = json.load(open(cli.store, encoding="utf-8"))
        assert cli.json("whoami")["name"] == USER
        assert json.load(open(cli.store, encoding="utf-8")) == first  # not yet
        for session in first["servers"].values():
            session["expires"] = int(time.time()) + 5
        with open(cli.store, "w", encoding="utf-8") as f:
            json.dump(first, f)
        processes = [cli.start("whoami", "--json") for _ in range(8)]
        for p in processes:
            out, err = p.communicate(timeout=60)
            assert p.returncode == OK and json.loads(out)["name"] == USER, err
        now = json.load(open(cli.store, encoding="utf-8"))
        old, session = first["servers"][cli.url], now["servers"][cli.url]
        assert session["refresh_token"] != old["refresh_token"] and session["expires"] > time.time() + 30
        assert stat.S_IMODE(os.stat(cli.store).st_mode) == 0o600
        session["expires"] = 0  # and it is good for another time
        with open(cli.store, "w", encoding="utf-8") as f:
            json.dump(now, f)
        cli("whoami")
    finally:
        keep = {"access_token_expiry_seconds": before["access_token_expiry_seconds"]}
        server.admin().must("PUT", "/admin/auth-settings", keep)


def test_revoked_session(server, new):
    """A session that was ended at the server: exit code 3, and what to do."""
    server.admin().put_user("leaver")
    cli = new().login("leaver")
    server.admin().must("POST", "/admin/revoke-user/leaver")
    cli("whoami", code=SIGN_IN)
    assert "pantera login" in cli.err


def test_broken_store(new):
    """A store that was cut short is as none, not a crash."""
    cli = new().login()
    for text in ("", "{", "[]", '{"servers": []}', '{"servers": {"x": 5}}',
                 json.dumps({"current": 7, "servers": {cli.url: {"user": 1, "token": 2}}})):
        with open(cli.store, "w", encoding="utf-8") as f:
            f.write(text)
        cli("whoami", code=SIGN_IN)
    cli.login()
    cli("whoami")


# --- the resources ---

def test_repositories(cli):
    cli("repo", "create", "cli-a", "file", "--description", "ours")
    cli("repo", "create", "cli-b", "file", "--storage", "default")
    table_ = rows(cli("repo", "list", "--q", "cli-"))
    assert table_ == [["NAME", "TYPE"], ["cli-a", "file"], ["cli-b", "file"]]
    page = cli.json("repo", "list", "--q=cli-", "--page", "1", "--size", "1")
    assert [r["name"] for r in page] == ["cli-b"]
    assert cli.json("repo", "get", "cli-a")["repo"]["description"] == "ours"
    path = os.path.join(cli.home, "repo.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"repo": {"type": "file", "storage": "default", "description": "from a file"}}, f)
    cli("repo", "create", "cli-a", "file", "--file", path)
    assert cli.json("repo", "get", "cli-a")["repo"]["description"] == "from a file"
    cli("repo", "move", "cli-b", "cli-c")
    cli("repo", "get", "cli-b", code=NOT_FOUND)
    assert cli.err == "pantera: Repository 'cli-b' not found (404)\n"
    cli("repo", "move", "cli-a", "cli-c", code=FAILED)
    cli("repo", "create", "cli-d", "no-such-type", code=FAILED)
    cli("repo", "create", "cli-d", "file", "--file", "/no/such/file", code=USAGE)
    cli("repo", "delete", "cli-c")
    cli("repo", "delete", "cli-c", code=NOT_FOUND)


def test_users(server, cli, new):
    cli("user", "create", "cli-user", "--email", "u@example.com", "--role", "admin", "--pass-stdin",
        stdin=PASSWORD + "\n")
    cli("user", "create", "cli-user", "--pass-stdin", stdin=PASSWORD + "\n", code=FAILED)
    cli("user", "create", "cli-weak", "--pass-stdin", stdin="password\n", code=FAILED)
    assert ["cli-user", "plain", "u@example.com"] in rows(cli("user", "list"))
    assert rows(cli("user", "get", "cli-user"))[1] == ["cli-user", "plain", "u@example.com", "yes", "admin"]
    assert cli.json("user", "get", "cli-user")["roles"] == ["admin"]
    cli("user", "get", "cli-nobody", code=NOT_FOUND)
    other = new().login("cli-user")
    other("user", "passwd", "--pass-stdin", stdin=f"{PASSWORD}\n{OTHER}\n")
    new().login("cli-user", OTHER)
    other("user", "passwd", "--pass-stdin", stdin=f"{PASSWORD}\n{OTHER}\n", code=SIGN_IN)
    cli("user", "passwd", "cli-user", env={"PANTERA_NEW_PASS": PASSWORD})
    new().login("cli-user")
    cli("user", "disable", "cli-user")
    cli("user", "disable", USER, code=FAILED)
    assert cli.json("user", "get", "cli-user")["enabled"] is False
    new()("login", "--user", "cli-user", "--pass-stdin", stdin=PASSWORD + "\n", code=SIGN_IN)
    cli("user", "enable", "cli-user")
    cli("user", "delete", "cli-user")
    cli("user", "delete", "cli-user", code=NOT_FOUND)
    cli("user", "create", "cli-must", "--must-change", "--role", "admin", env={"PANTERA_NEW_PASS": PASSWORD})
    fresh = new().login("cli-must")
    fresh("repo", "list", code=FAILED)
    assert "password must be changed" in fresh.err
    fresh("user", "passwd", "--pass-stdin", stdin=f"{PASSWORD}\n{OTHER}\n")


def test_roles(cli):
    cli("role", "put", "cli-role", "maven=read,write", "api_user_permissions=read")
    role = cli.json("role", "get", "cli-role")
    assert role["permissions"] == {"maven": ["read", "write"], "api_user_permissions": ["read"]}
    assert cli.json("role", "list", "--q", "cli-role")[0]["name"] == "cli-role"
    assert "cli-role" in cli("role", "list") and "yes" in cli("role", "get", "cli-role")
    path = os.path.join(cli.home, "role.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"permissions": {"*": ["read"]}}, f)
    cli("role", "put", "default/okta", "--file", path)
    assert cli.json("role", "get", "default/okta")["permissions"] == {"*": ["read"]}
    cli("role", "delete", "default/okta")
    cli("role", "put", "cli-role", "nonsense", code=USAGE)
    cli("role", "put", "cli-role", "r=dance", code=FAILED)
    cli("role", "delete", "cli-role")
    cli("role", "get", "cli-role", code=NOT_FOUND)


def test_tokens(cli):
    token = cli("token", "create", "build", "--days", "2").strip()
    number = re.search(r"token ([0-9a-f-]+), good until", cli.err).group(1)
    assert cli.json("whoami", env={"PANTERA_TOKEN": token})["name"] == USER
    assert [number, "build"] in [r[:2] for r in rows(cli("token", "list"))]
    assert number in [t["id"] for t in cli.json("token", "list")]
    cli("token", "revoke", number)
    cli("token", "revoke", number, code=NOT_FOUND)
    cli("whoami", code=SIGN_IN, env={"PANTERA_TOKEN": token})
    cli("token", "create", "--days", "9999", code=FAILED)
    cli("token", "create", "--days", "soon", code=USAGE)


def test_search(server, cli):
    admin = server.admin()
    admin.put_repo("cli-search")
    admin.put("/cli-search/libs/needle-1.0.txt", b"12345")
    table_ = rows(cli("search", "needle"))
    assert table_[0][:3] == ["REPOSITORY", "TYPE", "PATH"]
    assert [r[:3] for r in table_[1:]] == [["cli-search", "file", "libs/needle-1.0.txt"]]
    assert cli.json("search", "repo:cli-search", "AND", "needle")["total"] == 1
    assert cli.json("search", "nothing-like-it")["items"] == []
    cli("search", "(a", "AND", code=FAILED)
    cli("search", code=USAGE)


def test_control_characters_do_not_reach_the_terminal(server, cli):
    """What others named can't steer a terminal; JSON is escaped by itself."""
    server.admin().must("PUT", "/users/cli-esc", {"pass": PASSWORD, "email": "a\u001b[2Jb\u009b@example.com"},
                        status=(201, 400))
    out = cli("user", "list")
    assert "\x1b" not in out and "\u009b" not in out


def test_cluster(make_cluster, tmp_path):
    """Status, transfer, remove and add, through a node that does not lead."""
    cluster = make_cluster()
    leader = cluster.leader()
    follower = cluster.others(leader)[0]
    cli = Cli(tmp_path / "home", f"http://127.0.0.1:{follower.api_port}").login()
    text = cli("cluster", "status")
    assert re.match(r"cluster [0-9a-f-]+, term \d+, schema \d+\n", text)
    assert sorted(r[0] for r in rows(text)[1:]) == ["1", "2", "3", "ID"]
    assert cli.json("cluster", "status")["leader"] == leader.id
    # Whoever answers may be without a lease for a moment after leadership has moved: 5, try again.
    cli("cluster", "transfer", str(follower.id))
    assert cluster.leader().id == follower.id
    third = next(n for n in cluster.nodes if n not in (leader, follower))
    ready = lambda: Client(follower).repo("GET", "/.ready").status == 200  # noqa: E731
    wait_until("current again", ready)
    address = next(m["address"] for m in cli.json("cluster", "status")["members"] if m["id"] == third.id)
    cli("cluster", "remove", str(third.id))
    assert third.id not in [m["id"] for m in cli.json("cluster", "status")["members"]]
    cli("cluster", "remove", str(third.id), code=NOT_FOUND)
    cli("cluster", "add", str(third.id), address)
    assert third.id in [m["id"] for m in cli.json("cluster", "status")["members"]]
    cli("cluster", "add", str(third.id), address, code=FAILED)
    cli("cluster", "remove", "x", code=USAGE)
    cli("cluster", "transfer", "99", code=FAILED)


# --- the rest ---

def test_tls(tmp_path):
    """https: a CA of our own is trusted with --ca, and nobody else's."""
    certs = str(tmp_path / "certs")
    subprocess.run([os.path.join(ROOT, "scripts/certs"), certs, "1"], check=True)
    ssl = {"enabled": True, "cert": f"{certs}/node-1.pem", "key": f"{certs}/node-1.key"}
    node = Node(str(tmp_path / "node"), config={"ssl": ssl})
    node.start(wait=False)
    try:
        wait_until("ready", node.announced)
        cli = Cli(tmp_path / "home", f"https://127.0.0.1:{node.api_port}")
        cli("login", "--pass-stdin", stdin=PASSWORD + "\n", code=UNAVAILABLE)
        assert not os.path.exists(cli.store)
        cli("login", "--pass-stdin", "--ca", f"{certs}/ca.pem", stdin=PASSWORD + "\n")
        assert cli.json("whoami", "--ca", f"{certs}/ca.pem")["name"] == USER
        cli("whoami", code=UNAVAILABLE)
        cli("whoami", "--ca", "/no/such/file", code=UNAVAILABLE)
    finally:
        node.stop()


def test_usage(new):
    """Misuse is 2 and says what there is; help is 0."""
    cli = new()
    for words in ([], ["nonsense"], ["repo"], ["repo", "nonsense"], ["repo", "get"],
                  ["repo", "get", "a", "b"], ["whoami", "--nonsense"], ["whoami", "--url"],
                  ["whoami", "--q", "x"], ["whoami", "--json=x"], ["completion", "zsh"], ["x"] * 100,
                  ["whoami"] + ["--json"] * 40):
        cli(*words, code=USAGE)
    for words in (["help"], ["--help"], ["help", "repo"], ["repo", "--help"], ["-h"]):
        assert "pantera" in cli(*words)
    assert "repo move" in cli("repo", "--help") and "user list" not in cli("repo", "--help")


COMPLETE = r"""
source <("$0" completion bash)
complete -p pantera >/dev/null || exit 9
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
_pantera
printf '%s\n' "${COMPREPLY[@]}"
"""


def test_bash_completion(new):
    """In a real bash: nouns, verbs, options of the command, nothing for a value."""
    cli = new()
    cli("completion", "bash")

    def complete(*words):
        command = ["bash", "--norc", "-c", COMPLETE, cli.program, "pantera", *words]
        out = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=cli.home,
                             stderr=subprocess.STDOUT, timeout=30)
        return set(out.stdout.split())

    nouns = {c.split()[0] for c in TABLE}
    assert complete("") == nouns
    assert complete("re") == {"repo"} & nouns
    assert complete("repo", "") == {c.split()[1] for c in TABLE if c.startswith("repo ")}
    assert complete("repo", "m") == {"move"}
    assert {"--storage", "--url", "--json"} <= complete("repo", "create", "x", "file", "--")
    assert "--storage" not in complete("repo", "list", "--")
    assert complete("repo", "create", "--st") == {"--storage"}
    assert complete("--url", "http", ":", "//h", ":", "1", "clu") == {"cluster"}
    assert complete("--url", "=", "http", ":", "//h", "--json", "clu") == {"cluster"}
    assert complete("login", "--user", "") == set()
    with open(os.path.join(cli.home, "certificate.pem"), "w", encoding="utf-8"):
        pass
    assert complete("login", "--ca", "cert") == {"certificate.pem"}
    assert complete("completion", "") == {"bash"}
    assert complete("whoami", "--") >= {"--json", "--ca"}


def test_every_command_was_driven():
    """A row of cli_commands.def without a test fails here. (Only when the whole file has run.)"""
    if "cluster status" not in driven:
        pytest.skip("only some of the tests have run")
    wanted = {c for c in TABLE if c.split()[0] not in ELSEWHERE}
    assert wanted <= driven
