"""The Chinese standard primitives KEPOSS-MF/1 rests on, for cross-checking.

Plain Python, standard library only, written from the standards: SM3 (GM/T
0004), SM4-CTR (GM/T 0002), HMAC and PBKDF2 over SM3, the KDF of GM/T 0003
clause 5.4.3, and SM2 points and signatures. Slow and not constant time: it
exists to agree or disagree with the Go code, never to protect anything.
"""

import struct


def _rotl(x, n):
    n %= 32
    return ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF


_SM3_IV = (0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600,
           0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E)


def _sm3_block(v, block):
    w = list(struct.unpack(">16I", block))
    for j in range(16, 68):
        x = w[j - 16] ^ w[j - 9] ^ _rotl(w[j - 3], 15)
        w.append(x ^ _rotl(x, 15) ^ _rotl(x, 23) ^ _rotl(w[j - 13], 7) ^ w[j - 6])
    a, b, c, d, e, f, g, h = v
    for j in range(64):
        t = 0x79CC4519 if j < 16 else 0x7A879D8A
        ss1 = _rotl((_rotl(a, 12) + e + _rotl(t, j)) & 0xFFFFFFFF, 7)
        ss2 = ss1 ^ _rotl(a, 12)
        ff = a ^ b ^ c if j < 16 else (a & b) | (a & c) | (b & c)
        gg = e ^ f ^ g if j < 16 else (e & f) | (~e & 0xFFFFFFFF & g)
        tt1 = (ff + d + ss2 + (w[j] ^ w[j + 4])) & 0xFFFFFFFF
        tt2 = (gg + h + ss1 + w[j]) & 0xFFFFFFFF
        d, c, b, a = c, _rotl(b, 9), a, tt1
        h, g, f, e = g, _rotl(f, 19), e, tt2 ^ _rotl(tt2, 9) ^ _rotl(tt2, 17)
    return tuple(x ^ y for x, y in zip(v, (a, b, c, d, e, f, g, h)))


def sm3(msg):
    padded = msg + b"\x80" + b"\x00" * ((55 - len(msg)) % 64) + struct.pack(">Q", 8 * len(msg))
    v = _SM3_IV
    for i in range(0, len(padded), 64):
        v = _sm3_block(v, padded[i:i + 64])
    return struct.pack(">8I", *v)


def hmac(key, msg):
    if len(key) > 64:
        key = sm3(key)
    key = key.ljust(64, b"\x00")
    inner = sm3(bytes(k ^ 0x36 for k in key) + msg)
    return sm3(bytes(k ^ 0x5C for k in key) + inner)


def pbkdf2(password, salt, iterations, size):
    out = b""
    block = 1
    while len(out) < size:
        u = hmac(password, salt + struct.pack(">I", block))
        acc = int.from_bytes(u, "big")
        for _ in range(iterations - 1):
            u = hmac(password, u)
            acc ^= int.from_bytes(u, "big")
        out += acc.to_bytes(32, "big")
        block += 1
    return out[:size]


def kdf(z, size):
    """GM/T 0003 clause 5.4.3."""
    out = b""
    counter = 1
    while len(out) < size:
        out += sm3(z + struct.pack(">I", counter))
        counter += 1
    return out[:size]


def _sbox():
    """The SM4 S-box by its algebra: A(inverse(A(x))) in GF(2^8) mod 0x1F5."""
    def mul(a, b):
        r = 0
        while b:
            if b & 1:
                r ^= a
            a <<= 1
            if a & 0x100:
                a ^= 0x1F5
            b >>= 1
        return r

    inverse = [0] * 256
    for x in range(1, 256):
        for y in range(1, 256):
            if mul(x, y) == 1:
                inverse[x] = y
                break

    def affine(x):
        r = 0
        for shift in range(8):
            # the circulant matrix with first row 0xA7, plus 0xD3
            row = ((0xA7 << shift) | (0xA7 >> (8 - shift))) & 0xFF
            r |= (bin(row & x).count("1") & 1) << shift
        return r ^ 0xD3

    return [affine(inverse[affine(x)]) for x in range(256)]


_SBOX = _sbox()
_FK = (0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC)


def _tau(x):
    return (_SBOX[x >> 24] << 24 | _SBOX[x >> 16 & 255] << 16 | _SBOX[x >> 8 & 255] << 8 | _SBOX[x & 255])


def _sm4_keys(key):
    k = [a ^ b for a, b in zip(struct.unpack(">4I", key), _FK)]
    for i in range(32):
        ck = 0
        for j in range(4):
            ck = ck << 8 | (4 * i + j) * 7 % 256
        t = _tau(k[i + 1] ^ k[i + 2] ^ k[i + 3] ^ ck)
        k.append(k[i] ^ t ^ _rotl(t, 13) ^ _rotl(t, 23))
    return k[4:]


def sm4_block(keys, block):
    x = list(struct.unpack(">4I", block))
    for rk in keys:
        t = _tau(x[1] ^ x[2] ^ x[3] ^ rk)
        x = x[1:] + [x[0] ^ t ^ _rotl(t, 2) ^ _rotl(t, 10) ^ _rotl(t, 18) ^ _rotl(t, 24)]
    return struct.pack(">4I", *reversed(x))


def ctr(key, iv, data):
    keys = _sm4_keys(key)
    counter = int.from_bytes(iv, "big")
    out = b""
    for i in range(0, len(data), 16):
        pad = sm4_block(keys, (counter % (1 << 128)).to_bytes(16, "big"))
        counter += 1
        out += bytes(a ^ b for a, b in zip(data[i:i + 16], pad))
    return out


P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
     0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0)


def add(p, q):
    if p is None:
        return q
    if q is None:
        return p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        m = (3 * p[0] * p[0] + A) * pow(2 * p[1], -1, P)
    else:
        m = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (m * m - p[0] - q[0]) % P
    return x, (m * (p[0] - x) - p[1]) % P


def mul(k, p):
    r = None
    while k:
        if k & 1:
            r = add(r, p)
        p = add(p, p)
        k >>= 1
    return r


def compress(p):
    return bytes([2 + (p[1] & 1)]) + p[0].to_bytes(32, "big")


def public(d):
    return compress(mul(d, G))


def _int32(x):
    return x.to_bytes(32, "big")


def sm2_digest(pub, msg, user_id):
    z = sm3(struct.pack(">H", 8 * len(user_id)) + user_id + b"".join(map(_int32, (A, B, G[0], G[1], pub[0], pub[1]))))
    return int.from_bytes(sm3(z + msg), "big")


def sm2_check(d, msg, user_id, sig):
    """True when sig is a signature of msg by d: verified, and made again from its own nonce."""
    r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
    if not (0 < r < N and 0 < s < N) or (r + s) % N == 0:
        return False
    pub = mul(d, G)
    e = sm2_digest(pub, msg, user_id)
    x, _ = add(mul(s, G), mul((r + s) % N, pub))
    if (e + x) % N != r:
        return False
    k = (s * (1 + d) + r * d) % N  # s = (k - r d)/(1 + d)
    return (e + mul(k, G)[0]) % N == r


def selftest():
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    assert sm4_block(_sm4_keys(key), key).hex() == "681edf34d206965e86b3e94f536e4246"
    assert (G[1] ** 2 - G[0] ** 3 - A * G[0] - B) % P == 0 and mul(N, G) is None
