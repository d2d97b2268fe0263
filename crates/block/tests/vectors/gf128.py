"""Products in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bit k standing for x^k.

Schoolbook polynomial multiplication and long division over Python integers; inputs from SHA-256.
Run: python3 gf128.py > gf128.txt
"""
import hashlib

MODULUS = (1 << 128) | 0x87


def product(a, b):
    total = 0
    for k in range(b.bit_length()):
        if b >> k & 1:
            total ^= a << k
    while total.bit_length() > 128:
        total ^= MODULUS << (total.bit_length() - 129)
    return total


def number(i):
    return int.from_bytes(hashlib.sha256(b"gf128 %d" % i).digest()[:16], "big")


pairs = [(1 << 127, 2), (1 << 127, 1 << 127), ((1 << 128) - 1, (1 << 128) - 1), (0, number(0))]
pairs += [(number(2 * i + 1), number(2 * i + 2)) for i in range(12)]
print("# a, b, a b; see gf128.py")
for a, b in pairs:
    print(f"{a:x} {b:x} {product(a, b):x}")
