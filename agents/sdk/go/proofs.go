package stateset

import (
	"encoding/base64"
	"encoding/hex"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Receipt is the sequencer's signed word that an event has its place.
type Receipt struct {
	SequencerID         string `json:"sequencerId"`
	EventID             string `json:"eventId"`
	SequenceNumber      uint64 `json:"sequenceNumber"`
	SequencedAt         string `json:"sequencedAt"`
	ReceiptHash         string `json:"receiptHash"`
	SignatureAlg        string `json:"signatureAlg"`
	SequencerSignature  string `json:"sequencerSignature"`
	SequencerKeyVersion uint32 `json:"sequencerKeyVersion"`
}

// Commitment is a committed batch (section 14).
type Commitment struct {
	BatchID         string `json:"batch_id"`
	TenantID        string `json:"tenant_id"`
	StoreID         string `json:"store_id"`
	VesVersion      uint32 `json:"ves_version"`
	TreeDepth       uint32 `json:"tree_depth"`
	LeafCount       uint32 `json:"leaf_count"`
	PaddedLeafCount uint32 `json:"padded_leaf_count"`
	MerkleRoot      string `json:"merkle_root"`
	PrevStateRoot   string `json:"prev_state_root"`
	NewStateRoot    string `json:"new_state_root"`
	SequenceStart   uint64 `json:"sequence_start"`
	SequenceEnd     uint64 `json:"sequence_end"`
	CommittedAt     string `json:"committed_at"`
}

const (
	pathLengthMax      = 64
	checkpointBytesMax = 16 * 1024
	signaturesMax      = 32
)

// VerifyReceipt checks that the sequencer gave this event this place; the key is 64 hex digits.
//
// Codes: receipt_of_other_event, receipt_unsigned, receipt_invalid_signature, unusable_key.
func VerifyReceipt(event *Event, receipt *Receipt, sequencerKey string) error {
	key, err := fromHex("sequencer key", sequencerKey, 32)
	if err != nil {
		return err
	}
	if !usable(key) {
		return broken("unusable_key", "the sequencer's key is no canonical point of the prime-order group")
	}
	signing, err := event.signingHash()
	if err != nil {
		return err
	}
	ids, err := uuids(event.TenantID, event.StoreID, event.EventID)
	if err != nil {
		return err
	}
	expected := digest("VES_RECEIPT_V1", ids, u64(receipt.SequenceNumber), signing)
	if !strings.EqualFold(receipt.EventID, event.EventID) || !sameHash(receipt.ReceiptHash, expected) {
		return broken("receipt_of_other_event", "receiptHash is not of this stream, event, number and signing hash")
	}
	if receipt.SignatureAlg == "none" {
		return broken("receipt_unsigned", "the receipt carries no signature")
	}
	signature, err := fromHex("sequencerSignature", receipt.SequencerSignature, 64)
	if err != nil {
		return err
	}
	if holds, err := verifies(sequencerKey, expected, signature); err != nil || !holds || receipt.SignatureAlg != "ed25519" {
		return broken("receipt_invalid_signature", "the receipt is not signed by the sequencer's key")
	}
	return nil
}

// LeafHash is the leaf of an event in the tree of its batch, and its entry in the log (section 13.1).
func LeafHash(event *Event, sequenceNumber uint64) ([]byte, error) {
	signing, err := event.signingHash()
	if err != nil {
		return nil, err
	}
	ids, err := uuids(event.TenantID, event.StoreID)
	if err != nil {
		return nil, err
	}
	signature, err := fromHex("agent_signature", event.AgentSignature, 64)
	return digest("VES_LEAF_V1", ids, u64(sequenceNumber), signing, signature), err
}

// VerifyInclusion is section 13.3. The leaf is made by [LeafHash] from an event at hand, never taken from the proof's sender.
//
// Codes: proof_index_out_of_range, proof_wrong_length, proof_root_mismatch.
func VerifyInclusion(leaf []byte, leafIndex, leafCount uint64, path [][]byte, root []byte) error {
	if len(path) > pathLengthMax {
		return broken("proof_wrong_length", "the path has %d siblings", len(path))
	}
	if leafIndex >= leafCount {
		return broken("proof_index_out_of_range", "%d lies outside a tree of %d leaves", leafIndex, leafCount)
	}
	if depth := bits.Len64(leafCount - 1); len(path) != depth {
		return broken("proof_wrong_length", "the path has %d siblings, the depth is %d", len(path), depth)
	}
	node := leaf
	for height, sibling := range path {
		if leafIndex>>height&1 == 1 {
			node = digest("VES_NODE_V1", sibling, node)
		} else {
			node = digest("VES_NODE_V1", node, sibling)
		}
	}
	if !slices.Equal(node, root) {
		return broken("proof_root_mismatch", "the path does not lead to the root")
	}
	return nil
}

// Check checks that range, tree and state root of a commitment agree (section 14).
//
// Codes: unsupported_version, commitment_wrong_range, commitment_wrong_shape, commitment_wrong_state_root.
func (c *Commitment) Check() error {
	if c.VesVersion != 1 {
		return broken("unsupported_version", "ves_version %d is not 1", c.VesVersion)
	}
	if c.LeafCount == 0 || c.SequenceEnd < c.SequenceStart || c.SequenceEnd-c.SequenceStart+1 != uint64(c.LeafCount) || c.SequenceEnd>>63 != 0 {
		return broken("commitment_wrong_range", "%d..=%d is not a range of %d events", c.SequenceStart, c.SequenceEnd, c.LeafCount)
	}
	depth := bits.Len32(c.LeafCount - 1)
	if uint64(c.PaddedLeafCount) != 1<<depth || c.TreeDepth != uint32(depth) {
		return broken("commitment_wrong_shape", "a tree of %d leaves has another shape", c.LeafCount)
	}
	stream, err := streamID(Stream{c.TenantID, c.StoreID})
	if err != nil {
		return err
	}
	var roots []byte
	for _, hash := range []string{c.PrevStateRoot, c.MerkleRoot} {
		raw, err := fromHex("root", hash, 32)
		if err != nil {
			return err
		}
		roots = append(roots, raw...)
	}
	expected := digest("VES_STATE_ROOT_V1", stream, roots, u64(c.SequenceStart), u64(c.SequenceEnd), u32(c.LeafCount))
	if !sameHash(c.NewStateRoot, expected) {
		return broken("commitment_wrong_state_root", "new_state_root is not the state root of this batch")
	}
	return nil
}

// streamID is section 14.1.
func streamID(stream Stream) ([]byte, error) {
	ids, err := uuids(stream.TenantID, stream.StoreID)
	return digest("VES_STREAM_V1", ids), err
}

// Checkpoint says how many events a log has, and its root.
type Checkpoint struct {
	Size uint64
	Root []byte
}

// VerifyCheckpoint answers what a signed checkpoint of a stream says (section 13.4); the key is 64 hex digits.
//
// Codes: checkpoint_malformed, checkpoint_by_other_key, checkpoint_invalid_signature, checkpoint_of_other_stream.
func VerifyCheckpoint(note string, stream Stream, sequencerID, sequencerKey string) (*Checkpoint, error) {
	malformed := broken("checkpoint_malformed", "the text is no signed checkpoint")
	body, signatures, parted := strings.Cut(note, "\n\n")
	lines := strings.Split(body, "\n")
	if len(note) > checkpointBytesMax || !parted || len(lines) != 3 || !strings.HasSuffix(signatures, "\n") {
		return nil, malformed
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return nil, malformed
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 || lines[0] == "" || strings.ContainsFunc(lines[0], unicode.IsControl) {
		return nil, malformed
	}
	key, err := fromHex("sequencer key", sequencerKey, 32)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(sequencerID)
	named := digest(name, []byte{'\n', 1}, key)[:4]
	var ours []byte
	listed := strings.Split(strings.TrimSuffix(signatures, "\n"), "\n")
	for _, line := range listed {
		by, raw, ok := signatureLine(line)
		if !ok || len(listed) > signaturesMax {
			return nil, malformed
		}
		if ours == nil && by == name && slices.Equal(raw[:4], named) {
			ours = raw[4:]
		}
	}
	if ours == nil {
		return nil, broken("checkpoint_by_other_key", "no signature is by the expected key")
	}
	holds, err := verifies(sequencerKey, []byte(body+"\n"), ours)
	if err != nil {
		return nil, err
	}
	if !holds {
		return nil, broken("checkpoint_invalid_signature", "the signature does not verify")
	}
	id, err := streamID(stream)
	if err != nil {
		return nil, err
	}
	if lines[0] != "stateset/"+hex.EncodeToString(id) {
		return nil, broken("checkpoint_of_other_stream", "the checkpoint is of another stream")
	}
	return &Checkpoint{size, root}, nil
}

// signatureLine reads `— NAME BASE64`, of which the first 4 bytes name the key.
func signatureLine(line string) (name string, raw []byte, ok bool) {
	rest, ok := strings.CutPrefix(line, "— ")
	name, encoded, parted := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	forbidden := func(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) }
	ok = ok && parted && name != "" && err == nil && len(raw) > 4 && !strings.ContainsFunc(name, forbidden)
	return name, raw, ok
}

func logNode(left, right []byte) []byte { return digest("\x01", left, right) }

// VerifyLogInclusion checks that an event stands in the log of a checkpoint (RFC 9162, section 2.1.3.2). Codes: those of
// [VerifyInclusion].
func VerifyLogInclusion(leaf []byte, sequenceNumber uint64, log Checkpoint, hashes [][]byte) error {
	if sequenceNumber < 1 || sequenceNumber > log.Size {
		return broken("proof_index_out_of_range", "%d lies outside a log of %d events", sequenceNumber, log.Size)
	}
	path := logPath{node: sequenceNumber - 1, last: log.Size - 1}
	found := digest("\x00", leaf)
	err := path.walk(hashes, func(sibling []byte, left bool) {
		if left {
			found = logNode(sibling, found)
		} else {
			found = logNode(found, sibling)
		}
	})
	if err == nil && !slices.Equal(found, log.Root) {
		err = broken("proof_root_mismatch", "the proof does not lead to the root")
	}
	return err
}

// VerifyConsistency checks that the later log begins with the earlier one: nothing was changed or left out (RFC 9162, section
// 2.1.4.2). Codes: those of [VerifyInclusion].
func VerifyConsistency(earlier, later Checkpoint, hashes [][]byte) error {
	mismatch := broken("proof_root_mismatch", "the proof does not lead to both roots")
	if earlier.Size > later.Size {
		return broken("proof_index_out_of_range", "a log of %d does not hold one of %d", later.Size, earlier.Size)
	}
	if earlier.Size == 0 || earlier.Size == later.Size {
		if len(hashes) > 0 {
			return tooManyOrFew(hashes)
		}
		if earlier.Size == 0 && !slices.Equal(earlier.Root, digest("")) || earlier.Size == later.Size && !slices.Equal(earlier.Root, later.Root) {
			return mismatch
		}
		return nil
	}
	first := earlier.Root
	// A whole subtree is its own first hash, and the sender leaves it out.
	if bits.OnesCount64(earlier.Size) != 1 {
		if len(hashes) == 0 {
			return tooManyOrFew(hashes)
		}
		first, hashes = hashes[0], hashes[1:]
	}
	if len(hashes) == 0 {
		return tooManyOrFew(hashes)
	}
	path := logPath{node: earlier.Size - 1, last: later.Size - 1}
	for path.node&1 == 1 {
		path.up()
	}
	old, new := first, first
	err := path.walk(hashes, func(sibling []byte, left bool) {
		if left {
			old, new = logNode(sibling, old), logNode(sibling, new)
		} else {
			new = logNode(new, sibling)
		}
	})
	if err == nil && (!slices.Equal(old, earlier.Root) || !slices.Equal(new, later.Root)) {
		err = mismatch
	}
	return err
}

// logPath is the way from a node to the root of a log, whose last node stands beside it.
type logPath struct{ node, last uint64 }

func (p *logPath) up() { p.node, p.last = p.node>>1, p.last>>1 }

// walk steps once for each sibling, which stands to the left or to the right, and ends at the root.
func (p *logPath) walk(hashes [][]byte, step func(sibling []byte, left bool)) error {
	if len(hashes) > pathLengthMax {
		return tooManyOrFew(hashes)
	}
	for _, sibling := range hashes {
		if p.last == 0 {
			return tooManyOrFew(hashes)
		}
		left := p.node&1 == 1 || p.node == p.last
		step(sibling, left)
		for left && p.node&1 == 0 && p.node != 0 {
			p.up()
		}
		p.up()
	}
	if p.last != 0 {
		return tooManyOrFew(hashes)
	}
	return nil
}

func tooManyOrFew(hashes [][]byte) error {
	return broken("proof_wrong_length", "%d hashes do not fit these sizes", len(hashes))
}
