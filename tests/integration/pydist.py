# SPDX-License-Identifier: Apache-2.0
"""Python distributions for tests, made by hand (no build backend), and the real clients with an
environment in
which nothing of this machine's own configuration counts. Only the standard library."""
import base64
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zipfile

from pantera import PASSWORD, ROOT, USER


def metadata(name, version, requires=(), python=">=3.8", summary="a test"):
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {summary}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Requires-Dist: {r}" for r in requires]
    return "\n".join(lines) + "\n\nA description.\n"


def wheel(folder, name, version, requires=(), body="", **more):
    """The path of a wheel whose module says its version."""
    module = name.replace("-", "_").replace(".", "_").lower()
    info = f"{module}-{version}.dist-info"
    files = {f"{module}/__init__.py": f"VERSION = '{version}'\n{body}",
             f"{info}/METADATA": metadata(name, version, requires, **more),
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
             "Tag: py3-none-any\n"}
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    path = os.path.join(folder, f"{module}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for member, text in files.items():
            z.writestr(zipfile.ZipInfo(member), text)
    return path


def sdist(folder, name, version, **more):
    stem = f"{name.replace('-', '_').replace('.', '_').lower()}-{version}"
    path = os.path.join(folder, stem + ".tar.gz")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        for member, text in ((f"{stem}/PKG-INFO", metadata(name, version, **more)),
                             (f"{stem}/pyproject.toml", "")):
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            t.addfile(info, io.BytesIO(text.encode()))
    with open(path, "wb") as f:
        f.write(gzip.compress(raw.getvalue(), mtime=0))
    return path


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Tools:
    """pip, twine and uv of scripts/python-clients (or poetry, or pdm: its argument), each run with a home of
    its own."""

    def __init__(self, folder, *which):
        run = subprocess.run([os.path.join(ROOT, "scripts/python-clients"), *which], check=True,
                             capture_output=True)
        self.bin = run.stdout.decode().strip()
        self.folder = str(folder)
        keep = {k: v for k, v in os.environ.items()
                if not k.startswith(("PIP_", "UV_", "TWINE_", "PANTERA_"))}
        self.env = {**keep, "HOME": self.folder, "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "UV_PYTHON_DOWNLOADS": "never",
                    "UV_PYTHON": "/usr/bin/python3", "NO_COLOR": "1", "COLUMNS": "200",
                    "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
                    "UV_CACHE_DIR": os.path.join(self.folder, "uv-cache")}

    def run(self, program, *args, status=0, cwd=None, **env):
        r = subprocess.run([os.path.join(self.bin, program), *args], env={**self.env, **env}, check=False,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           cwd=cwd or self.folder, timeout=120)
        text = r.stdout.decode("utf-8", "replace")
        if status is not None:
            assert (r.returncode == 0) == (status == 0), f"{program} {' '.join(args)}: {r.returncode}\n{text}"
        return text

    def twine(self, url, *files, user=USER, password=PASSWORD, **kw):
        return self.run("twine", "upload", "--non-interactive", "--disable-progress-bar",
                        "--repository-url", url, *files, TWINE_USERNAME=user, TWINE_PASSWORD=password, **kw)

    def uv_publish(self, url, *files, user=USER, password=PASSWORD, args=(), **kw):
        return self.run("uv", "publish", "--publish-url", url, *args, *files, UV_PUBLISH_USERNAME=user,
                        UV_PUBLISH_PASSWORD=password, **kw)

    def pip(self, target, index, *args, **kw):
        """Installs into the folder `target`."""
        return self.run("pip", "install", "--no-cache-dir", "--target", os.path.join(self.folder, target),
                        "--upgrade", "--index-url", index, *args, **kw)

    def uv(self, target, index, *args, **kw):
        return self.run("uv", "pip", "install", "--no-cache", "--target", os.path.join(self.folder, target),
                        "--index-url", index, *args, **kw)

    def installed(self, target):
        """{name: version} of what is in the folder."""
        found = {}
        for entry in os.listdir(os.path.join(self.folder, target)):
            if entry.endswith(".dist-info"):
                name, version = entry[:-len(".dist-info")].rsplit("-", 1)
                found[name] = version
        return found


def index(node, repo, user=USER, password=PASSWORD, path="simple/"):
    return f"http://{user}:{password}@127.0.0.1:{node.port}/{repo}/{path}"
