package stateset

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
)

// Signer signs with one Ed25519 key: in memory, in a device, behind a service.
type Signer interface {
	// PublicKey has 32 bytes.
	PublicKey() []byte
	// Sign is pure Ed25519 over the message: 64 bytes.
	Sign(message []byte) ([]byte, error)
}

// SigningKey is a private signing key in memory.
type SigningKey struct{ key ed25519.PrivateKey }

// NewSigningKey makes one of the secure generator.
func NewSigningKey() *SigningKey {
	var seed [32]byte
	rand.Read(seed[:])
	return &SigningKey{ed25519.NewKeyFromSeed(seed[:])}
}

// SigningKeyFromSeed is the key of a 32-byte seed (RFC 8032).
func SigningKeyFromSeed(seed []byte) (*SigningKey, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, broken("invalid_input", "seed: it has 32 bytes")
	}
	return &SigningKey{ed25519.NewKeyFromSeed(seed)}, nil
}

func (k *SigningKey) PublicKey() []byte { return []byte(k.key.Public().(ed25519.PublicKey)) }

func (k *SigningKey) Sign(message []byte) ([]byte, error) { return ed25519.Sign(k.key, message), nil }

// Seed is to be kept in a safe place.
func (k *SigningKey) Seed() []byte { return k.key.Seed() }

// String shows the public half only.
func (k *SigningKey) String() string { return "SigningKey(public " + toHex(k.PublicKey()) + ")" }

// GoString shows the public half only.
func (k *SigningKey) GoString() string { return k.String() }

// OpeningKey opens payloads sealed for its public half. Never the seed of a signing key.
type OpeningKey struct{ key *ecdh.PrivateKey }

// NewOpeningKey makes one of the secure generator.
func NewOpeningKey() (*OpeningKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	return &OpeningKey{key}, err
}

// OpeningKeyFromSecret is the key of 32 secret bytes.
func OpeningKeyFromSecret(secret []byte) (*OpeningKey, error) {
	key, err := ecdh.X25519().NewPrivateKey(secret)
	if err != nil {
		return nil, broken("invalid_input", "secret: %v", err)
	}
	return &OpeningKey{key}, nil
}

// PublicKey is what others seal for: X25519, 32 bytes.
func (k *OpeningKey) PublicKey() []byte { return k.key.PublicKey().Bytes() }

// Secret is to be kept in a safe place.
func (k *OpeningKey) Secret() []byte { return k.key.Bytes() }

// String shows the public half only.
func (k *OpeningKey) String() string { return "OpeningKey(public " + toHex(k.PublicKey()) + ")" }

// GoString shows the public half only.
func (k *OpeningKey) GoString() string { return k.String() }

// unwrap is HPKE, single shot.
func (k *OpeningKey) unwrap(enc, info, ct []byte) ([]byte, error) {
	failed := broken("decryption_failed", "the payload does not open with this key")
	sender, err := ecdh.X25519().NewPublicKey(enc)
	if err != nil {
		return nil, failed
	}
	shared, err := k.key.ECDH(sender)
	if err != nil {
		return nil, failed
	}
	aead, nonce := schedule(shared, append(enc[:len(enc):len(enc)], k.PublicKey()...), info)
	secret, err := aead.Open(nil, nonce, ct, nil)
	if err != nil {
		return nil, failed
	}
	return secret, nil
}

// wrap is HPKE, single shot: the encapsulated key and the ciphertext.
func wrap(publicKey, ephemeral, info, secret []byte) (enc, ct []byte, err error) {
	weak := broken("weak_recipient_key", "the recipient's public key is a point of small order")
	recipient, err := ecdh.X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, nil, broken("invalid_input", "recipients: %v", err)
	}
	key, err := ecdh.X25519().NewPrivateKey(ephemeral)
	if err != nil {
		return nil, nil, broken("invalid_input", "ephemeral secret: %v", err)
	}
	shared, err := key.ECDH(recipient)
	if err != nil {
		return nil, nil, weak
	}
	enc = key.PublicKey().Bytes()
	aead, nonce := schedule(shared, append(enc[:len(enc):len(enc)], publicKey...), info)
	return enc, aead.Seal(nil, nonce, secret, nil), nil
}

const (
	suiteKEM  = "KEM\x00\x20"
	suiteHPKE = "HPKE\x00\x20\x00\x01\x00\x02"
)

func labelledExtract(suite string, salt []byte, label string, secret []byte) []byte {
	out, err := hkdf.Extract(sha256.New, append([]byte("HPKE-v1"+suite+label), secret...), salt)
	return must(out, err)
}

func labelledExpand(suite string, secret []byte, label string, info []byte, length int) []byte {
	labelled := string([]byte{byte(length >> 8), byte(length)}) + "HPKE-v1" + suite + label + string(info)
	out, err := hkdf.Expand(sha256.New, secret, labelled, length)
	return must(out, err)
}

// must holds for lengths and hashes that are constants of this file.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// schedule is that of RFC 9180, mode base: DHKEM(X25519), HKDF-SHA256, AES-256-GCM; for the only message.
func schedule(shared, kemContext, info []byte) (cipher.AEAD, []byte) {
	extracted := labelledExtract(suiteKEM, nil, "eae_prk", shared)
	secret := labelledExpand(suiteKEM, extracted, "shared_secret", kemContext, 32)
	context := append([]byte{0}, labelledExtract(suiteHPKE, nil, "psk_id_hash", nil)...)
	context = append(context, labelledExtract(suiteHPKE, nil, "info_hash", info)...)
	scheduled := labelledExtract(suiteHPKE, secret, "secret", nil)
	aead := newAEAD(labelledExpand(suiteHPKE, scheduled, "key", context, 32))
	return aead, labelledExpand(suiteHPKE, scheduled, "base_nonce", context, 12)
}

// newAEAD takes a key of 32 bytes.
func newAEAD(key []byte) cipher.AEAD {
	return must(cipher.NewGCM(must(aes.NewCipher(key))))
}
