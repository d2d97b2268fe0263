"""Independent vectors for the hash of crates/block/src/hash.rs: plain Python, AES written from FIPS 197.

    python3 hash.py > hash.txt
"""

def xtime(a):
    a <<= 1
    return (a ^ 0x11B) & 0xFF if a & 0x100 else a

def gmul(a, b):
    r = 0
    while b:
        if b & 1:
            r ^= a
        a = xtime(a)
        b >>= 1
    return r

def make_sbox():
    box = []
    for x in range(256):
        inv = next((y for y in range(256) if gmul(x, y) == 1), 0)
        s = 0
        for i in range(8):
            bit = (inv >> i ^ inv >> (i + 4) % 8 ^ inv >> (i + 5) % 8 ^ inv >> (i + 6) % 8
                   ^ inv >> (i + 7) % 8 ^ 0x63 >> i) & 1
            s |= bit << i
        box.append(s)
    return box

SBOX = make_sbox()

def aes128(key, block):
    words = [list(key[4 * i:4 * i + 4]) for i in range(4)]
    rcon = 1
    for i in range(4, 44):
        t = list(words[i - 1])
        if i % 4 == 0:
            t = [SBOX[b] for b in t[1:] + t[:1]]
            t[0] ^= rcon
            rcon = xtime(rcon)
        words.append([a ^ b for a, b in zip(words[i - 4], t)])
    rk = [sum(words[4 * r:4 * r + 4], []) for r in range(11)]
    s = [a ^ b for a, b in zip(block, rk[0])]
    for r in range(1, 11):
        s = [SBOX[b] for b in s]
        s = [s[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if r != 10:
            o = []
            for c in range(4):
                a = s[4 * c:4 * c + 4]
                for i in range(4):
                    o.append(gmul(a[i], 2) ^ gmul(a[(i + 1) % 4], 3) ^ a[(i + 2) % 4] ^ a[(i + 3) % 4])
            s = o
        s = [a ^ b for a, b in zip(s, rk[r])]
    return bytes(s)

assert aes128(bytes(range(16)), bytes(0x11 * i for i in range(16))).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"

def field_mul(a, b):
    r = 0
    for i in range(128):
        if b >> i & 1:
            r ^= a << i
    for i in range(254, 127, -1):
        if r >> i & 1:
            r ^= 1 << i ^ 0x87 << (i - 128)
    return r

def sigma(x):
    left, right = x >> 64, x & (2**64 - 1)
    return (left ^ right) << 64 | left

def h(seed, tweak, x):
    j, i = tweak >> 12, tweak % 2**12
    counter = lambda n: (0x48 << 120 | n).to_bytes(16, "big")
    key = aes128(seed, counter(2 * j))
    u = int.from_bytes(aes128(seed, counter(2 * j + 1)), "little")
    y = x ^ field_mul(i, u)
    return int.from_bytes(aes128(key, y.to_bytes(16, "little")), "little") ^ sigma(y)

print("# tweak x H(x; tweak), hexadecimal; seed 000102..0f; made by hash.py")
SEED = bytes(range(16))
x = 0x0123456789ABCDEFFEDCBA9876543210
for tweak in [0, 1, 2, 3, 4095, 4096, 4097, 0x1234567, 0x01 << 56, (0x02 << 56) + 5, (0x02 << 56) + 0xABCDEF, 0x03FFFFFFFFFFFFFF]:
    print(f"{tweak:x} {x:x} {h(SEED, tweak, x):x}")
    x = field_mul(x, 0x9E3779B97F4A7C15F39CC0605CEDC835)
