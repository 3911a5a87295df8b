# SPDX-License-Identifier: Apache-2.0
"""Acknowledged metadata writes on three nodes beside Debian's etcd with three members."""
import base64
import json
import os
import subprocess

from load import DIR, LUA, beside, say, wrk
from pantera import Cluster, free_port, wait_until

ROLE = json.dumps({"permissions": {"bench": ["read"]}})


def role_script(token, ports):
    request = (f"return wrk.format('PUT', '/api/v1/roles/bench-' .. id .. '-' .. (n % 1000), "
               f"{{['Authorization']='Bearer {token}', ['Content-Type']='application/json'}}, '{ROLE}')")
    return LUA % {"addresses": ", ".join(f'"{p}"' for p in ports), "request": request}


def etcd_script(ports):
    value = base64.b64encode(ROLE.encode()).decode()
    request = (f"local key = encode('bench-' .. id .. '-' .. (n % 1000))\n  "
               f"return wrk.format('POST', '/v3/kv/put', {{['Content-Type']='application/json'}}, "
               f"'{{\"key\":\"' .. key .. '\",\"value\":\"{value}\"}}')")
    encode = """
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local known = {}
function encode(s)
  if known[s] then return known[s] end
  local out = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local v = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local d = math.floor(v / 64 ^ k) % 64 + 1
      out[#out + 1] = digits:sub(d, d)
    end
    if not b then out[#out - 1] = "=" end
    if not c then out[#out] = "=" end
  end
  known[s] = table.concat(out)
  return known[s]
end
"""
    return encode + LUA % {"addresses": ", ".join(f'"{p}"' for p in ports), "request": request}


class Etcd:
    """Three members on loopback, as Debian ships it, its defaults for timing and durability."""

    def __init__(self):
        self.ports = [(free_port(), free_port()) for _ in range(3)]
        initial = ",".join(f"m{n}=http://127.0.0.1:{p}" for n, (_, p) in enumerate(self.ports))
        self.members = []
        for n, (client, peer) in enumerate(self.ports):
            log = open(os.path.join(DIR, f"etcd-{n}.log"), "wb")  # pylint: disable=consider-using-with
            self.members.append(subprocess.Popen(
                ["etcd", "--name", f"m{n}", "--data-dir", os.path.join(DIR, f"etcd-{n}"),
                 "--listen-client-urls", f"http://127.0.0.1:{client}",
                 "--advertise-client-urls", f"http://127.0.0.1:{client}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-cluster", initial, "--initial-cluster-state", "new",
                 "--quota-backend-bytes", str(8 << 30)], stdout=log, stderr=log))
        wait_until("etcd's leader", self.leader, 30, 0.2)

    def leader(self):
        """Client port of the member that leads."""
        for client, _ in self.ports:
            out = subprocess.run(["etcdctl", "--endpoints", f"http://127.0.0.1:{client}", "endpoint",
                                  "status", "-w", "json"], env={**os.environ, "ETCDCTL_API": "3"},
                                 capture_output=True, check=False)
            if out.returncode == 0:
                status = json.loads(out.stdout)[0]["Status"]
                if status.get("leader") == status["header"]["member_id"]:
                    return client
        return None

    def all(self):
        leader = self.leader()
        return [leader] + [c for c, _ in self.ports if c != leader]

    def stop(self):
        for m in self.members:
            m.terminate()
        for m in self.members:
            m.wait()


def writes():
    cluster = Cluster(os.path.join(DIR, "writes"), config={"log": {"access": False}})
    for node in cluster.nodes:  # no relays here: the nodes reach each other directly
        node.config["cluster"]["peers"] = [{"id": n.id, "address": f"127.0.0.1:{n.peer_port}"}
                                           for n in cluster.nodes]
    etcd = None
    try:
        cluster.start()
        etcd = Etcd()
        token = cluster.nodes[0].admin().must(
            "POST", "/auth/token/generate", {"label": "bench", "expiry_days": 1})["token"]
        out = {}
        for clients in (1, 16, 256):
            for spread in (False, True):
                if spread and clients == 1:
                    continue
                leader = cluster.leader()
                ours = [leader.api_port] + [n.api_port for n in cluster.others(leader)]
                theirs = etcd.all()
                threads = 3 if spread else 1
                name = f"put_{clients}" + ("_spread" if spread else "")
                say(f"metadata writes, {clients} clients, " + ("spread over three" if spread else "leader"))
                out[name] = beside(
                    "etcd", lambda: wrk(ours[0], clients, threads=threads, script=role_script(
                        token, ours[:threads])),
                    lambda: wrk(theirs[0], clients, threads=threads, script=etcd_script(
                        theirs[:threads])))
        return out
    finally:
        if etcd:
            etcd.stop()
        cluster.stop()
