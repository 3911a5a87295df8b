# SPDX-License-Identifier: Apache-2.0
"""What the parts of scripts/bench share: the load generator, taking turns, medians."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))

QUICK = "--quick" in sys.argv
SECONDS = 2 if QUICK else 5
RUNS = 1 if QUICK else 3
DIR = os.path.join(ROOT, "build/bench")

LUA = """
local n, id = 0, 0
local addresses = { %(addresses)s }
local count = 0
function setup(thread)
  count = count + 1
  thread:set("id", count)
  if #addresses > 1 then
    thread.addr = wrk.lookup("127.0.0.1", addresses[(count - 1) %% #addresses + 1])[1]
  end
end
function request()
  n = n + 1
  %(request)s
end
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def wrk(port, connections, path="/", script=None, headers=(), threads=1):
    """Requests a second, p50 and p99 in ms; anything but 2xx is an error."""
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{SECONDS}s", "--latency", "--timeout", "10s"]
    for h in headers:
        command += ["-H", h]
    if script:
        name = os.path.join(DIR, "request.lua")
        with open(name, "w", encoding="ascii") as f:
            f.write(script)
        command += ["-s", name]
    out = subprocess.run(command + [f"http://127.0.0.1:{port}{path}"], check=True,
                         capture_output=True).stdout.decode()
    for bad in ("Non-2xx", "Socket errors"):
        if bad in out:
            raise SystemExit(f"scripts/bench: {out}")

    def ms(percent):
        value, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)", out, re.M).groups()
        return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]

    return {"per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            "p50_ms": ms(50), "p99_ms": ms(99)}


def median(runs):
    best = sorted(runs, key=lambda r: r["per_s"])[len(runs) // 2]
    return {k: round(v, 3) for k, v in best.items()}


def alternate(rivals):
    """{name: function}: all of them in turn, RUNS times; the medians."""
    results = {name: [] for name in rivals}
    for _ in range(RUNS):
        for name, run in rivals.items():
            results[name].append(run())
    return {name: median(runs) for name, runs in results.items()}


def beside(rival, ours, theirs):
    """Both in turn; the ratio of their rates."""
    r = alternate({"pantera": ours, rival: theirs})
    return {**r, "ratio": round(r["pantera"]["per_s"] / r[rival]["per_s"], 3)}
