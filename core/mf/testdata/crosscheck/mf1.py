#!/usr/bin/env python3
"""KEPOSS-MF/1 a second time, from docs/mf1.md, in the standard library.

    mf1.py vectors.json [--planted-label LABEL]

reads the inputs ("in") of every case and prints the cases with every stage
("out") computed anew. It never looks at the file's own "out". A planted label
is spelt wrongly on purpose, so that the comparison can be seen to fail.
"""

import base64
import itertools
import json
import struct
import sys

from gm import ctr, hmac, kdf, pbkdf2, public, selftest, sm2_check, sm3, N

PLANTED = None


def u32(v):
    return struct.pack(">I", v)


def u64(v):
    return struct.pack(">Q", v)


def enc(*items):
    out = u32(len(items))
    for it in items:
        it = it.encode() if isinstance(it, str) else it
        out += u32(len(it)) + it
    return out


def X(k, label, ctx, size):
    if label == PLANTED:
        label += "!"
    return kdf(hmac(k, enc("keposs/mf/1", label, ctx, u32(size))), size)


def scalar(k, label, ctx):
    return 1 + int.from_bytes(X(k, label, ctx, 40), "big") % (N - 2)


def xor(a, b):
    assert len(a) == len(b)
    return bytes(x ^ y for x, y in zip(a, b))


# --- the tree -------------------------------------------------------------

def tokens(text):
    i = 0
    while i < len(text):
        c = text[i]
        if c in " \t\r\n":
            i += 1
        elif c in "&|(),":
            yield c
            i += 1
        else:
            j = i
            while j < len(text) and text[j] not in " \t\r\n&|(),":
                j += 1
            yield text[i:j]
            i = j


class Parser:
    """Trees are a label, or (k, [kids])."""

    def __init__(self, text):
        self.t = list(tokens(text)) + [None]

    def policy(self):
        return self.chain("|", lambda: self.chain("&", self.item))

    def chain(self, sep, part):
        kids = [part()]
        while self.t[0] == sep:
            self.t.pop(0)
            kids.append(part())
        return kids[0] if len(kids) == 1 else (1 if sep == "|" else len(kids), kids)

    def item(self):
        w = self.t.pop(0)
        if w == "(":
            inner = self.policy()
            assert self.t.pop(0) == ")"
            return inner
        if w.isdigit():
            assert self.t.pop(0) == "of"
            return (int(w), self.list())
        if w in ("all", "any"):
            kids = self.list()
            return (len(kids) if w == "all" else 1, kids)
        return w

    def list(self):
        assert self.t.pop(0) == "("
        kids = [self.policy()]
        while self.t[0] == ",":
            self.t.pop(0)
            kids.append(self.policy())
        assert self.t.pop(0) == ")"
        return kids


def labels_of(tree):
    if isinstance(tree, str):
        return {tree}
    return set().union(*map(labels_of, tree[1]))


def tree_code(tree, labels):
    """The normal form's encoding."""
    tree = normal(tree, labels)
    if isinstance(tree, str):
        return bytes([labels.index(tree)])
    k, kids = tree
    return bytes([0x80 + k, len(kids)]) + b"".join(tree_code(c, labels) for c in kids)


def normal(tree, labels):
    if isinstance(tree, str):
        return tree
    k, kids = tree
    is_all, is_any = k == len(kids), k == 1
    flat = []
    for c in (normal(c, labels) for c in kids):
        inner = not isinstance(c, str) and (is_all and c[0] == len(c[1]) or is_any and c[0] == 1)
        flat += c[1] if inner else [c]
    flat.sort(key=lambda c: tree_code(c, labels))
    if is_all or is_any:
        flat = [c for i, c in enumerate(flat) if i == 0 or flat[i - 1] != c]
    if len(flat) == 1:
        return flat[0]
    return (len(flat) if is_all else k, flat)


def opens(tree, have):
    if isinstance(tree, str):
        return tree in have
    return sum(opens(c, have) for c in tree[1]) >= tree[0]


def minimal_sets(tree, labels):
    sets = []
    for size in range(1, len(labels) + 1):
        for s in itertools.combinations(labels, size):
            if opens(tree, set(s)) and not any(set(m) <= set(s) for m in sets):
                sets.append(s)
    return sorted(map(list, sets))


# --- the schedule -----------------------------------------------------------

KIND_BIOMETRIC = 3


def run(case):
    v = unhex(case["in"])
    tree = Parser(v["tree"]).policy()
    labels = sorted(labels_of(tree))
    sets = minimal_sets(tree, labels)
    out = {"tree_code": tree_code(tree, labels), "sets": sets}
    key_id, anchor = v["key_id"], v["anchor"]
    wrapped = v["root"] == "wrapped"
    root = 2 if wrapped else 1
    mode = {"plain": 1, "hardened": 2}[v["mode"]]
    oprf = 1 if mode == 2 else 0
    realms = [enc(v["realm"], u32(1), v["oprf_pub"])]
    escrow = enc(u32(mode), u32(oprf), u32(1), u32(1), enc(*realms))
    factors = [enc(f["id"], u32(f["kind"]), f["source"], u32(f["format"])) for f in v["factors"]]
    core = sm3(enc("core", u32(1), u32(1), key_id, u32(root), v["kdf"], escrow, out["tree_code"], enc(*factors)))
    out["core"] = core

    out["holders"] = []
    for h in v["holders"]:
        fs = X(hmac(h["salt"], enc("secret", h["secret"])), "holder", enc(key_id, h["id"], u32(h["kind"]), u32(h["rev"])), 32)
        pad = X(fs, "anchor", enc(key_id, h["id"], u32(h["rev"])), 32)
        p = h["p"] or public(scalar(h["secret"], "rebind", key_id))
        out["holders"].append({"fs": fs, "v": xor(anchor, pad), "p": p})

    out["factors"] = []
    for f in v["factors"]:
        o = {"bk": b"", "transform": b"", "helper": f["helper"], "box": b""}
        ctx = [key_id, f["id"], u32(f["kind"]), f["source"], u32(f["format"]), u32(f["rev"])]
        if f["kind"] == KIND_BIOMETRIC:
            o["bk"] = X(anchor, "bind", enc(key_id, f["id"], u32(f["rev"]), f["salt"]), 32)
            o["transform"] = X(o["bk"], "transform", b"", 32)
            o["helper"] = ctr(X(o["bk"], "helper", b"", 16), bytes(16), f["helper"])
            ctx.append(sm3(o["helper"]))
        o["fs"] = X(hmac(f["salt"], enc("secret", f["secret"])), "factor", enc(*ctx), 32)
        out["factors"].append(o)
    fs = {f["id"]: o["fs"] for f, o in zip(v["factors"], out["factors"])}

    name, _, cost = v["kdf"].partition("$")
    assert name == "pbkdf2sm3" and cost.startswith("i=")
    rk = v["rk"]
    out["set_keys"] = []
    for i, members in enumerate(sets):
        ids = enc(*members)
        ikm = enc("set", anchor, enc(*[enc(m, fs[m]) for m in members]))
        s = {"ikm": ikm, "kdf_secret": hmac(core, ikm), "kdf_salt": hmac(core, enc("set-salt", v["set_salts"][i]))}
        s["t"] = pbkdf2(s["kdf_secret"], s["kdf_salt"], int(cost[2:]), 32)
        s["g"] = hmac(s["t"], ikm)
        s["oprf_input"] = X(s["g"], "oprf", ids, 32) if mode == 2 else b""
        s["k_s"] = X(s["g"], "set-key", v["u"][i] if mode == 2 else b"", 32)
        s["w"] = b""
        if wrapped:
            s["w"] = xor(rk, X(s["k_s"], "wrap", ids, 32))
        else:
            rk = X(s["k_s"], "root", core, 32)
        out["set_keys"].append(s)
    out["rk"] = rk

    for f, o in zip(v["factors"], out["factors"]):
        if f["box_iv"]:
            o["box"] = f["box_iv"] + ctr(X(rk, "fsbox", enc(f["id"], u32(f["rev"])), 16), f["box_iv"], o["fs"])
    master = kdf(X(rk, "mk", enc(key_id, u64(v["mk_gen"])), 32), 48)
    out["mk"], out["ma"] = master[:16], master[16:]
    p_sign, p_enc = (public(int.from_bytes(v[k], "big")) for k in ("sign", "enc"))
    out["pubs"] = sm3(enc(p_sign, p_enc))
    d_pol = scalar(rk, "policy-sign", key_id)
    d_conf = scalar(rk, "confirm", enc(key_id, u64(v["mk_gen"])))
    out["d_pol"], out["d_conf"] = (d.to_bytes(32, "big") for d in (d_pol, d_conf))

    body = policy_body(v, out, root, mode, oprf, labels, public(d_pol), public(d_conf))
    out["mac"] = hmac(X(rk, "policy-mac", b"", 32), body)
    signed = body + out["mac"]
    out["sig_ok"] = sm2_check(d_pol, signed, b"KEPOSS-POLICY-v1", v["sig"])
    out["policy"] = signed + v["sig"]

    ct = ctr(out["mk"], v["blob_iv"], enc("keposs/bundle/1", v["sign"], v["enc"]))
    tag = hmac(out["ma"], enc("ssp", u32(1), key_id, v["app"], u64(v["mk_gen"]), out["pubs"], v["blob_iv"], ct))
    out["blob"] = v["blob_iv"] + ct + tag
    out["trust"] = trust_record(v, out, public(d_pol), p_sign, p_enc)
    out["payload"], out["details"], out["words"] = sheet(v, out, public(d_pol))
    return {"name": case["name"], "in": case["in"], "out": tohex(out)}


def lp16(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack(">H", len(b)) + b


def policy_body(v, out, root, mode, oprf, labels, p_pol, p_conf):
    b = bytes([1]) + u32(1) + v["key_id"] + u64(v["mk_gen"]) + u64(v["epoch"]) + bytes([root]) + lp16(v["kdf"])
    b += bytes([mode]) + u32(oprf) + bytes([1, 1, 1]) + v["realm"] + bytes([1]) + lp16(v["oprf_pub"])
    b += bytes([len(v["holders"])])
    for h, o in zip(v["holders"], out["holders"]):
        b += lp16(h["id"]) + bytes([h["kind"]]) + u32(h["rev"]) + h["salt"] + o["v"] + o["p"]
    b += out["pubs"] + lp16(out["tree_code"]) + bytes([len(v["factors"])])
    for f, o in zip(v["factors"], out["factors"]):
        b += lp16(f["id"]) + bytes([f["kind"]]) + lp16(f["source"]) + u32(f["format"]) + u32(f["rev"])
        b += u32(f["per_try"]) + u32(f["offline"]) + f["salt"] + lp16(o["helper"]) + lp16(o["box"])
    b += bytes([len(out["sets"])])
    for members, salt, s in zip(out["sets"], v["set_salts"], out["set_keys"]):
        b += struct.pack(">H", sum(1 << labels.index(m) for m in members)) + salt + s["w"]
    return b + p_pol + p_conf


def trust_record(v, out, p_pol, p_sign, p_enc):
    t = v["trust"]
    slot = sm3(out["policy"]) + u64(v["epoch"]) + u64(v["mk_gen"]) + p_pol + p_sign + p_enc + lp16(t["slot"])
    body = bytes([1]) + t["user"] + v["realm"] + t["server"] + lp16(v["kdf"]) + bytes([1]) + slot + bytes([0])
    tag = hmac(X(t["secret"], "trust", t["slot"].encode(), 32), enc("file", "trust", t["slot"], body))
    return b"KPS1" + bytes([1]) + lp16(t["slot"]) + u32(len(body)) + body + tag


def sheet(v, out, p_pol):
    if not v["sheet"]:
        return "", "", ""
    code = next(h["secret"] for h in v["holders"] if h["kind"] == 2)
    t = v["trust"]
    bind = sm3(enc("sheet", v["key_id"], u64(v["mk_gen"]), p_pol, out["pubs"]))[:16]
    endpoint = v["sheet"]["endpoint"].encode()
    rest = t["user"] + v["realm"] + t["server"] + v["key_id"] + bind + bytes([len(endpoint)]) + endpoint

    def text(prefix, body):
        body += sm3(enc(prefix, body))[:4]
        return prefix + base64.b32encode(body).decode().rstrip("=")

    bits = int.from_bytes(code + sm3(enc("words", code))[:2], "big")
    words = []
    for i in range(12):
        w = bits >> (12 * (11 - i)) & 0xFFF
        words.append("".join("bdfghjklmnprstvz"[h >> 2] + "aiou"[h & 3] for h in (w >> 6, w & 63)))
    return text("KEPOSS-SHEET1:", code + rest), text("KEPOSS-DETAILS1:", rest), " ".join(words)


# --- JSON with hex ------------------------------------------------------------

TEXT = {"tree", "root", "mode", "kdf", "id", "source", "slot", "endpoint"}


def unhex(v, key=""):
    if isinstance(v, dict):
        return {k: unhex(x, k) for k, x in v.items()}
    if isinstance(v, list):
        return [unhex(x, key) for x in v]
    if isinstance(v, str) and key not in TEXT:
        return bytes.fromhex(v)
    return v


def tohex(v):
    if isinstance(v, dict):
        return {k: tohex(x) for k, x in v.items()}
    if isinstance(v, list):
        return [tohex(x) for x in v]
    return v.hex() if isinstance(v, bytes) else v


def main(argv):
    global PLANTED
    if len(argv) == 4 and argv[2] == "--planted-label":
        PLANTED = argv[3]
    elif len(argv) != 2:
        sys.exit(__doc__)
    selftest()
    with open(argv[1]) as f:
        cases = json.load(f)
    for c in cases:
        c.pop("out", None)
    json.dump([run(c) for c in cases], sys.stdout)


if __name__ == "__main__":
    main(sys.argv)
