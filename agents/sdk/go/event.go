package stateset

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stream is a tenant and one of its stores: what one order is of.
type Stream struct {
	TenantID string
	StoreID  string
}

// Event is a signed event as JSON has it: the envelope of VES, section 5.
type Event struct {
	VesVersion           uint64          `json:"ves_version"`
	EventID              string          `json:"event_id"`
	TenantID             string          `json:"tenant_id"`
	StoreID              string          `json:"store_id"`
	SourceAgentID        string          `json:"source_agent_id"`
	AgentKeyID           uint32          `json:"agent_key_id"`
	EntityType           string          `json:"entity_type"`
	EntityID             string          `json:"entity_id"`
	EventType            string          `json:"event_type"`
	CreatedAt            string          `json:"created_at"`
	PayloadKind          int             `json:"payload_kind"`
	Payload              json.RawMessage `json:"payload,omitempty"`
	PayloadEncrypted     *SealedPayload  `json:"payload_encrypted,omitempty"`
	PayloadPlainHash     string          `json:"payload_plain_hash"`
	PayloadCipherHash    string          `json:"payload_cipher_hash"`
	AgentSignature       string          `json:"agent_signature"`
	AgentSignatureScheme *int            `json:"agent_signature_scheme,omitempty"`
	AgentSignatureBundle json.RawMessage `json:"agent_signature_bundle,omitempty"`
	CommandID            *string         `json:"command_id,omitempty"`
	BaseVersion          *uint64         `json:"base_version,omitempty"`
	Kernel               json.RawMessage `json:"kernel,omitempty"`
}

// UnmarshalJSON reads an event by the exact names of its members: encoding/json by itself takes any case of a name, the last of
// two, and reads what is missing as zero, where other readers do not. Code: schema_validation.
func (e *Event) UnmarshalJSON(text []byte) error {
	if _, err := Canonicalize(string(text)); err != nil {
		return schema("event", err.Error())
	}
	return readMembers("event", text, []field{
		{"ves_version", true, &e.VesVersion},
		{"event_id", true, &e.EventID},
		{"tenant_id", true, &e.TenantID},
		{"store_id", true, &e.StoreID},
		{"source_agent_id", true, &e.SourceAgentID},
		{"agent_key_id", true, &e.AgentKeyID},
		{"entity_type", true, &e.EntityType},
		{"entity_id", true, &e.EntityID},
		{"event_type", true, &e.EventType},
		{"created_at", true, &e.CreatedAt},
		{"payload_kind", true, &e.PayloadKind},
		{"payload", false, &e.Payload},
		{"payload_encrypted", false, &e.PayloadEncrypted},
		{"payload_plain_hash", true, &e.PayloadPlainHash},
		{"payload_cipher_hash", true, &e.PayloadCipherHash},
		{"agent_signature", true, &e.AgentSignature},
		{"agent_signature_scheme", false, &e.AgentSignatureScheme},
		{"agent_signature_bundle", false, &e.AgentSignatureBundle},
		{"command_id", false, &e.CommandID},
		{"base_version", false, &e.BaseVersion},
		{"kernel", false, &e.Kernel},
	})
}

type field struct {
	name     string
	required bool
	to       any
}

// readMembers reads the members of one object; null reads as missing.
func readMembers(path string, text []byte, fields []field) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return schema(path, "it is no object")
	}
	for _, field := range fields {
		value := members[field.name]
		if value == nil || string(value) == "null" {
			if field.required {
				return schema(field.name, "it is missing")
			}
			continue
		}
		if err := json.Unmarshal(value, field.to); err != nil {
			return schema(field.name, err.Error())
		}
	}
	return nil
}

// ParseEvent reads an event from its JSON text. Codes: schema_validation; see [Event.Check] for what it does not look at.
func ParseEvent(text []byte) (*Event, error) {
	event := new(Event)
	if err := json.Unmarshal(text, event); err != nil {
		if Code(err) == "" {
			err = schema("event", err.Error())
		}
		return nil, err
	}
	return event, nil
}

// Draft is an event before it is signed.
type Draft struct {
	EntityType string
	EntityID   string
	EventType  string
	// Payload is any value that encoding/json prints, but nil. Money as a string or an integer: larger integers than 2^53 are
	// not exact.
	Payload any
	// PayloadJSON is the payload as JSON text, instead of Payload.
	PayloadJSON string
	// CreatedAt is RFC 3339; now, if left out. The text itself is signed.
	CreatedAt string
	// EventID is random, if left out. Pushing an event again with the same id is safe.
	EventID   string
	CommandID string
	// BaseVersion is the version of the entity that this event is made on.
	BaseVersion *uint64
}

// Recipient is who may open a sealed payload; the key is X25519.
type Recipient struct {
	Kid       uint32
	PublicKey []byte
}

// Agent is whoever writes events: a stream, an id, a signing key.
type Agent struct {
	Stream Stream
	ID     string
	KeyID  uint32
	Signer Signer
}

// NewAgent is an agent with a random id and key 1.
func NewAgent(stream Stream, signer Signer) *Agent {
	return &Agent{Stream: stream, ID: newID(), KeyID: 1, Signer: signer}
}

// Sign makes a signed event with its payload in clear.
//
// Codes: schema_validation, null_payload, and those of [CanonicalizeStrict].
func (a *Agent) Sign(draft Draft) (*Event, error) {
	event, canonical, err := a.draft(draft)
	if err != nil {
		return nil, err
	}
	event.Payload = json.RawMessage(canonical)
	event.PayloadPlainHash = toHex(digest("VES_PAYLOAD_PLAIN_V1", []byte(canonical)))
	event.PayloadCipherHash = zeroHash
	return a.signed(event)
}

// Seal makes a signed event whose payload only the recipients can open.
//
// Codes: those of [Agent.Sign], no_recipients, repeated_recipient, weak_recipient_key.
func (a *Agent) Seal(draft Draft, recipients []Recipient) (*Event, error) {
	drawn := sealingRandomness{ephemeralSecrets: make([][]byte, len(recipients))}
	rand.Read(drawn.salt[:])
	rand.Read(drawn.dek[:])
	rand.Read(drawn.nonce[:])
	for i := range drawn.ephemeralSecrets {
		drawn.ephemeralSecrets[i] = make([]byte, 32)
		rand.Read(drawn.ephemeralSecrets[i])
	}
	return a.sealWith(draft, recipients, &drawn)
}

func (a *Agent) sealWith(draft Draft, recipients []Recipient, drawn *sealingRandomness) (*Event, error) {
	event, canonical, err := a.draft(draft)
	if err != nil {
		return nil, err
	}
	if err := event.seal(canonical, recipients, drawn); err != nil {
		return nil, err
	}
	return a.signed(event)
}

// ProvePossession signs what proves to a registry that this agent holds its key.
func (a *Agent) ProvePossession() ([]byte, error) {
	challenge, err := PossessionChallenge(a.Stream.TenantID, a.ID, a.KeyID, a.Signer.PublicKey())
	if err != nil {
		return nil, err
	}
	return a.Signer.Sign(challenge)
}

// PossessionChallenge is what the owner of a signing key signs to prove it, bound to tenant, agent and key id (section 22).
func PossessionChallenge(tenantID, agentID string, keyID uint32, publicKey []byte) ([]byte, error) {
	ids, err := uuids(tenantID, agentID)
	return digest("VES_POP_V2", ids, u32(keyID), publicKey), err
}

func (a *Agent) draft(draft Draft) (*Event, string, error) {
	event := &Event{
		VesVersion: 1, EventID: draft.EventID, TenantID: a.Stream.TenantID, StoreID: a.Stream.StoreID,
		SourceAgentID: a.ID, AgentKeyID: a.KeyID, EntityType: draft.EntityType, EntityID: draft.EntityID,
		EventType: draft.EventType, CreatedAt: draft.CreatedAt, BaseVersion: draft.BaseVersion,
	}
	if event.EventID == "" {
		event.EventID = newID()
	}
	if event.CreatedAt == "" {
		event.CreatedAt = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if draft.CommandID != "" {
		if _, err := uuids(draft.CommandID); err != nil {
			return nil, "", err
		}
		event.CommandID = &draft.CommandID
	}
	if err := event.checkTexts(); err != nil {
		return nil, "", err
	}
	var canonical string
	var err error
	if draft.PayloadJSON != "" {
		canonical, err = CanonicalizeStrict(draft.PayloadJSON)
	} else {
		canonical, err = canonicalValue(draft.Payload)
	}
	if err == nil && canonical == "null" {
		err = broken("null_payload", "payload: null reads as missing")
	}
	return event, canonical, err
}

func (a *Agent) signed(event *Event) (*Event, error) {
	hash, err := event.signingHash()
	if err != nil {
		return nil, err
	}
	signature, err := a.Signer.Sign(hash)
	if err != nil {
		return nil, &Error{Kind: Broken, Code: "signer_failed", Message: err.Error(), cause: err}
	}
	event.AgentSignature = toHex(signature)
	return event, nil
}

var zeroHash = toHex(make([]byte, 32))

// signingHash is the 32 bytes that the agent signs (section 8.1).
func (e *Event) signingHash() ([]byte, error) {
	who, err := e.who()
	if err != nil {
		return nil, err
	}
	plain, err := fromHex("payload_plain_hash", e.PayloadPlainHash, 32)
	if err != nil {
		return nil, err
	}
	cipher, err := fromHex("payload_cipher_hash", e.PayloadCipherHash, 32)
	if err != nil {
		return nil, err
	}
	return digest("VES_EVENTSIG_V1", u32(1), who, u32(uint32(e.PayloadKind)), plain, cipher), nil
}

// who is the part that the signature and the sealing share.
func (e *Event) who() ([]byte, error) {
	ids, err := uuids(e.TenantID, e.StoreID, e.EventID, e.SourceAgentID)
	if err != nil {
		return nil, err
	}
	return slices.Concat(ids, u32(e.AgentKeyID), text(e.EntityType), text(e.EntityID), text(e.EventType), text(e.CreatedAt)), nil
}

// Check checks shape and payload hash, and the signature where the agent's key is given (64 hex digits; empty: not). It answers
// the signing hash.
//
// Codes: unsupported_version, schema_validation, invalid_payload_hash, invalid_cipher_hash, unusable_key,
// unsupported_signature_scheme, invalid_signature.
func (e *Event) Check(publicKey string) ([]byte, error) {
	sealed, err := e.checkShape()
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		canonical, err := Canonicalize(string(e.Payload))
		if err != nil {
			return nil, broken("schema_validation", "payload: %v", err)
		}
		if !sameHash(e.PayloadPlainHash, digest("VES_PAYLOAD_PLAIN_V1", []byte(canonical))) {
			return nil, broken("invalid_payload_hash", "payload_plain_hash is not the hash of the canonical payload")
		}
	} else {
		aad, err := e.payloadAAD()
		if err != nil {
			return nil, err
		}
		if !sameHash(e.PayloadCipherHash, sealed.hash(aad)) {
			return nil, broken("invalid_cipher_hash", "payload_cipher_hash is not the hash of payload_encrypted")
		}
	}
	hash, err := e.signingHash()
	if err != nil || publicKey == "" {
		return hash, err
	}
	return hash, e.checkSignature(publicKey, hash)
}

func (e *Event) checkSignature(publicKey string, hash []byte) error {
	if !e.isEd25519() {
		return broken("unsupported_signature_scheme", "this library checks Ed25519 alone")
	}
	signature, err := fromHex("agent_signature", e.AgentSignature, 64)
	if err != nil {
		return err
	}
	holds, err := verifies(publicKey, hash, signature)
	if err == nil && !holds {
		err = broken("invalid_signature", "agent_signature does not verify over the event signing hash")
	}
	return err
}

func (e *Event) isEd25519() bool {
	return e.AgentSignatureScheme == nil || *e.AgentSignatureScheme == 0 || *e.AgentSignatureScheme == 1
}

func sameHash(claimed string, found []byte) bool {
	raw, err := fromHex("hash", claimed, 32)
	return err == nil && slices.Equal(raw, found)
}

func schema(field, problem string) error {
	return broken("schema_validation", "%s: %s", field, problem)
}

// checkShape is steps 3 to 7 of section 10; the sealed payload is decoded.
func (e *Event) checkShape() (*sealed, error) {
	if e.VesVersion != 1 {
		return nil, broken("unsupported_version", "ves_version %d is not supported", e.VesVersion)
	}
	ids := []struct{ name, value string }{
		{"event_id", e.EventID}, {"tenant_id", e.TenantID}, {"store_id", e.StoreID}, {"source_agent_id", e.SourceAgentID},
	}
	for _, id := range ids {
		if _, err := uuidBytes(id.value); err != nil {
			return nil, schema(id.name, err.Error())
		}
	}
	if err := e.checkTexts(); err != nil {
		return nil, err
	}
	hashes := []struct {
		name, value string
		length      int
	}{{"payload_plain_hash", e.PayloadPlainHash, 32}, {"payload_cipher_hash", e.PayloadCipherHash, 32}, {"agent_signature", e.AgentSignature, 64}}
	for _, hash := range hashes {
		raw, err := hex.DecodeString(strings.TrimPrefix(hash.value, "0x"))
		if err != nil || len(raw) != hash.length {
			return nil, schema(hash.name, "it is no hex of its length")
		}
	}
	hasPayload := len(e.Payload) > 0 && string(e.Payload) != "null"
	switch {
	case e.PayloadKind == 0 && (!hasPayload || e.PayloadEncrypted != nil):
		return nil, schema("payload", "an event of kind 0 has a payload, and none sealed")
	case e.PayloadKind == 0 && !sameHash(e.PayloadCipherHash, make([]byte, 32)):
		return nil, schema("payload_cipher_hash", "it is zero in an event of kind 0")
	case e.PayloadKind == 0:
		return nil, nil
	case e.PayloadKind == 1 && (hasPayload || e.PayloadEncrypted == nil):
		return nil, schema("payload_encrypted", "an event of kind 1 has one, and no payload in clear")
	case e.PayloadKind == 1:
		return e.PayloadEncrypted.decode()
	}
	return nil, schema("payload_kind", "it is 0 or 1")
}

func (e *Event) checkTexts() error {
	texts := []struct {
		name, value string
		bytesMax    int
	}{{"entity_type", e.EntityType, 128}, {"entity_id", e.EntityID, 512}, {"event_type", e.EventType, 256}}
	for _, text := range texts {
		if text.value == "" || len(text.value) > text.bytesMax || strings.ContainsRune(text.value, 0) {
			return schema(text.name, "it has 1 to "+strconv.Itoa(text.bytesMax)+" bytes, none of them NUL")
		}
	}
	if !isRFC3339(e.CreatedAt) {
		return schema("created_at", "it is no RFC 3339 time with its offset, such as 2026-01-02T03:04:05Z")
	}
	return nil
}

var rfc3339 = regexp.MustCompile(
	`^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|[+-]([0-9]{2}):([0-9]{2}))$`)

func isRFC3339(value string) bool {
	found := rfc3339.FindStringSubmatch(value)
	if found == nil {
		return false
	}
	var n [8]int
	for i, digits := range found[1:] {
		// Empty, of an offset that is not there, is 0.
		n[i], _ = strconv.Atoi(digits)
	}
	year, month, day := n[0], n[1], n[2]
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	days := []int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	if leap {
		days[1] = 29
	}
	return 1 <= month && month <= 12 && 1 <= day && day <= days[month-1] &&
		n[3] < 24 && n[4] < 60 && n[5] <= 60 && n[6] < 24 && n[7] < 60
}
