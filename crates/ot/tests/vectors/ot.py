"""Known answers for gazelle-ot: GGM trees (plain and correlated) and positions of the LPN code.

Independent of the Rust code: AES from the `cryptography` package, everything else plain Python
integers, written from the descriptions in ggm.rs, ferret/code.rs and protocol.md section 6.
Run: python3 ot.py > ot.txt
"""
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MASK = (1 << 128) - 1


def aes(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def integer(data):
    return int.from_bytes(data, "little")


def data(x):
    return x.to_bytes(16, "little")


def counter(domain, index):
    return ((domain << 120) | index).to_bytes(16, "big")


def hash_h(seed, tweak, x):
    batch, point = tweak >> 12, tweak & 0xFFF
    key = aes(seed, counter(0x48, 2 * batch))
    u = integer(aes(seed, counter(0x48, 2 * batch + 1)))
    y = x
    while point:
        if point & 1:
            y ^= u
        point >>= 1
        u = (u << 1 & MASK) ^ (0x87 if u >> 127 else 0)
    high, low = y >> 64, y & ((1 << 64) - 1)
    return integer(aes(key, data(y))) ^ ((high ^ low) << 64 | high)


def grow(seed, tweak, kind, trees, depth, nodes):
    """`nodes`: the first levels, node p of tree i at p * trees + i."""
    while len(nodes) < trees << depth:
        left = [hash_h(seed, tweak + at, x) for at, x in enumerate(nodes)]
        tweak += len(nodes)
        if kind == "plain":
            right = [hash_h(seed, tweak + at, x) for at, x in enumerate(nodes)]
            tweak += len(nodes)
        else:
            right = [x ^ y for x, y in zip(nodes, left)]
        nodes = left + right
    return nodes


def positions(row, k):
    seed = b"gazelle LPN code"
    stream = aes(seed, counter(1, 2 * row)) + aes(seed, counter(1, 2 * row + 1))
    words = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(4)]
    return [(words[m // 3] >> 21 * (m % 3)) % (1 << 21) % k for m in range(10)]


seed = bytes(range(16))
print("# tree <kind> <trees> <depth> <first tweak> : roots : leaves")
for kind in ("plain", "correlated"):
    for trees, depth, tweak in ((1, 3, 0), (3, 4, 4090), (4, 2, 4 << 56)):
        roots = [hash_h(seed, 1 << 40 | i, 7) for i in range(trees)]
        leaves = grow(seed, tweak, kind, trees, depth, roots)
        text = lambda blocks: " ".join(f"{x:032x}" for x in blocks)
        print(f"tree {kind} {trees} {depth} {tweak:x} : {text(roots)} : {text(leaves)}")
print("# row <row> <log2 k> : ten positions")
for row in (0, 1, 31, 32, 2_396_159, 15_564_799):
    for log2_k in (16, 17, 19):
        print(f"row {row} {log2_k} : " + " ".join(map(str, positions(row, 1 << log2_k))))
