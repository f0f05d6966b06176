package stateset

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"
)

// SealedPayload is a sealed payload as JSON has it (VES-ENC-1, section 7.1).
type SealedPayload struct {
	EncVersion    int               `json:"enc_version"`
	AEAD          string            `json:"aead"`
	NonceB64u     string            `json:"nonce_b64u"`
	CiphertextB64 string            `json:"ciphertext_b64u"`
	TagB64u       string            `json:"tag_b64u"`
	HPKE          HPKESuite         `json:"hpke"`
	Recipients    []SealedRecipient `json:"recipients"`
}

// HPKESuite names the algorithms, which are fixed by the version.
type HPKESuite struct {
	Mode string `json:"mode"`
	KEM  string `json:"kem"`
	KDF  string `json:"kdf"`
	AEAD string `json:"aead"`
}

// SealedRecipient holds the content key, wrapped for one recipient.
type SealedRecipient struct {
	RecipientKid uint32 `json:"recipient_kid"`
	EncB64u      string `json:"enc_b64u"`
	CtB64u       string `json:"ct_b64u"`
}

// UnmarshalJSON is as that of [Event].
func (p *SealedPayload) UnmarshalJSON(text []byte) error {
	return readMembers("payload_encrypted", text, []field{
		{"enc_version", true, &p.EncVersion},
		{"aead", true, &p.AEAD},
		{"nonce_b64u", true, &p.NonceB64u},
		{"ciphertext_b64u", true, &p.CiphertextB64},
		{"tag_b64u", true, &p.TagB64u},
		{"hpke", true, &p.HPKE},
		{"recipients", true, &p.Recipients},
	})
}

// UnmarshalJSON is as that of [Event].
func (s *HPKESuite) UnmarshalJSON(text []byte) error {
	return readMembers("payload_encrypted.hpke", text, []field{
		{"mode", true, &s.Mode}, {"kem", true, &s.KEM}, {"kdf", true, &s.KDF}, {"aead", true, &s.AEAD},
	})
}

// UnmarshalJSON is as that of [Event].
func (r *SealedRecipient) UnmarshalJSON(text []byte) error {
	return readMembers("payload_encrypted.recipients", text, []field{
		{"recipient_kid", true, &r.RecipientKid}, {"enc_b64u", true, &r.EncB64u}, {"ct_b64u", true, &r.CtB64u},
	})
}

var suite = HPKESuite{"base", "X25519-HKDF-SHA256", "HKDF-SHA256", "AES-256-GCM"}

// sealed is a sealed payload, decoded.
type sealed struct {
	nonce, ciphertext, tag []byte
	recipients             []sealedRecipient
}

type sealedRecipient struct {
	kid     uint32
	enc, ct []byte
}

// sealingRandomness is that of one event, never used twice.
type sealingRandomness struct {
	salt             [16]byte
	dek              [32]byte
	nonce            [12]byte
	ephemeralSecrets [][]byte
}

func (p *SealedPayload) decode() (*sealed, error) {
	if p.EncVersion != 1 || p.AEAD != "AES-256-GCM" || p.HPKE != suite {
		return nil, schema("payload_encrypted", "it is of another version or algorithm")
	}
	if len(p.Recipients) == 0 {
		return nil, schema("payload_encrypted.recipients", "at least one is needed")
	}
	var out sealed
	fields := []struct {
		name, value string
		length      int
		to          *[]byte
	}{
		{"nonce_b64u", p.NonceB64u, 12, &out.nonce},
		{"ciphertext_b64u", p.CiphertextB64, -1, &out.ciphertext},
		{"tag_b64u", p.TagB64u, 16, &out.tag},
	}
	for _, field := range fields {
		raw, err := fromBase64url(field.name, field.value, field.length)
		if err != nil {
			return nil, err
		}
		*field.to = raw
	}
	for i, one := range p.Recipients {
		if i > 0 && one.RecipientKid <= p.Recipients[i-1].RecipientKid {
			return nil, schema("payload_encrypted.recipients", "they ascend by recipient_kid")
		}
		enc, err := fromBase64url("enc_b64u", one.EncB64u, 32)
		if err != nil {
			return nil, err
		}
		ct, err := fromBase64url("ct_b64u", one.CtB64u, 48)
		if err != nil {
			return nil, err
		}
		out.recipients = append(out.recipients, sealedRecipient{one.RecipientKid, enc, ct})
	}
	return &out, nil
}

func fromBase64url(name, value string, length int) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil || length >= 0 && len(raw) != length || strings.ContainsAny(value, "\r\n") {
		return nil, schema("payload_encrypted."+name, "it is no base64url of this length")
	}
	return raw, nil
}

// hash is that of sections 7.4 and 7.5.
func (s *sealed) hash(aad []byte) []byte {
	var wraps []byte
	for _, one := range s.recipients {
		wraps = slices.Concat(wraps, u32(one.kid), u32(uint32(len(one.enc))), one.enc, u32(uint32(len(one.ct))), one.ct)
	}
	recipients := digest("VES_RECIPIENTS_V1", wraps)
	length := u32(uint32(len(s.ciphertext)))
	return digest("VES_PAYLOAD_CIPHER_V1", u32(1), s.nonce, aad, length, s.ciphertext, s.tag, recipients)
}

// payloadAAD ties a sealed payload to its event (section 7.2).
func (e *Event) payloadAAD() ([]byte, error) {
	who, err := e.who()
	if err != nil {
		return nil, err
	}
	plain, err := fromHex("payload_plain_hash", e.PayloadPlainHash, 32)
	return digest("VES_PAYLOAD_AAD_V1", who, plain), err
}

// seal is section 7.3.
func (e *Event) seal(canonical string, recipients []Recipient, drawn *sealingRandomness) error {
	if len(recipients) == 0 {
		return broken("no_recipients", "a sealed event needs at least one recipient")
	}
	plaintext := append(drawn.salt[:], canonical...)
	e.PayloadKind = 1
	e.PayloadPlainHash = toHex(digest("VES_PAYLOAD_PLAIN_V1", plaintext))
	aad, err := e.payloadAAD()
	if err != nil {
		return err
	}
	both := newAEAD(drawn.dek[:]).Seal(nil, drawn.nonce[:], plaintext, aad)
	encode, split := base64.RawURLEncoding.EncodeToString, len(both)-16
	payload := &SealedPayload{
		EncVersion: 1, AEAD: "AES-256-GCM", NonceB64u: encode(drawn.nonce[:]),
		CiphertextB64: encode(both[:split]), TagB64u: encode(both[split:]), HPKE: suite,
	}
	for i, recipient := range recipients {
		enc, ct, err := wrap(recipient.PublicKey, drawn.ephemeralSecrets[i], aad, drawn.dek[:])
		if err != nil {
			return err
		}
		payload.Recipients = append(payload.Recipients, SealedRecipient{recipient.Kid, encode(enc), encode(ct)})
	}
	slices.SortFunc(payload.Recipients, func(a, b SealedRecipient) int { return int(int64(a.RecipientKid) - int64(b.RecipientKid)) })
	for i, one := range payload.Recipients[1:] {
		if one.RecipientKid == payload.Recipients[i].RecipientKid {
			return broken("repeated_recipient", "recipient %d is given twice", one.RecipientKid)
		}
	}
	decoded, err := payload.decode()
	if err != nil {
		return err
	}
	e.PayloadEncrypted, e.PayloadCipherHash = payload, toHex(decoded.hash(aad))
	return nil
}

// Open answers the canonical JSON text of a sealed payload (section 7.6). The signature is not looked at: see [Event.Check].
//
// Codes: not_encrypted, recipient_not_found, decryption_failed, invalid_payload_format, payload_hash_mismatch.
func (k *OpeningKey) Open(event *Event, recipientKid uint32) (string, error) {
	payload, err := event.checkShape()
	if err != nil {
		return "", err
	}
	if payload == nil {
		return "", broken("not_encrypted", "the event is not encrypted")
	}
	at := slices.IndexFunc(payload.recipients, func(one sealedRecipient) bool { return one.kid == recipientKid })
	if at < 0 {
		return "", broken("recipient_not_found", "the event names no recipient %d", recipientKid)
	}
	aad, err := event.payloadAAD()
	if err != nil {
		return "", err
	}
	dek, err := k.unwrap(payload.recipients[at].enc, aad, payload.recipients[at].ct)
	if err != nil {
		return "", err
	}
	failed := broken("decryption_failed", "the payload does not open with this key")
	if len(dek) != 32 {
		return "", failed
	}
	plaintext, err := newAEAD(dek).Open(nil, payload.nonce, slices.Concat(payload.ciphertext, payload.tag), aad)
	if err != nil {
		return "", failed
	}
	return event.opened(plaintext)
}

func (e *Event) opened(plaintext []byte) (string, error) {
	if len(plaintext) < 16 || !utf8.Valid(plaintext[16:]) {
		return "", broken("invalid_payload_format", "the opened payload is no salted JSON text")
	}
	inner := string(plaintext[16:])
	canonical, err := Canonicalize(inner)
	if err != nil {
		return "", broken("invalid_payload_format", "the opened payload is no salted JSON text")
	}
	// Readers that hash the bytes as they are and readers that make them canonical first have to agree.
	if canonical != inner || !sameHash(e.PayloadPlainHash, digest("VES_PAYLOAD_PLAIN_V1", plaintext)) {
		return "", broken("payload_hash_mismatch", "the opened payload does not hash to the signed payload_plain_hash")
	}
	return canonical, nil
}
