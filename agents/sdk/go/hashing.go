package stateset

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// digest is SHA-256 over the pieces, the domain first (VES, section 4).
func digest(domain string, pieces ...[]byte) []byte {
	hash := sha256.New()
	hash.Write([]byte(domain))
	for _, piece := range pieces {
		hash.Write(piece)
	}
	return hash.Sum(nil)
}

func u32(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

func u64(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// text is STR: the length, then the bytes.
func text(value string) []byte { return append(u32(uint32(len(value))), value...) }

// uuidBytes reads xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.
func uuidBytes(value string) ([]byte, error) {
	parts := strings.Split(value, "-")
	if len(value) == 36 && len(parts) == 5 && len(parts[0]) == 8 && len(parts[1]) == 4 && len(parts[2]) == 4 && len(parts[3]) == 4 {
		if raw, err := hex.DecodeString(strings.Join(parts, "")); err == nil {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("%q is no UUID", value)
}

// uuids reads several.
func uuids(values ...string) ([]byte, error) {
	var all []byte
	for _, value := range values {
		raw, err := uuidBytes(value)
		if err != nil {
			return nil, broken("invalid_input", "%v", err)
		}
		all = append(all, raw...)
	}
	return all, nil
}

// newID is a random id (UUID version 4).
func newID() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// fromHex reads so many bytes, with or without 0x.
func fromHex(field, value string, length int) ([]byte, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(value, "0x"))
	if err != nil || len(raw) != length {
		return nil, broken("invalid_input", "%s: it is not %d bytes in hex", field, length)
	}
	return raw, nil
}

func toHex(raw []byte) string { return "0x" + hex.EncodeToString(raw) }
