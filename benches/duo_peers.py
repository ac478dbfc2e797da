#!/usr/bin/env python3
"""Times Duo's own packages beside this workspace's Duo crate, in one run.

    python3 benches/duo_peers.py [ROUNDS]

Each round times the Rust benches, then Python's packages, then Node's, so that whatever disturbs the machine disturbs
all of them; the table shows the median of the rounds. Python's packages (duo_client, duo_universal, duo_web) must be
installed; Node's are installed by npm into a temporary folder, and left out where there is no npm.
"""
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import timeit
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

ROOT = Path(__file__).resolve().parent.parent
IKEY, SKEY = "DIXXXXXXXXXXXXXXXXXX", "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
AKEY, USER, HOST = "useacustomerprovidedapplicationsecretkey", "bob@example.com", "api-xxxxxxxx.duosecurity.com"
REDIRECT, STATE = "https://www.example.com/duo", "deadbeefdeadbeefdeadbeefdeadbeef"
# As in the Rust benches: the median of many turns that are short, so that a busy machine interrupts few of them.
TURNS, CALLS = 200, 50

# The names of the table, with those of the Rust lanes.
WORK = {
    "web sign_request": ("duo", "web sign_request"),
    "web verify_response": ("duo", "web verify_response"),
    "auth v5 signature of a body": ("duo", "auth v5 signature of a body"),
    "auth v5 signature of a query": ("duo", "auth v5 signature of a query"),
    "create_auth_url": ("duo_universal", "without a nonce: create_auth_url"),
}
# What the Rust lanes sign.
PATH, DATE = "/auth/v2/auth", "Tue, 21 Aug 2012 17:29:18 -0000"
BODY = '{"async":"1","device":"auto","factor":"push","ipaddr":"192.0.2.7","username":"ann@example.com"}'
QUERY = {"username": ["ann@example.com"], "factor": ["push"], "device": ["auto"], "hostname": ["ann's laptop"]}

NODE = """
const web = require('@duosecurity/duo_web');
const { Client } = require('@duosecurity/duo_universal');
const [ikey, skey, akey, user, host, redirect, state, turns, calls] = JSON.parse(process.argv[2]);
const universal = new Client({ clientId: ikey, clientSecret: skey, apiHost: host, redirectUrl: redirect });
const crypto = require('crypto');
const cookie = (key, prefix, life) => {
  const text = Buffer.from(`${user}|${ikey}|${Math.floor(Date.now() / 1000) + life}`).toString('base64');
  const mac = crypto.createHmac('sha1', key).update(`${prefix}|${text}`).digest('hex');
  return `${prefix}|${text}|${mac}`;
};
const response = `${cookie(skey, 'AUTH', 300)}:${cookie(akey, 'APP', 3600)}`;
const time = async (work) => {
  for (let i = 0; i < 200; i++) await work();
  const took = [];
  for (let turn = 0; turn < turns; turn++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) await work();
    took.push(Number(process.hrtime.bigint() - start) / calls);
  }
  return took.sort((a, b) => a - b)[turns / 2];
};
(async () => {
  if (web.verify_response(ikey, skey, akey, response) !== user) throw new Error('not verified');
  console.log(JSON.stringify({
    'web sign_request': await time(() => web.sign_request(ikey, skey, akey, user)),
    'web verify_response': await time(() => web.verify_response(ikey, skey, akey, response)),
    'create_auth_url': await time(() => universal.createAuthUrl(user, state)),
  }));
})();
"""


def rust():
    """Nanoseconds of the lanes of the Rust benches."""
    found = {}
    for bench in sorted({bench for bench, _ in WORK.values()}):
        command = ["cargo", "bench", "--quiet", "-p", "mfa-benches", "--bench", bench, "--", "ratios"]
        lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for line in lines.splitlines():
            match = re.match(r"\s{2}(.+?)\s+([\d.]+) (ns|µs)\b", line)
            if match:
                found.setdefault(match[1].strip(), float(match[2]) * (1e3 if match[3] == "µs" else 1))
    return {name: found[lane] for name, (_, lane) in WORK.items()}


def python():
    import duo_client.client
    import duo_universal
    import duo_web

    half = duo_web.sign_request(IKEY, SKEY, AKEY, USER)
    auth = duo_web._sign_vals(SKEY, [USER, IKEY], "AUTH", 300)
    response = auth + ":" + half.split(":")[1]
    assert duo_web.verify_response(IKEY, SKEY, AKEY, response) == USER
    universal = duo_universal.Client(IKEY, SKEY, HOST, REDIRECT)

    def sign(method, params, body):
        return duo_client.client.sign(IKEY, SKEY, method, HOST, PATH, DATE, 5, params, body=body)

    work = {
        "web sign_request": lambda: duo_web.sign_request(IKEY, SKEY, AKEY, USER),
        "web verify_response": lambda: duo_web.verify_response(IKEY, SKEY, AKEY, response),
        "auth v5 signature of a body": lambda: sign("POST", {}, BODY),
        "auth v5 signature of a query": lambda: sign("GET", QUERY, ""),
        "create_auth_url": lambda: universal.create_auth_url(USER, STATE),
    }
    took = {name: timeit.repeat(call, number=CALLS, repeat=TURNS) for name, call in work.items()}
    return {name: statistics.median(turns) / CALLS * 1e9 for name, turns in took.items()}


def node(folder):
    values = [IKEY, SKEY, AKEY, USER, HOST, REDIRECT, STATE, TURNS, CALLS]
    command = ["node", "time.js", json.dumps(values)]
    return json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        peers = {"this crate": rust, "Python": python}
        if shutil.which("npm"):
            Path(folder, "time.js").write_text(NODE)
            packages = ["@duosecurity/duo_web", "@duosecurity/duo_universal"]
            subprocess.run(["npm", "install", "--silent", *packages], cwd=folder, check=True)
            peers["Node"] = lambda: node(folder)
        seen = {peer: [] for peer in peers}
        for _ in range(rounds):
            for peer, run in peers.items():
                seen[peer].append(run())
    print(f"{'ns, median of ' + str(rounds) + ' rounds':<32}" + "".join(f"{peer:>14}" for peer in peers))
    for name in WORK:
        ours, row = None, f"{name:<32}"
        for peer in peers:
            values = [run[name] for run in seen[peer] if run.get(name)]
            if not values:
                row += f"{'–':>14}"
                continue
            value = statistics.median(values)
            ours = ours or value
            row += f"{value:>8.0f} {'(' + format(value / ours, '.1f') + ')':>5}"
        print(row)


if __name__ == "__main__":
    main()
