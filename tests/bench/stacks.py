"""What `perf script` prints, as shares of the parts of the service: `stacks.py TITLE [FOLDED]`, the samples from standard input.

A sample belongs to the first part of which any function is on its stack. FOLDED gets the stacks, each a line with how often it was met.
"""

import collections
import re
import sys

# In this order: what a part does includes what it calls, unless that is a part before it.
PARTS = [
    ("tasks beside the requests: chain, positions, stages", r"crm::(audit::chain|events::outbox::assign|opportunities::history::fill|background)"),
    ("SQLite: fsync", r"fsync"),
    ("SQLite: writing the log, and moving it into the file", r"sqlite3PagerCommitPhaseOne|sqlite3WalCheckpoint|sqlite3Checkpoint"),
    ("SQLite: the index of searches", r"fts5|Fts5"),
    ("SQLite: preparing statements", r"sqlite3Prepare|sqlite3LockAndPrepare"),
    ("SQLite: rows, their indexes and triggers", r"sqlite3_step|sqlite3"),
    ("sealing and opening personal data", r"crm::pii|chacha|poly1305|sha2"),
    ("handing over between threads", r"flume|futex|unpark|wake"),
    ("building and binding statements", r"sea_query|sea_orm|sqlx"),
    ("writing and reading the socket", r"writev|sendmsg|recvfrom|tcp_|__libc_recv|__libc_send|Connection as tokio::io"),
    ("JSON", r"serde"),
    ("the change: its rows, entry and event", r"crm::(change|customers::store|audit|timeline|events)"),
    ("HTTP: routing, tokens, headers, limits", r"crm::http|crm::auth|poem|hyper|http::"),
    ("the runtime", r"tokio|schedule|epoll"),
]


def main():
    title, folded = sys.argv[1], sys.argv[2:3]
    parts, stacks, stack, command = collections.Counter(), collections.Counter(), [], ""
    rules = [(name, re.compile(rule)) for name, rule in PARTS]
    for line in [*sys.stdin, "\n"]:
        if line.strip() and not line[0].isspace():
            command = line.split()[0]
        elif line.strip():
            stack.append(line.split(maxsplit=1)[1].strip() if " " in line.strip() else "?")
        elif stack:
            text = "\n".join(stack)
            parts[next((name for name, rule in rules if rule.search(text)), "anything else")] += 1
            stacks[";".join([command, *reversed(stack)])] += 1
            stack = []
    samples = sum(parts.values())
    print(f"{title}, {samples} samples")
    for name, count in parts.most_common():
        print(f"  {100 * count / samples:5.1f} %  {name}")
    for path in folded:
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{stack} {count}\n" for stack, count in sorted(stacks.items()))


main()
