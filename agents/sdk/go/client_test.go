package stateset

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

var testStream = Stream{"5eb673aa-293d-492f-8139-d8bd4e0bdbfc", "e075fa56-58b9-4411-b010-faf3832b768b"}

const sequencerID = "7897b0db-1f74-408d-b6c6-d4b0a8d895d3"

// world is a sequencer of a few lines, which can lose answers, lie and hang up.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	entries []EventEntry
	asked   []string
	// instead answers once each.
	instead []http.HandlerFunc
	hasFeed bool
	key     *SigningKey
	agent   *Agent
	client  *Client
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, key: NewSigningKey(), agent: NewAgent(testStream, NewSigningKey())}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.client = must(NewClient(Options{
		URL: server.URL, Stream: testStream,
		Sequencer: &Sequencer{sequencerID, map[uint32]string{1: hex.EncodeToString(w.key.PublicKey())}},
		AgentKey: func(context.Context, string, uint32) (string, error) {
			return hex.EncodeToString(w.agent.Signer.PublicKey()), nil
		},
	}))
	return w
}

func (w *world) event(n int) *Event {
	return must(w.agent.Sign(Draft{EntityType: "order", EntityID: "ORD-1", EventType: "order.created", Payload: object{"n": n}}))
}

func (w *world) push(count int) {
	for n := range count {
		if _, err := w.client.Push(w.t.Context(), w.event(n)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, request.URL.Path)
	from, _ := strconv.Atoi(request.URL.Query().Get("from"))
	last, _ := strconv.Atoi(request.Header.Get("last-event-id"))
	switch {
	case len(w.instead) > 0:
		instead := w.instead[0]
		w.instead = w.instead[1:]
		instead(out, request)
	case request.URL.Path == "/api/v1/ves/events/ingest":
		answer(out, 200, object{"receipts": w.ingest(request)})
	case request.URL.Path == "/api/v1/ves/events":
		events := w.entries[min(from-1, len(w.entries)):min(from+1, len(w.entries))]
		answer(out, 200, object{"events": events, "head_sequence": len(w.entries)})
	case last > len(w.entries):
		refuse(409, "SEQUENCE_GAP")(out, request)
	case request.URL.Path == feedPath && w.hasFeed:
		w.send(out, from)
	default:
		refuse(404, "RESOURCE_NOT_FOUND")(out, request)
	}
}

func answer(out http.ResponseWriter, status int, body any) {
	out.WriteHeader(status)
	json.NewEncoder(out).Encode(body)
}

func refuse(status int, code string) http.HandlerFunc {
	return func(out http.ResponseWriter, _ *http.Request) {
		answer(out, status, object{"error": object{"code": code, "message": "no", "request_id": "r-1"}})
	}
}

func (w *world) ingest(request *http.Request) []Receipt {
	var body struct{ Events []Event }
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		w.t.Error(err)
	}
	var receipts []Receipt
	for _, event := range body.Events {
		at := slices.IndexFunc(w.entries, func(entry EventEntry) bool { return entry.Envelope.EventID == event.EventID })
		if at < 0 {
			at = len(w.entries)
			w.store(event)
		}
		receipts = append(receipts, w.entries[at].Receipt)
	}
	return receipts
}

func (w *world) store(event Event) {
	number := uint64(len(w.entries) + 1)
	ids := must(uuids(event.TenantID, event.StoreID, event.EventID))
	hash := digest("VES_RECEIPT_V1", ids, u64(number), must(event.Check("")))
	receipt := Receipt{sequencerID, event.EventID, number, "now", hex.EncodeToString(hash), "ed25519", hex.EncodeToString(must(w.key.Sign(hash))), 1}
	w.entries = append(w.entries, EventEntry{event, "now", receipt})
}

// send tells two events and a piece of the third, then hangs up.
func (w *world) send(out http.ResponseWriter, from int) {
	out.Header().Set("content-type", "text/event-stream")
	fmt.Fprint(out, "retry: 2000\nid: 0\n\n")
	for i, entry := range w.entries[min(from-1, len(w.entries)):] {
		text := string(must(json.Marshal(entry)))
		if i == 2 {
			fmt.Fprint(out, "data: ", text[:40])
			out.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(out, ": heartbeat\n\nid: %d\ndata: %s\n\n", from+i, text)
	}
}

func (w *world) refused(err error, kind Kind, code string) {
	w.t.Helper()
	var found *Error
	if !errors.As(err, &found) || found.Kind != kind || found.Code != code {
		w.t.Errorf("%v, expected %s (%s)", err, kind, code)
	}
}

func (w *world) all() (numbers []uint64, err error) {
	for event, err := range w.client.Events(w.t.Context(), 1) {
		if err != nil {
			return numbers, err
		}
		if !event.SignatureVerified {
			w.t.Error("a signature was not verified")
		}
		numbers = append(numbers, event.SequenceNumber)
	}
	return numbers, nil
}

func TestAnAnswerThatIsLostIsAskedForAgainAndTheEventStandsThereOnce(t *testing.T) {
	w := newWorld(t)
	event := w.event(1)
	w.instead = []http.HandlerFunc{func(_ http.ResponseWriter, request *http.Request) {
		w.ingest(request)
		panic(http.ErrAbortHandler)
	}}
	for range 2 {
		if pushed, err := w.client.Push(t.Context(), event); err != nil || pushed.Receipts[0].SequenceNumber != 1 {
			t.Error(pushed, err)
		}
	}
	if len(w.entries) != 1 {
		t.Error(len(w.entries), "events")
	}
}

func TestWhatIsNoAnswerIsToldAsThatAndAPageWithoutItsHeadEndsNoStream(t *testing.T) {
	w := newWorld(t)
	w.push(1)
	for _, page := range []string{`{}`, `null`, `[]`, `{"events":[]}`, `{"events":[],"head_sequence":null}`, `{"events":[],"head_sequence":"x"}`, `{"head_sequence":1}`} {
		w.instead = []http.HandlerFunc{func(out http.ResponseWriter, _ *http.Request) {
			_, _ = out.Write([]byte(page))
		}}
		_, err := w.all()
		w.refused(err, Unreadable, "unreadable")
	}
	if numbers, err := w.all(); err != nil || len(numbers) != 1 {
		t.Error(numbers, err)
	}
}

func TestAServerThatIsBusyIsAskedAgainAndOneThatRefusesIsNot(t *testing.T) {
	w := newWorld(t)
	w.instead = []http.HandlerFunc{func(out http.ResponseWriter, request *http.Request) {
		out.Header().Set("retry-after", "0")
		refuse(503, "SERVICE_UNAVAILABLE")(out, request)
	}}
	w.push(1)
	w.instead = []http.HandlerFunc{refuse(403, "INSUFFICIENT_PERMISSIONS")}
	_, err := w.client.Push(t.Context(), w.event(2))
	w.refused(err, Refused, "INSUFFICIENT_PERMISSIONS")
	w.instead = []http.HandlerFunc{func(out http.ResponseWriter, request *http.Request) {
		out.Header().Set("retry-after", "3600")
		refuse(429, "RATE_LIMIT_EXCEEDED")(out, request)
	}}
	_, err = w.client.Push(t.Context(), w.event(3))
	w.refused(err, Refused, "RATE_LIMIT_EXCEEDED")
	if len(w.asked) != 4 {
		t.Error(w.asked)
	}
	closed := httptest.NewServer(w)
	closed.Close()
	nobody := must(NewClient(Options{URL: closed.URL, Stream: testStream}))
	_, err = nobody.Push(t.Context(), w.event(4))
	w.refused(err, Unreachable, "unreachable")
}

func TestAReceiptThatLiesIsNoticed(t *testing.T) {
	w := newWorld(t)
	one, two := w.event(1), w.event(2)
	must(w.client.Push(t.Context(), one))
	for code, change := range map[string]func(*Receipt){
		"receipt_of_other_event":    func(r *Receipt) { r.SequenceNumber = 9 },
		"receipt_invalid_signature": func(r *Receipt) { r.SequencerSignature = strings.Repeat("00", 64) },
		"unknown_sequencer_key":     func(r *Receipt) { r.SequencerKeyVersion = 2 },
		"answer_contradicts":        func(r *Receipt) { r.EventID = one.EventID },
	} {
		w.instead = []http.HandlerFunc{func(out http.ResponseWriter, request *http.Request) {
			receipts := slices.Clone(w.ingest(request))
			change(&receipts[0])
			answer(out, 200, object{"receipts": receipts})
		}}
		_, err := w.client.Push(t.Context(), two)
		w.refused(err, Untrue, code)
	}
}

func TestEventsArePagedInOrderAndAGapAChangeOrAForgeryIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.push(5)
	if numbers, err := w.all(); err != nil || !slices.Equal(numbers, []uint64{1, 2, 3, 4, 5}) {
		t.Error(numbers, err)
	}
	whole := slices.Clone(w.entries)
	w.entries = slices.Delete(slices.Clone(whole), 2, 3)
	_, err := w.all()
	w.refused(err, Untrue, "sequence_gap")
	w.entries = slices.Clone(whole)
	w.entries[1].Envelope.Payload = json.RawMessage(`{"n":20}`)
	_, err = w.all()
	w.refused(err, Untrue, "invalid_payload_hash")
	w.entries = nil
	forger := &Agent{testStream, w.agent.ID, 1, NewSigningKey()}
	w.store(*must(forger.Sign(Draft{EntityType: "order", EntityID: "O", EventType: "x", Payload: 1})))
	_, err = w.all()
	w.refused(err, Untrue, "invalid_signature")
}

func TestAnAgentWhoseKeyIsNotListedIsAskedAboutOnce(t *testing.T) {
	w := newWorld(t)
	w.push(3)
	client := must(NewClient(Options{URL: w.client.http.base, Stream: testStream, Sequencer: w.client.sequencer}))
	w.instead = []http.HandlerFunc{
		func(out http.ResponseWriter, _ *http.Request) {
			answer(out, 200, object{"events": w.entries, "head_sequence": 3})
		},
		func(out http.ResponseWriter, _ *http.Request) { answer(out, 200, object{"keys": []any{}}) },
	}
	for event, err := range client.Events(t.Context(), 1) {
		if err != nil || event.SignatureVerified {
			t.Error(event, err)
		}
	}
	if asked := slices.DeleteFunc(slices.Clone(w.asked), func(path string) bool { return path != "/api/v1/agents/keys" }); len(asked) != 1 {
		t.Error(w.asked)
	}
}

func TestWithoutTheListOfKeysNoSignatureGoesUnchecked(t *testing.T) {
	w := newWorld(t)
	w.push(1)
	for _, list := range []string{`{}`, `{"keys":null}`, `{"keys":"x"}`} {
		client := must(NewClient(Options{URL: w.client.http.base, Stream: testStream, Sequencer: w.client.sequencer}))
		w.instead = []http.HandlerFunc{
			func(out http.ResponseWriter, _ *http.Request) {
				answer(out, 200, object{"events": w.entries, "head_sequence": 1})
			},
			func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write([]byte(list)) },
		}
		for _, err := range client.Events(t.Context(), 1) {
			w.refused(err, Unreadable, "unreadable")
		}
	}
}

func TestTheFeedGoesOnAfterLostConnectionsWithoutGapOrRepetition(t *testing.T) {
	w := newWorld(t)
	w.hasFeed = true
	w.push(5)
	var numbers []uint64
	for event, err := range w.client.Feed(t.Context(), 2, time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		if numbers = append(numbers, event.SequenceNumber); len(numbers) == 4 {
			break
		}
	}
	if !slices.Equal(numbers, []uint64{2, 3, 4, 5}) {
		t.Error(numbers)
	}
}

func TestALogThatHasNotComeToTheLastNumberIsRefused(t *testing.T) {
	w := newWorld(t)
	w.hasFeed = true
	w.push(1)
	for _, err := range w.client.Feed(t.Context(), 3, time.Second) {
		w.refused(err, Refused, "SEQUENCE_GAP")
		return
	}
	t.Error("nothing was said")
}

func TestWhereTheServerHasNoLiveFeedItIsAskedForPages(t *testing.T) {
	w := newWorld(t)
	w.push(2)
	var numbers []uint64
	for event, err := range w.client.Feed(t.Context(), 1, 10*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, event.SequenceNumber)
		if len(numbers) == 2 {
			w.push(1)
		}
		if len(numbers) == 3 {
			break
		}
	}
	if !slices.Equal(numbers, []uint64{1, 2, 3}) {
		t.Error(numbers)
	}
	w.instead = []http.HandlerFunc{refuse(401, "INVALID_API_KEY")}
	for _, err := range w.client.Feed(t.Context(), 1, time.Second) {
		w.refused(err, Refused, "INVALID_API_KEY")
	}
}

func TestMessagesAreReadHoweverTheyAreCut(t *testing.T) {
	text := "event: end\r\ndata: a\r\ndata:b\r\n\r\n: no\n\ndata: c\rid: 1\r\rdata: never sent"
	for _, reader := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		var found []string
		err := readMessages(reader, func() {}, func(event string, data []byte) error {
			found = append(found, event+"="+string(data))
			return nil
		})
		if err != nil || !slices.Equal(found, []string{"end=a\nb", "message=c"}) {
			t.Errorf("%q %v", found, err)
		}
	}
}

func TestWhatCannotBeSentIsRefusedBefore(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8080", "ftp://x", "http://", "http://a b"} {
		if _, err := NewClient(Options{URL: address}); err == nil {
			t.Error(address)
		}
	}
	w := newWorld(t)
	event := w.event(1)
	_, err := w.client.Push(t.Context(), event, event)
	w.refused(err, Broken, "invalid_input")
	if pushed, err := w.client.Push(t.Context()); err != nil || len(pushed.Receipts) > 0 || len(w.asked) > 0 {
		t.Error(pushed, err, w.asked)
	}
}
