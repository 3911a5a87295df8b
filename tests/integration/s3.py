# SPDX-License-Identifier: Apache-2.0
"""The S3 server of the tests (scripts/s3-server) as a storage alias's configuration, and a look into its
bucket that does not go through our own client."""
import datetime
import hashlib
import hmac
import http.client
import os
import re
import subprocess
import urllib.parse

from pantera import ROOT


class S3:
    def __init__(self, directory, kind="moto"):
        self.dir, self.kind = str(directory), kind
        out = self.run("start")
        self.values = dict(re.findall(r"^(\w+)=(.*)$", out, re.M))
        self.endpoint = self.values["S3_ENDPOINT"]
        self.bucket = self.values["S3_BUCKET"]
        self.port = urllib.parse.urlparse(self.endpoint).port

    def run(self, command):
        script = os.path.join(ROOT, "scripts/s3-server")
        return subprocess.run([script, self.kind, command, self.dir], check=True,
                              stdout=subprocess.PIPE).stdout.decode()

    def stop(self):
        self.run("stop")

    def storage(self, prefix="", endpoint=None):
        s = {"type": "s3", "bucket": self.bucket, "region": "us-east-1",
             "endpoint": endpoint or self.endpoint, "path-style": True,
             "credentials": {"type": "basic", "accessKeyId": self.values["S3_ACCESS_KEY"],
                             "secretAccessKey": self.values["S3_SECRET_KEY"]}}
        if prefix:
            s["prefix"] = prefix
        return s

    def keys(self, prefix=""):
        """All keys of the bucket below a prefix."""
        found, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            body = self.get(f"/{self.bucket}", query).decode()
            found += re.findall(r"<Key>([^<]*)</Key>", body)
            more = re.search(r"<NextContinuationToken>([^<]*)</NextContinuationToken>", body)
            if not more:
                return found
            token = more.group(1)

    def get(self, path, query):
        """AWS Signature Version 4, of a GET without a body."""
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        host = f"127.0.0.1:{self.port}"
        empty = hashlib.sha256(b"").hexdigest()
        text = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}"
                        for k, v in sorted(query.items()))
        signed = "host;x-amz-content-sha256;x-amz-date"
        canonical = (f"GET\n{path}\n{text}\nhost:{host}\nx-amz-content-sha256:{empty}\n"
                     f"x-amz-date:{stamp}\n\n{signed}\n{empty}")
        scope = f"{day}/us-east-1/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n" + hashlib.sha256(canonical.encode()).hexdigest()
        key = ("AWS4" + self.values["S3_SECRET_KEY"]).encode()
        for part in (day, "us-east-1", "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request("GET", f"{path}?{text}", headers={
            "Host": host, "x-amz-date": stamp, "x-amz-content-sha256": empty,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.values['S3_ACCESS_KEY']}/{scope},"
                             f"SignedHeaders={signed},Signature={signature}"})
        r = c.getresponse()
        body = r.read()
        assert r.status == 200, (r.status, body[:500])
        return body
