package stateset

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"
)

// input has the members of every call; unknown ones are a mistake of this test.
type input struct {
	Text, Seed, Message, Timestamp, Signature, Secret, Body, ID string
	Strict                                                      bool
	TenantID                                                    string `json:"tenant_id"`
	StoreID                                                     string `json:"store_id"`
	AgentID                                                     string `json:"agent_id"`
	KeyID                                                       uint32 `json:"key_id"`
	PublicKey                                                   string `json:"public_key"`
	SequencerID                                                 string `json:"sequencer_id"`
	SequencerPublicKey                                          string `json:"sequencer_public_key"`
	Draft                                                       draftInput
	Recipients                                                  []struct {
		RecipientKid uint32 `json:"recipient_kid"`
		PublicKey    string `json:"public_key"`
	}
	Randomness struct {
		Salt, Dek, Nonce string
		EphemeralSecrets []string `json:"ephemeral_secrets"`
	}
	Event          json.RawMessage
	RecipientKid   uint32 `json:"recipient_kid"`
	SecretKey      string `json:"secret_key"`
	Receipt        Receipt
	SequenceNumber uint64   `json:"sequence_number"`
	LeafHash       string   `json:"leaf_hash"`
	LeafIndex      uint64   `json:"leaf_index"`
	LeafCount      uint64   `json:"leaf_count"`
	ProofPath      []string `json:"proof_path"`
	MerkleRoot     string   `json:"merkle_root"`
	Commitment     Commitment
	Size           uint64
	Root           string
	Hashes         []string
	From, To       uint64
	FromRoot       string `json:"from_root"`
	ToRoot         string `json:"to_root"`
	Now            int64
}

type draftInput struct {
	TenantID      string  `json:"tenant_id"`
	StoreID       string  `json:"store_id"`
	EventID       string  `json:"event_id"`
	SourceAgentID string  `json:"source_agent_id"`
	AgentKeyID    uint32  `json:"agent_key_id"`
	EntityType    string  `json:"entity_type"`
	EntityID      string  `json:"entity_id"`
	EventType     string  `json:"event_type"`
	CreatedAt     string  `json:"created_at"`
	PayloadJSON   string  `json:"payload_json"`
	CommandID     string  `json:"command_id"`
	BaseVersion   *uint64 `json:"base_version"`
}

func (d draftInput) agent(signer Signer) *Agent {
	return &Agent{Stream{d.TenantID, d.StoreID}, d.SourceAgentID, d.AgentKeyID, signer}
}

func (d draftInput) draft() Draft {
	return Draft{
		EntityType: d.EntityType, EntityID: d.EntityID, EventType: d.EventType, PayloadJSON: d.PayloadJSON,
		CreatedAt: d.CreatedAt, EventID: d.EventID, CommandID: d.CommandID, BaseVersion: d.BaseVersion,
	}
}

// raw is of hex that the vectors hold.
func raw(text string) []byte { return must(hex.DecodeString(text)) }

func raws(texts []string) [][]byte { return must(hashes(texts)) }

// event is for calls whose cases hold events of a good shape.
func (i input) event() *Event { return must(ParseEvent(i.Event)) }

type object = map[string]any

func named(name string, raw []byte, err error) (object, error) {
	return object{name: hex.EncodeToString(raw)}, err
}

func hashed(event *Event, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	hash, err := event.Check("")
	return object{"event": event, "event_signing_hash": hex.EncodeToString(hash)}, err
}

var calls = map[string]func(input) (object, error){
	"canonicalize": func(i input) (object, error) {
		canonical, err := canonicalize(i.Text, i.Strict)
		return object{"canonical": canonical}, err
	},
	"public_keys": func(i input) (object, error) {
		signing, opening := must(SigningKeyFromSeed(raw(i.Seed))), must(OpeningKeyFromSecret(raw(i.Seed)))
		return object{"ed25519": hex.EncodeToString(signing.PublicKey()), "x25519": hex.EncodeToString(opening.PublicKey())}, nil
	},
	"sign": func(i input) (object, error) {
		signature, err := must(SigningKeyFromSeed(raw(i.Seed))).Sign(raw(i.Message))
		return named("signature", signature, err)
	},
	"possession_challenge": func(i input) (object, error) {
		challenge, err := PossessionChallenge(i.TenantID, i.AgentID, i.KeyID, raw(i.PublicKey))
		return named("challenge", challenge, err)
	},
	"sign_event": func(i input) (object, error) {
		return hashed(i.Draft.agent(must(SigningKeyFromSeed(raw(i.Seed)))).Sign(i.Draft.draft()))
	},
	"seal_event": func(i input) (object, error) {
		var recipients []Recipient
		for _, one := range i.Recipients {
			recipients = append(recipients, Recipient{one.RecipientKid, raw(one.PublicKey)})
		}
		drawn := &sealingRandomness{ephemeralSecrets: raws(i.Randomness.EphemeralSecrets)}
		copy(drawn.salt[:], raw(i.Randomness.Salt))
		copy(drawn.dek[:], raw(i.Randomness.Dek))
		copy(drawn.nonce[:], raw(i.Randomness.Nonce))
		agent := i.Draft.agent(must(SigningKeyFromSeed(raw(i.Seed))))
		return hashed(agent.sealWith(i.Draft.draft(), recipients, drawn))
	},
	"open_event": func(i input) (object, error) {
		payload, err := must(OpeningKeyFromSecret(raw(i.SecretKey))).Open(i.event(), i.RecipientKid)
		return object{"payload_json": payload}, err
	},
	"check_event": func(i input) (object, error) {
		event, err := ParseEvent(i.Event)
		if err != nil {
			return nil, err
		}
		hash, err := event.Check(i.PublicKey)
		return named("event_signing_hash", hash, err)
	},
	"verify_receipt": func(i input) (object, error) {
		return object{}, VerifyReceipt(i.event(), &i.Receipt, i.SequencerPublicKey)
	},
	"leaf_hash": func(i input) (object, error) {
		leaf, err := LeafHash(i.event(), i.SequenceNumber)
		return named("leaf_hash", leaf, err)
	},
	"verify_inclusion": func(i input) (object, error) {
		return object{}, VerifyInclusion(raw(i.LeafHash), i.LeafIndex, i.LeafCount, raws(i.ProofPath), raw(i.MerkleRoot))
	},
	"check_commitment": func(i input) (object, error) { return object{}, i.Commitment.Check() },
	"verify_checkpoint": func(i input) (object, error) {
		says, err := VerifyCheckpoint(i.Text, Stream{i.TenantID, i.StoreID}, i.SequencerID, i.SequencerPublicKey)
		if err != nil {
			return nil, err
		}
		return object{"size": says.Size, "root": hex.EncodeToString(says.Root)}, nil
	},
	"verify_log_inclusion": func(i input) (object, error) {
		return object{}, VerifyLogInclusion(raw(i.LeafHash), i.SequenceNumber, Checkpoint{i.Size, raw(i.Root)}, raws(i.Hashes))
	},
	"verify_consistency": func(i input) (object, error) {
		return object{}, VerifyConsistency(Checkpoint{i.From, raw(i.FromRoot)}, Checkpoint{i.To, raw(i.ToRoot)}, raws(i.Hashes))
	},
	"verify_webhook": func(i input) (object, error) {
		headers := http.Header{}
		headers.Set("webhook-id", i.ID)
		headers.Set("webhook-timestamp", i.Timestamp)
		headers.Set("webhook-signature", i.Signature)
		return object{}, VerifyWebhook(i.Secret, headers, []byte(i.Body), time.Unix(i.Now, 0))
	},
}

func TestEveryVectorHolds(t *testing.T) {
	text, err := os.ReadFile("../../../testing/vectors/libraries.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Call, Name string
			Input      json.RawMessage
			Output     object
			Error      string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) < 200 {
		t.Fatal(len(file.Cases), err)
	}
	for _, vector := range file.Cases {
		var given input
		decoder := json.NewDecoder(bytes.NewReader(vector.Input))
		decoder.DisallowUnknownFields()
		// Members of receipts and commitments that this library does not look at are left out by it.
		if err := decoder.Decode(&given); err != nil {
			t.Fatal(vector.Call, vector.Name, err)
		}
		output, err := calls[vector.Call](given)
		if vector.Error != "" {
			var found *Error
			if !errors.As(err, &found) || found.Kind != Broken || found.Code != vector.Error {
				t.Errorf("%s/%s: %v, expected %s", vector.Call, vector.Name, err, vector.Error)
			}
			continue
		}
		if found := asJSON(output); err != nil || !reflect.DeepEqual(found, asJSON(vector.Output)) {
			t.Errorf("%s/%s: %v %v, expected %v", vector.Call, vector.Name, found, err, vector.Output)
		}
	}
}

func asJSON(value object) (out object) {
	if err := json.Unmarshal(must(json.Marshal(value)), &out); err != nil {
		panic(err)
	}
	return out
}

func TestWhatIsSealedForSomebodyOpens(t *testing.T) {
	signer, opening := NewSigningKey(), must(NewOpeningKey())
	agent := NewAgent(testStream, signer)
	draft := Draft{EntityType: "order", EntityID: "ORD-1", EventType: "order.created", Payload: object{"total": "1.00", "note": "café 🎉 <&>"}}
	recipients := []Recipient{{7, opening.PublicKey()}}
	one, two := must(agent.Seal(draft, recipients)), must(agent.Seal(draft, recipients))
	if one.PayloadEncrypted.NonceB64u == two.PayloadEncrypted.NonceB64u {
		t.Error("a nonce was used twice")
	}
	if _, err := one.Check(hex.EncodeToString(signer.PublicKey())); err != nil {
		t.Error(err)
	}
	if opened, err := opening.Open(one, 7); err != nil || opened != `{"note":"café 🎉 <&>","total":"1.00"}` {
		t.Error(opened, err)
	}
}

// damagedReader reads events that nobody wrote, and keeps two that were.
type damagedReader struct {
	key     string
	opening *OpeningKey
	whole   [][]byte
}

func newDamagedReader() *damagedReader {
	agent := NewAgent(testStream, must(SigningKeyFromSeed(make([]byte, 32))))
	draft := Draft{EntityType: "order", EntityID: "ORD-1", EventType: "order.created", Payload: object{"n": []any{1.5, nil, "é"}}}
	opening := must(OpeningKeyFromSecret(bytes.Repeat([]byte{7}, 32)))
	sealed := must(agent.Seal(draft, []Recipient{{7, opening.PublicKey()}}))
	whole := [][]byte{must(json.Marshal(must(agent.Sign(draft)))), must(json.Marshal(sealed))}
	return &damagedReader{hex.EncodeToString(agent.Signer.PublicKey()), opening, whole}
}

func (d *damagedReader) read(t *testing.T, text []byte) {
	event, err := ParseEvent(text)
	if err == nil {
		_, err = event.Check(d.key)
	}
	if err != nil && Code(err) == "" {
		t.Errorf("%q: an error without a code: %v", text, err)
	}
	if event != nil {
		_, _ = d.opening.Open(event, 7)
	}
}

func TestWhateverStandsInAnEventIsRefusedByACodeOrAccepted(t *testing.T) {
	d, chance := newDamagedReader(), rand.New(rand.NewPCG(2026, 1))
	odd := []string{"null", "true", "-1", "1.5", "18446744073709551616", `""`, `"0x"`, `"\u0000"`, "[]", "{}", `[{}]`, "\xff", `{"a":1,"a":2}`}
	for range 3000 {
		text := d.whole[chance.IntN(len(d.whole))]
		from := chance.IntN(len(text))
		to := min(len(text), from+chance.IntN(20))
		d.read(t, slices.Concat(text[:from], []byte(odd[chance.IntN(len(odd))]), text[to:]))
	}
}

func FuzzCheckEvent(f *testing.F) {
	d := newDamagedReader()
	for _, text := range d.whole {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) { d.read(t, text) })
}

func FuzzCanonicalize(f *testing.F) {
	for _, seed := range []string{`{"b":[1,2.50,1e30],"a":"\u00e9\ud83c\udf89"}`, `[[]`, `"\ud800"`, `-0.0e-400`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		canonical, err := Canonicalize(text)
		if err != nil {
			return
		}
		if again, err := Canonicalize(canonical); err != nil || again != canonical {
			t.Errorf("%q is not canonical: %q %v", canonical, again, err)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%q is no JSON", text)
		}
	})
}
