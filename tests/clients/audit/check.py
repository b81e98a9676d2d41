#!/usr/bin/env python3
"""Checks what Daybook's log proves, with nothing but Python's standard library and OpenSSL.

    check.py proofs KEY PROOFS                     GET /v1/orders/{id}/proofs, saved
    check.py consistency KEY OLD NEW PROOF         two checkpoints, and GET /audit/consistency between them

KEY is the public key as text. The other arguments are files. Ends with 0 when all is proven, else with 1 and why.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

# What stands before the 32 bytes of an Ed25519 public key in DER (RFC 8410).
DER_PREFIX = bytes.fromhex("302a300506032b6570032100")


class NotProven(Exception):
    pass


def demand(holds, otherwise):
    if not holds:
        raise NotProven(otherwise)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def decode(text):
    return base64.b64decode(text, validate=True)


def is_signed(text, public_key, signature):
    with tempfile.TemporaryDirectory() as folder:
        key, message, mark = (Path(folder, name) for name in ("key", "message", "signature"))
        key.write_bytes(DER_PREFIX + public_key)
        message.write_bytes(text)
        mark.write_bytes(signature)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"]
        command += ["-inkey", key, "-in", message, "-sigfile", mark]
        return subprocess.run(command, capture_output=True).returncode == 0


def open_checkpoint(vkey, note):
    """Size and root of a checkpoint that the key has signed."""
    name, key_id, key = vkey.strip().split("+", 2)
    key = decode(key)
    demand(key[:1] == b"\x01" and len(key) == 33, "not an Ed25519 key")
    demand(sha256(name.encode(), b"\n", key)[:4].hex() == key_id, "the key's id is wrong")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        blob = decode(blob)
        if dash == "—" and signer == name and blob[:4].hex() == key_id:
            demand(is_signed(text.encode(), key[1:], blob[4:]), "the signature of the checkpoint is wrong")
            break
    else:
        raise NotProven("the checkpoint is not signed by this key")
    origin, size, root = text.split("\n")[:3]
    demand(origin == name, "the checkpoint is another log's")
    return int(size), decode(root)


def node(left, right):
    return sha256(b"\x01", left, right)


def leaf_hash(commit):
    tenant = commit["tenant"].encode()
    return sha256(
        b"\x00",
        commit["partition"].to_bytes(2, "big"),
        commit["sequence"].to_bytes(8, "big"),
        bytes([len(tenant)]),
        tenant,
        uuid.UUID(commit["record"]).bytes,
        decode(commit["stored"]),
    )


def root_of_path(leaf, index, size, path):
    """The root that a leaf's path leads to: the definition in RFC 6962, 2.1.1, from the top down."""
    if size == 1:
        demand(not path, "the proof is too long")
        return leaf
    demand(path, "the proof is too short")
    left = 1 << (size - 1).bit_length() - 1
    if index < left:
        return node(root_of_path(leaf, index, left, path[:-1]), path[-1])
    return node(path[-1], root_of_path(leaf, index - left, size - left, path[:-1]))


def roots_of_consistency(old, new, path, old_root, is_whole=True):
    """Both roots that a consistency proof leads to: the definition in RFC 6962, 2.1.2, from the top down."""
    if old == new:
        if is_whole:
            demand(not path, "the proof is too long")
            return old_root, old_root
        demand(len(path) == 1, "the proof has another length")
        return path[0], path[0]
    demand(path, "the proof is too short")
    left = 1 << (new - 1).bit_length() - 1
    if old <= left:
        older, newer = roots_of_consistency(old, left, path[:-1], old_root, is_whole)
        return older, node(newer, path[-1])
    older, newer = roots_of_consistency(old - left, new - left, path[:-1], old_root, False)
    return node(path[-1], older), node(path[-1], newer)


def check_proofs(vkey, document):
    size, root = open_checkpoint(vkey, document["checkpoint"])
    proven = 0
    for commit in document["commits"]:
        if commit["pending"]:
            continue
        index = commit["sequence"] - 1
        demand(0 <= index < size, f"{commit['position']} is not in a log of {size} commits")
        path = [decode(text) for text in commit["proof"]]
        found = root_of_path(leaf_hash(commit), index, size, path)
        demand(found == root, f"{commit['position']} is not in the log that was signed")
        proven += 1
    demand(proven, "no commit is proven")
    print(f"{proven} commits of {document['order_id']} are in the log of {size}")


def check_consistency(vkey, old, new, document):
    (from_size, from_root), (to_size, to_root) = open_checkpoint(vkey, old), open_checkpoint(vkey, new)
    demand(from_size <= to_size, "the older checkpoint is the larger one")
    path = [decode(text) for text in document["hashes"]]
    if from_size > 0:
        found = roots_of_consistency(from_size, to_size, path, from_root)
        demand(found == (from_root, to_root), "the log of the newer checkpoint is not that of the older one")
    print(f"the log of {to_size} commits begins with that of {from_size}")


def main():
    read = lambda path: Path(path).read_text(encoding="utf-8")
    match sys.argv[1:]:
        case ["proofs", key, proofs]:
            check_proofs(key, json.loads(read(proofs)))
        case ["consistency", key, old, new, proof]:
            check_consistency(key, read(old), read(new), json.loads(read(proof)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main()
    except NotProven as error:
        sys.exit(f"NOT PROVEN: {error}")
