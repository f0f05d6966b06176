package stateset

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	// batchEventsMax events make one request: half of what a server admits by default.
	batchEventsMax = 500
	// batchBytesMax of one request, well under the 10 MiB a server admits by default.
	batchBytesMax = 4 << 20
	pageEvents    = 500
	commitPoll    = 250 * time.Millisecond
	// listedAgain: an agent whose key is not listed is asked about again after this.
	listedAgain = 30 * time.Second
)

// Sequencer is whose receipts are believed: its id, and its Ed25519 keys by version, 64 hex digits each.
type Sequencer struct {
	ID   string
	Keys map[uint32]string
}

// Options make a client.
type Options struct {
	// URL is such as http://127.0.0.1:8080.
	URL    string
	APIKey string
	Stream Stream
	// Sequencer left out, the server's own word is taken for it, once: pin it where you can.
	Sequencer *Sequencer
	// AgentKey gives the key of an agent, 64 hex digits, or nothing. Left out, the server's list is believed.
	AgentKey func(ctx context.Context, agentID string, keyID uint32) (string, error)
	HTTP     *http.Client
}

// Client speaks of one stream to one server, and checks what it is told. It may be shared between goroutines.
type Client struct {
	Stream   Stream
	http     *transport
	agentKey func(ctx context.Context, agentID string, keyID uint32) (string, error)

	mu        sync.Mutex
	sequencer *Sequencer
	listed    map[string]string
	listedAt  map[string]time.Time
}

// NewClient sends nothing yet.
func NewClient(options Options) (*Client, error) {
	transport, err := newTransport(options.URL, options.APIKey, options.HTTP)
	if err != nil {
		return nil, err
	}
	c := &Client{Stream: options.Stream, http: transport, agentKey: options.AgentKey, sequencer: options.Sequencer, listed: map[string]string{}, listedAt: map[string]time.Time{}}
	if c.agentKey == nil {
		c.agentKey = c.listedKey
	}
	return c, nil
}

// Rejection is why one event was refused.
type Rejection struct {
	EventID   string `json:"event_id"`
	Code      string `json:"code"`
	Reason    string `json:"reason"`
	Retryable bool   `json:"retryable"`
	Detail    string `json:"detail"`
}

// Pushed is what became of a push, in the order of its events: verified receipts, and why others were refused.
type Pushed struct {
	Receipts   []Receipt
	Rejections []Rejection
}

// VerifiedEvent is an event of the stream. Hash, receipt and place were verified; the signature where the agent's key is known.
type VerifiedEvent struct {
	SequenceNumber    uint64
	SequencedAt       string
	Event             *Event
	Receipt           Receipt
	SignatureVerified bool
}

// EventEntry is an event with its receipt, as a page or the feed has it.
type EventEntry struct {
	Envelope    Event   `json:"envelope"`
	SequencedAt string  `json:"sequenced_at"`
	Receipt     Receipt `json:"receipt"`
}

const (
	eventsPath      = "/api/v1/ves/events"
	keysPath        = "/api/v1/agents/keys"
	commitmentsPath = "/api/v1/ves/commitments"
	consistencyPath = "/api/v1/ves/consistency"
)

type page struct {
	Events       []EventEntry `json:"events"`
	Head         *uint64      `json:"head_sequence"`
	HeadSequence uint64       `json:"-"`
}

// InclusionProof says that an event is in a batch; it holds everything that another needs to verify it again.
type InclusionProof struct {
	Event          *Event
	SequenceNumber uint64
	Commitment     *Commitment
	LeafIndex      uint64
	ProofPath      []string
}

// Verify verifies a proof from anywhere: that the event is in the batch.
func (p *InclusionProof) Verify() error {
	if err := p.Commitment.Check(); err != nil {
		return err
	}
	if p.LeafIndex != p.SequenceNumber-p.Commitment.SequenceStart {
		return broken("proof_index_out_of_range", "the index is not that of the event in the batch")
	}
	leaf, err := LeafHash(p.Event, p.SequenceNumber)
	if err != nil {
		return err
	}
	path, err := hashes(p.ProofPath)
	if err != nil {
		return err
	}
	root, err := fromHex("merkle_root", p.Commitment.MerkleRoot, 32)
	if err != nil {
		return err
	}
	return VerifyInclusion(leaf, p.LeafIndex, uint64(p.Commitment.LeafCount), path, root)
}

func hashes(texts []string) ([][]byte, error) {
	out := make([][]byte, len(texts))
	for i, text := range texts {
		raw, err := fromHex("hash", text, 32)
		if err != nil {
			return nil, err
		}
		out[i] = raw
	}
	return out, nil
}

func (c *Client) query() url.Values {
	return url.Values{"tenant_id": {c.Stream.TenantID}, "store_id": {c.Stream.StoreID}}
}

// believed is whose receipts are believed: as pinned, else as the server says, asked once.
func (c *Client) believed(ctx context.Context) (*Sequencer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sequencer != nil {
		return c.sequencer, nil
	}
	type key struct {
		KeyVersion uint32 `json:"key_version"`
		PublicKey  string `json:"public_key"`
	}
	var body struct {
		key
		SequencerID string `json:"sequencer_id"`
		Keys        []key  `json:"keys"`
	}
	if err := c.http.get(ctx, "/api/v1/ves/sequencer", nil, &body); err != nil {
		return nil, err
	}
	keys := map[uint32]string{body.KeyVersion: body.PublicKey}
	for _, key := range body.Keys {
		keys[key.KeyVersion] = key.PublicKey
	}
	c.sequencer = &Sequencer{body.SequencerID, keys}
	return c.sequencer, nil
}

// RegisterKey registers the agent's signing key. It needs an administrator's API key.
func (c *Client) RegisterKey(ctx context.Context, agent *Agent) error {
	proof, err := agent.ProvePossession()
	if err != nil {
		return err
	}
	return c.http.post(ctx, keysPath, map[string]any{
		"tenantId": agent.Stream.TenantID, "agentId": agent.ID, "keyId": agent.KeyID,
		"publicKey": hex.EncodeToString(agent.Signer.PublicKey()), "proofOfPossession": hex.EncodeToString(proof),
	}, nil)
}

// RegisterOpeningKey registers a key that others seal for; recipientKid is its number in the tenant.
func (c *Client) RegisterOpeningKey(ctx context.Context, agentID string, recipientKid uint32, publicKey []byte) error {
	return c.http.post(ctx, keysPath, map[string]any{
		"tenantId": c.Stream.TenantID, "agentId": agentID, "keyId": recipientKid,
		"publicKey": hex.EncodeToString(publicKey), "keyAlgorithm": 2,
	}, nil)
}

// Push pushes events of one agent and verifies every receipt. After an error, pushing the same events again is safe: an event
// that the stream has gets its first receipt.
func (c *Client) Push(ctx context.Context, events ...*Event) (*Pushed, error) {
	pushed, seen := &Pushed{}, map[string]bool{}
	for _, event := range events {
		if seen[event.EventID] || event.SourceAgentID != events[0].SourceAgentID {
			return nil, broken("invalid_input", "events of one push are of one agent, each with an id of its own")
		}
		seen[event.EventID] = true
	}
	for len(events) > 0 {
		count, err := batchLength(events)
		if err != nil {
			return nil, err
		}
		var answer struct {
			Receipts   []Receipt   `json:"receipts"`
			Rejections []Rejection `json:"rejections"`
		}
		body := map[string]any{"agentId": events[0].SourceAgentID, "events": events[:count]}
		if err := c.http.post(ctx, "/api/v1/ves/events/ingest", body, &answer); err != nil {
			return nil, err
		}
		if err := c.take(ctx, pushed, events[:count], answer.Receipts, answer.Rejections); err != nil {
			return nil, claimed(err)
		}
		events = events[count:]
	}
	return pushed, nil
}

func (c *Client) take(ctx context.Context, pushed *Pushed, batch []*Event, receipts []Receipt, rejections []Rejection) error {
	accepted, refused := map[string]Receipt{}, map[string]Rejection{}
	for _, receipt := range receipts {
		accepted[receipt.EventID] = receipt
	}
	for _, rejection := range rejections {
		refused[rejection.EventID] = rejection
	}
	for _, event := range batch {
		receipt, isAccepted := accepted[event.EventID]
		rejection, isRefused := refused[event.EventID]
		if isAccepted == isRefused {
			return untrue("answer_contradicts", "event %s has not one receipt or one rejection", event.EventID)
		}
		if isRefused {
			pushed.Rejections = append(pushed.Rejections, rejection)
			continue
		}
		if err := c.verifyReceipt(ctx, event, &receipt); err != nil {
			return err
		}
		pushed.Receipts = append(pushed.Receipts, receipt)
	}
	return nil
}

func batchLength(events []*Event) (int, error) {
	count, bytes := 0, 0
	for _, event := range events[:min(len(events), batchEventsMax)] {
		raw, err := json.Marshal(event)
		if err != nil {
			return 0, broken("invalid_input", "event %s has no JSON form: %v", event.EventID, err)
		}
		bytes += len(raw)
		if count > 0 && bytes > batchBytesMax {
			break
		}
		count++
	}
	return count, nil
}

// Events are those of the stream from a number on, in order and without gaps, up to the head as it is when it is reached.
func (c *Client) Events(ctx context.Context, from uint64) iter.Seq2[*VerifiedEvent, error] {
	return func(yield func(*VerifiedEvent, error) bool) {
		for next := max(1, from); ; {
			page, err := c.page(ctx, next)
			if err == nil && len(page.Events) == 0 && next <= page.HeadSequence {
				err = untrue("sequence_gap", "no event %d, the head is %d", next, page.HeadSequence)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Events {
				verified, err := c.Verify(ctx, &page.Events[i], next)
				if !yield(verified, err) || err != nil {
					return
				}
				next++
			}
			if next > page.HeadSequence {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, from uint64) (*page, error) {
	query := c.query()
	query.Set("from", strconv.FormatUint(from, 10))
	query.Set("limit", strconv.Itoa(pageEvents))
	var body page
	if err := c.http.get(ctx, eventsPath, query, &body); err != nil {
		return nil, err
	}
	// Without its head an empty page would look like the end of the stream.
	if body.Events == nil || body.Head == nil {
		return nil, unreadable(eventsPath, errors.New("a page has events, and as head_sequence a whole number"))
	}
	body.HeadSequence = *body.Head
	return &body, nil
}

// Event is one event by its id.
func (c *Client) Event(ctx context.Context, eventID string) (*VerifiedEvent, error) {
	var entry EventEntry
	if err := c.http.get(ctx, "/api/v1/ves/events/"+url.PathEscape(eventID), c.query(), &entry); err != nil {
		return nil, err
	}
	if entry.Envelope.EventID != eventID {
		return nil, untrue("receipt_of_other_event", "another event was answered")
	}
	return c.Verify(ctx, &entry, entry.Receipt.SequenceNumber)
}

// Verify checks one entry of a page or feed: stream, payload hash, receipt, place, and the signature where the key is known.
func (c *Client) Verify(ctx context.Context, entry *EventEntry, expected uint64) (*VerifiedEvent, error) {
	event := &entry.Envelope
	if (Stream{event.TenantID, event.StoreID}) != c.Stream {
		return nil, untrue("other_stream", "event %s is of another stream", event.EventID)
	}
	if entry.Receipt.SequenceNumber != expected {
		return nil, untrue("sequence_gap", "event %d came where %d was to come", entry.Receipt.SequenceNumber, expected)
	}
	signing, err := event.Check("")
	if err != nil {
		return nil, claimed(err)
	}
	if err := c.verifyReceipt(ctx, event, &entry.Receipt); err != nil {
		return nil, claimed(err)
	}
	key, err := c.agentKey(ctx, event.SourceAgentID, event.AgentKeyID)
	if err != nil {
		return nil, err
	}
	verified := key != "" && event.isEd25519()
	if verified {
		if err := event.checkSignature(key, signing); err != nil {
			return nil, claimed(err)
		}
	}
	return &VerifiedEvent{expected, entry.SequencedAt, event, entry.Receipt, verified}, nil
}

func (c *Client) verifyReceipt(ctx context.Context, event *Event, receipt *Receipt) error {
	sequencer, err := c.believed(ctx)
	if err != nil {
		return err
	}
	key, known := sequencer.Keys[receipt.SequencerKeyVersion]
	if receipt.SequencerID != sequencer.ID || !known {
		return untrue("unknown_sequencer_key", "sequencer %s, key version %d is not believed", receipt.SequencerID, receipt.SequencerKeyVersion)
	}
	return VerifyReceipt(event, receipt, key)
}

func (c *Client) listedKey(ctx context.Context, agentID string, keyID uint32) (string, error) {
	name := func(agent string, key uint32) string { return agent + "/" + strconv.FormatUint(uint64(key), 10) }
	c.mu.Lock()
	key, known := c.listed[name(agentID, keyID)]
	isRecent := time.Since(c.listedAt[agentID]) < listedAgain
	c.mu.Unlock()
	if known || isRecent {
		return key, nil
	}
	var body struct {
		Keys []struct {
			AgentID      string `json:"agentId"`
			KeyID        uint32 `json:"keyId"`
			KeyAlgorithm int    `json:"keyAlgorithm"`
			PublicKey    string `json:"publicKey"`
		} `json:"keys"`
	}
	query := url.Values{"tenant_id": {c.Stream.TenantID}, "agent_id": {agentID}}
	if err := c.http.get(ctx, keysPath, query, &body); err != nil {
		return "", err
	}
	// Without the list every signature would go unchecked.
	if body.Keys == nil {
		return "", unreadable(keysPath, errors.New("keys is a list"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listedAt[agentID] = time.Now()
	for _, key := range body.Keys {
		if key.KeyAlgorithm == 1 {
			c.listed[name(key.AgentID, key.KeyID)] = key.PublicKey
		}
	}
	return c.listed[name(agentID, keyID)], nil
}

// Commit commits a range, which must continue the chain of commitments. A service does so by itself after a while.
func (c *Client) Commit(ctx context.Context, sequenceStart, sequenceEnd uint64) (*Commitment, error) {
	body := map[string]any{
		"tenant_id": c.Stream.TenantID, "store_id": c.Stream.StoreID,
		"sequence_start": sequenceStart, "sequence_end": sequenceEnd,
	}
	var commitment Commitment
	if err := c.http.post(ctx, commitmentsPath, body, &commitment); err != nil {
		return nil, err
	}
	return c.checked(&commitment)
}

// CommitmentOf is the commitment that holds an event; nil where none does yet.
func (c *Client) CommitmentOf(ctx context.Context, sequenceNumber uint64) (*Commitment, error) {
	query := c.query()
	query.Set("from", strconv.FormatUint(sequenceNumber, 10))
	query.Set("limit", "1")
	var body struct {
		Commitments []Commitment `json:"commitments"`
	}
	if err := c.http.get(ctx, commitmentsPath, query, &body); err != nil {
		return nil, err
	}
	if body.Commitments == nil {
		return nil, unreadable(commitmentsPath, errors.New("commitments is a list"))
	}
	for i, one := range body.Commitments {
		if one.SequenceStart <= sequenceNumber && sequenceNumber <= one.SequenceEnd {
			return c.checked(&body.Commitments[i])
		}
	}
	return nil, nil
}

func (c *Client) checked(commitment *Commitment) (*Commitment, error) {
	if (Stream{commitment.TenantID, commitment.StoreID}) != c.Stream {
		return nil, untrue("other_stream", "commitment %s is of another stream", commitment.BatchID)
	}
	return commitment, claimed(commitment.Check())
}

// Prove fetches and verifies the proof that an event is in a committed batch. Refused with NOT_COMMITTED where it is in none
// within wait.
func (c *Client) Prove(ctx context.Context, event *Event, sequenceNumber uint64, wait time.Duration) (*InclusionProof, error) {
	until := time.Now().Add(wait)
	commitment, err := c.CommitmentOf(ctx, sequenceNumber)
	for err == nil && commitment == nil {
		if !time.Now().Before(until) || ctx.Err() != nil {
			return nil, &Error{Kind: Refused, Code: "NOT_COMMITTED", Message: "the event is in no commitment yet", Status: 404}
		}
		sleep(ctx, commitPoll)
		commitment, err = c.CommitmentOf(ctx, sequenceNumber)
	}
	if err != nil {
		return nil, err
	}
	query := c.query()
	query.Set("batch_id", commitment.BatchID)
	var body struct {
		ProofPath []string `json:"proof_path"`
	}
	path := "/api/v1/ves/proofs/" + strconv.FormatUint(sequenceNumber, 10)
	if err := c.http.get(ctx, path, query, &body); err != nil {
		return nil, err
	}
	if body.ProofPath == nil {
		return nil, unreadable(path, errors.New("proof_path is a list"))
	}
	proof := &InclusionProof{event, sequenceNumber, commitment, sequenceNumber - commitment.SequenceStart, body.ProofPath}
	return proof, claimed(proof.Verify())
}

// Checkpoint is what the sequencer's newest signed checkpoint says of the stream. Keep it: see [Client.VerifyGrowth].
func (c *Client) Checkpoint(ctx context.Context) (*Checkpoint, error) {
	note, err := c.http.repeat(ctx, http.MethodGet, "/api/v1/ves/checkpoint", c.query(), nil)
	if err != nil {
		return nil, err
	}
	sequencer, err := c.believed(ctx)
	if err != nil {
		return nil, err
	}
	last := untrue("checkpoint_by_other_key", "no key of the sequencer is known")
	for _, key := range sequencer.Keys {
		says, err := VerifyCheckpoint(string(note), c.Stream, sequencer.ID, key)
		if err == nil || Code(err) != "checkpoint_by_other_key" {
			return says, claimed(err)
		}
		last = claimed(err)
	}
	return nil, last
}

// VerifyGrowth checks that the log of an earlier checkpoint is the beginning of a later one's: a fork or a cut is noticed here.
func (c *Client) VerifyGrowth(ctx context.Context, earlier, later *Checkpoint) error {
	query := c.query()
	query.Set("from", strconv.FormatUint(earlier.Size, 10))
	query.Set("to", strconv.FormatUint(later.Size, 10))
	var body struct {
		Hashes []string `json:"hashes"`
	}
	if err := c.http.get(ctx, consistencyPath, query, &body); err != nil {
		return err
	}
	if body.Hashes == nil {
		return unreadable(consistencyPath, errors.New("hashes is a list"))
	}
	path, err := hashes(body.Hashes)
	return claimed(errors.Join(err, VerifyConsistency(*earlier, *later, path)))
}
