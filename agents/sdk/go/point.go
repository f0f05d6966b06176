package stateset

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"slices"
	"sync"
)

// verifies tells whether the key signed the message: the single cofactorless check, for keys that pass the registration rule
// (VES, section 8.2). Code: unusable_key.
func verifies(publicKey string, message, signature []byte) (bool, error) {
	key, err := fromHex("public key", publicKey, 32)
	if err != nil {
		return false, err
	}
	if !usable(key) {
		return false, broken("unusable_key", "the key is no canonical point of the prime-order group")
	}
	return ed25519.Verify(key, message, signature), nil
}

var (
	checkedMu sync.Mutex
	checked   = map[string]bool{}
)

// checkedMax bounds what is remembered: all of it is forgotten at once.
const checkedMax = 1024

// usable remembers the answer: it costs a millisecond.
func usable(key []byte) bool {
	name := hex.EncodeToString(key)
	checkedMu.Lock()
	defer checkedMu.Unlock()
	answer, known := checked[name]
	if !known {
		if len(checked) >= checkedMax {
			clear(checked)
		}
		answer = inPrimeOrderGroup(key)
		checked[name] = answer
	}
	return answer
}

var (
	one   = big.NewInt(1)
	prime = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	order = fromDecimal("7237005577332262213973186563042994240857116359379907606001950938285454250989")
	curve = fraction(-121665, 121666)
)

func fromDecimal(text string) *big.Int {
	number, _ := new(big.Int).SetString(text, 10)
	return number
}

func fraction(over, under int64) *big.Int {
	inverse := new(big.Int).ModInverse(big.NewInt(under), prime)
	return mul(big.NewInt(over), inverse)
}

func mul(a, b *big.Int) *big.Int { return reduced(new(big.Int).Mul(a, b)) }

func add(a, b *big.Int) *big.Int { return reduced(new(big.Int).Add(a, b)) }

func sub(a, b *big.Int) *big.Int { return reduced(new(big.Int).Sub(a, b)) }

func reduced(a *big.Int) *big.Int { return a.Mod(a, prime) }

// point is of the twisted Edwards curve, in extended coordinates: X, Y, Z, T.
type point [4]*big.Int

// inPrimeOrderGroup: the key is the canonical encoding of a point of the prime order.
func inPrimeOrderGroup(key []byte) bool {
	bytes := slices.Clone(key)
	slices.Reverse(bytes)
	sign := uint(bytes[0] >> 7)
	bytes[0] &= 0x7f
	y := new(big.Int).SetBytes(bytes)
	if y.Cmp(prime) >= 0 {
		return false
	}
	squared := mul(y, y)
	denominator := new(big.Int).ModInverse(add(mul(curve, squared), one), prime)
	x := new(big.Int).ModSqrt(mul(sub(squared, one), denominator), prime)
	if x == nil || x.Sign() == 0 && sign == 1 {
		return false
	}
	if x.Bit(0) != sign {
		x = sub(new(big.Int), x)
	}
	// The neutral element itself is of small order; any other that the order sends there is of the prime order.
	if x.Sign() == 0 && y.Cmp(one) == 0 {
		return false
	}
	p, total := point{x, y, one, mul(x, y)}, point{new(big.Int), one, one, new(big.Int)}
	for bit := 0; bit < order.BitLen(); bit++ {
		if order.Bit(bit) == 1 {
			total = sum(total, p)
		}
		p = sum(p, p)
	}
	return total[0].Sign() == 0 && total[1].Cmp(total[2]) == 0
}

func sum(p, q point) point {
	a, b := mul(sub(p[1], p[0]), sub(q[1], q[0])), mul(add(p[1], p[0]), add(q[1], q[0]))
	c, d := mul(mul(add(p[3], p[3]), q[3]), curve), mul(add(p[2], p[2]), q[2])
	e, f, g, h := sub(b, a), sub(d, c), add(d, c), add(b, a)
	return point{mul(e, f), mul(g, h), mul(f, g), mul(e, h)}
}
