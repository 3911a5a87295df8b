# SPDX-License-Identifier: Apache-2.0
"""A real OpenID provider (npm's oidc-provider), and somebody who signs in there: with a browser's cookies and
forms, or with a real browser. tests/support/oidc says what the provider can be told to do wrong."""
import fcntl
import http.client
import http.cookiejar
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request

from pantera import ROOT

SOURCES = os.path.join(ROOT, "tests/support/oidc")
CALLBACK = "http://127.0.0.1:9/callback"  # nobody listens: the code is read from the redirect
SECRET = "provider-s3cret:with/odd=signs"


def installed():
    """The folder in which the provider and the browser's driver are installed: once a machine."""
    folder = os.path.join(os.environ.get("PANTERA_TOOLS") or os.path.join(ROOT, "build/tools"), "oidc")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(os.path.join(SOURCES, "package.json"), encoding="utf-8") as f:
            wanted = f.read()
        mark = os.path.join(folder, "complete")
        for name in os.listdir(SOURCES):
            shutil.copy(os.path.join(SOURCES, name), folder)
        if not os.path.exists(mark) or open(mark, encoding="utf-8").read() != wanted:
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"],
                           cwd=folder, check=True)
            with open(mark, "w", encoding="utf-8") as f:
                f.write(wanted)
    return folder


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kw):
        return None


class Provider:
    def __init__(self, *callbacks):
        folder = installed()
        self.log = open(os.path.join(folder, "log"), "ab")
        self.process = subprocess.Popen(["node", "provider.mjs", CALLBACK, *callbacks], cwd=folder,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.issuer = json.loads(self.process.stdout.readline())["issuer"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()

    def control(self, **order):
        address = urllib.parse.urlsplit(self.issuer)
        c = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        c.request("POST", "/control", json.dumps(order))
        assert c.getresponse().status == 200
        c.close()

    def asked(self):
        """Who was asked for with which password, since the last call."""
        with urllib.request.urlopen(self.issuer + "/control", timeout=10) as r:
            return json.load(r)

    def forge(self, **how):
        """The next id_token is another."""
        self.control(forge=how)

    def config(self, **more):
        """Of the type okta, or oidc."""
        return {"issuer": self.issuer, "client-id": "pantera", "client-secret": SECRET,
                "callback-urls": [CALLBACK], **more}

    def keycloak(self, **more):
        return {"url": self.issuer, "realm": "test", "client-id": "pantera", "client-password": SECRET,
                "callback-urls": [CALLBACK], **more}


def consent(url, login):
    """Goes where `url` leads, types the name, agrees. The parameters that come back to the callback."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPCookieProcessor(jar))
    form = None
    for _ in range(12):
        try:
            page = opener.open(url, form, timeout=10).read().decode()
            kind = re.search(r'name="prompt" value="(\w+)"', page).group(1)
            url = urllib.parse.urljoin(url, re.search(r'action="([^"]+)"', page).group(1))
            form = urllib.parse.urlencode({"prompt": kind, "login": login, "password": "right"}).encode()
        except urllib.error.HTTPError as e:
            assert e.code in (302, 303), (e.code, e.read()[:500])
            url, form = urllib.parse.urljoin(url, e.headers["Location"]), None
            if url.startswith(CALLBACK):
                return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    raise AssertionError(f"no end of redirects: {url}")


class Page:
    """ui.html, at / and /callback of an address of its own."""

    def __init__(self):
        with open(os.path.join(SOURCES, "ui.html"), "rb") as f:
            text = f.read()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def browse(url, login, profile):
    """A real browser goes to `url` and signs in as `login`: what the page at the end shows."""
    browser = shutil.which("chromium")
    assert browser, "chromium is missing: scripts/deps test"
    r = subprocess.run(["node", "browser.mjs", browser, profile, url, login], cwd=installed(), timeout=120,
                       capture_output=True, check=False)
    assert r.returncode == 0, r.stderr.decode()[-2000:]
    return r.stdout.decode().strip()
