# SPDX-License-Identifier: Apache-2.0
"""The clients that speak to npm registries, installed once a machine (tests/support/npm says which), each run
in a home of its own; packages to publish; and verdaccio, a registry that somebody else wrote."""
import fcntl
import json
import os
import shutil
import subprocess

from pantera import ROOT, free_port, wait_until

SOURCES = os.path.join(ROOT, "tests/support/npm")


def installed(name):
    """The folder of tests/support/npm/<name>.json's packages."""
    folder = os.path.join(os.environ.get("PANTERA_TOOLS") or os.path.join(ROOT, "build/tools"), "npm", name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(os.path.join(SOURCES, name + ".json"), encoding="utf-8") as f:
            wanted = f.read()
        mark = os.path.join(folder, "complete")
        if not os.path.exists(mark) or open(mark, encoding="utf-8").read() != wanted:
            shutil.copy(os.path.join(SOURCES, name + ".json"), os.path.join(folder, "package.json"))
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
            with open(mark, "w", encoding="utf-8") as f:
                f.write(wanted)
    return folder


def machine_registry():
    """What this machine's npm asks."""
    out = subprocess.run(["npm", "config", "get", "registry"], check=True, capture_output=True, text=True)
    return out.stdout.strip().rstrip("/")


class Home:
    """A client's home: its configuration names one registry, and perhaps a token."""

    def __init__(self, folder, registry, token=None):
        self.dir, self.registry, self.count = str(folder), registry.rstrip("/") + "/", 0
        os.makedirs(self.dir, exist_ok=True)
        self.rc = os.path.join(self.dir, ".npmrc")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.lower().startswith(("npm_config_", "yarn_", "pnpm_", "bun_"))}
        self.env.update({"HOME": self.dir, "NPM_CONFIG_USERCONFIG": self.rc, "CI": "1",
                         "NPM_CONFIG_CACHE": os.path.join(self.dir, "cache-npm"),
                         "NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_LOGLEVEL": "notice",
                         "npm_config_store_dir": os.path.join(self.dir, "store"),
                         "YARN_CACHE_FOLDER": os.path.join(self.dir, "cache-yarn"),
                         "YARN_GLOBAL_FOLDER": os.path.join(self.dir, "berry"),
                         "BUN_INSTALL_CACHE_DIR": os.path.join(self.dir, "cache-bun"),
                         "YARN_ENABLE_TELEMETRY": "0", "XDG_CACHE_HOME": os.path.join(self.dir, "xdg"),
                         "XDG_DATA_HOME": os.path.join(self.dir, "data")})
        self.sign_in(token)

    def sign_in(self, token):
        host = self.registry.split("://", 1)[1]
        with open(self.rc, "w", encoding="ascii") as f:
            f.write(f"registry={self.registry}\nfund=false\naudit=false\nfetch-retries=0\nalways-auth=true\n")
            if token:
                f.write(f"//{host}:_authToken={token}\n")
        self.berry = {"npmRegistryServer": self.registry.rstrip("/"), "unsafeHttpWhitelist": ["127.0.0.1"],
                      "npmMinimalAgeGate": 0, "enableGlobalCache": False, "nodeLinker": "node-modules",
                      "enableImmutableInstalls": False, "npmPublishRegistry": self.registry.rstrip("/"),
                      "enableScripts": False}
        if token:
            self.berry.update({"npmAuthToken": token, "npmAlwaysAuth": True})

    def project(self, **manifest):
        """A folder with a package.json."""
        self.count += 1
        folder = os.path.join(self.dir, f"project-{self.count}")
        os.makedirs(folder)
        manifest.setdefault("private", True)
        with open(os.path.join(folder, "package.json"), "w", encoding="utf-8") as f:
            json.dump(manifest, f)
        with open(os.path.join(folder, ".yarnrc.yml"), "w", encoding="utf-8") as f:
            json.dump(self.berry, f)  # JSON is YAML
        open(os.path.join(folder, "yarn.lock"), "w", encoding="ascii").close()
        return folder

    def package(self, name, version, text="module.exports = 1\n", **manifest):
        """A folder to publish."""
        folder = self.project(name=name, version=version, private=False, main="index.js", **manifest)
        os.remove(os.path.join(folder, "yarn.lock"))
        with open(os.path.join(folder, "index.js"), "w", encoding="utf-8") as f:
            f.write(text)
        return folder

    def run(self, client, *args, cwd=None, ok=True, feed=None):
        """The finished process; `ok`: that it must succeed (or, False, must not)."""
        done = subprocess.run([*COMMANDS[client](), *args], cwd=cwd or self.dir, env=self.env, timeout=120,
                              input=feed, capture_output=True, text=True, check=False)
        said = f"{client} {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert ok is None or (done.returncode == 0) == ok, said
        done.said = said
        return done

    def npm(self, *args, **kw):
        return self.run("npm", *args, **kw)

    def has(self, folder, name, below=None):
        """The version of a package that is installed in a project, perhaps beside the one that needs it."""
        modules = os.path.join(folder, "node_modules")
        path = os.path.join(modules, name, "package.json")
        if below and not os.path.exists(path):
            path = os.path.join(os.path.realpath(os.path.join(modules, below)), "..", name, "package.json")
        with open(path, encoding="utf-8") as f:
            return json.load(f)["version"]


COMMANDS = {
    "npm": lambda: ["npm"],
    "pnpm": lambda: [os.path.join(installed("pnpm"), "node_modules/.bin/pnpm")],
    "yarn": lambda: [os.path.join(installed("yarn"), "node_modules/.bin/yarn")],
    "berry": lambda: ["node",
                      os.path.join(installed("berry"), "node_modules/@yarnpkg/cli-dist/bin/yarn.js")],
    "bun": lambda: [os.path.join(installed("bun"), "node_modules/.bin/bun")],
}
INSTALL = {
    "npm": ["install", "--no-package-lock"],
    "pnpm": ["install", "--no-frozen-lockfile"],
    "yarn": ["install", "--non-interactive", "--no-lockfile"],
    "berry": ["install"],
    "bun": ["install", "--no-save"],
}
PUBLISH = {
    "npm": ["publish"],
    "pnpm": ["publish", "--no-git-checks"],
    "yarn": ["publish", "--non-interactive", "--no-git-tag-version"],
    "berry": ["npm", "publish"],
    "bun": ["publish"],
}


class Verdaccio:
    """Somebody else's registry: anybody may read, and publish."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        os.makedirs(folder, exist_ok=True)
        config = {"storage": os.path.join(folder, "storage"), "uplinks": {}, "auth": {},
                  "packages": {"**": {"access": "$all", "publish": "$all", "unpublish": "$all"}},
                  "max_body_size": "100mb", "log": {"type": "stdout", "format": "json", "level": "warn"}}
        path = os.path.join(folder, "config.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        self.log = open(os.path.join(folder, "log"), "ab")
        self.process = subprocess.Popen(
            ["node", os.path.join(installed("verdaccio"), "node_modules/.bin/verdaccio"), "-c", path, "-l",
             f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=folder)
        wait_until("verdaccio", self.answers, 60)

    def answers(self):
        import urllib.request
        with urllib.request.urlopen(self.url + "/-/ping", timeout=2) as r:
            return r.status == 200

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
